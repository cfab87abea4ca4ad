# SPDX-License-Identifier: Apache-2.0
"""A model of guests, links and QEMU's live migration, true to real recordings; pure."""
