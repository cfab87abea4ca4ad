# SPDX-License-Identifier: Apache-2.0
"""Measurements on the lab's real OpenStack; figures, not tests: nothing here passes or fails."""
