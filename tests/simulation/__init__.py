# SPDX-License-Identifier: Apache-2.0
"""The model of QEMU held to recordings of real migrations."""
