# SPDX-License-Identifier: Apache-2.0
"""Real migrations recorded as JSON, for the model of QEMU to be held to."""
