# SPDX-License-Identifier: Apache-2.0
"""Tests on a real OpenStack that take too long to be run each time.

All places at which nova-compute may die, of which tests/stack has some; the commands on each
release of Nova with each kind of threads, of which it has the oldest and the newest; and random
faults.
"""
