# SPDX-License-Identifier: Apache-2.0
"""A model of many hosts that migrate at once, which holds the slots to what they promise."""
