# SPDX-License-Identifier: Apache-2.0
"""Tests that take too long to be run each time: random faults on a real OpenStack."""
