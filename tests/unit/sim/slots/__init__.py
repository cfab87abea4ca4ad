# SPDX-License-Identifier: Apache-2.0
"""Unit tests of the model of many hosts that migrate at once."""
