# SPDX-License-Identifier: Apache-2.0
"""Tests of the plugin in a real OpenStack. They need root and take minutes."""
