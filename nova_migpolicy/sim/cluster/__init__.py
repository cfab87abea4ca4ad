# SPDX-License-Identifier: Apache-2.0
"""A model of a live migration among hosts that die, which holds recovery to what it promises."""
