# SPDX-License-Identifier: Apache-2.0
"""Many guests from two hosts to one at once, on a real OpenStack: ours with slots, and stock."""
