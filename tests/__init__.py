# SPDX-License-Identifier: Apache-2.0
"""Tests of nova_migpolicy, a folder for each tier."""
