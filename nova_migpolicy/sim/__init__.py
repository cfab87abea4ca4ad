# SPDX-License-Identifier: Apache-2.0
"""A small model of QEMU's pre-copy and of guests that write to their memory; pure."""
