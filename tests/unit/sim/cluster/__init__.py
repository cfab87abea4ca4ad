# SPDX-License-Identifier: Apache-2.0
"""Unit tests of the model of a live migration among hosts that die."""
