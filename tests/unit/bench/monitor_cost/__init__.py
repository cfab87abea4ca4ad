# SPDX-License-Identifier: Apache-2.0
"""Unit tests of the figures of the monitor's cost."""
