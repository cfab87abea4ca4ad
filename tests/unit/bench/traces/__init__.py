# SPDX-License-Identifier: Apache-2.0
"""Unit tests of how recorded migrations are described and compared."""
