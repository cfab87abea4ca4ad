# SPDX-License-Identifier: Apache-2.0
"""The demonstration behind tools/demo: two equal guests, one with a policy and one without."""
