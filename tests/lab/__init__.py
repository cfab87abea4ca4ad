# SPDX-License-Identifier: Apache-2.0
"""Tests of the lab itself, and of what the plugin relies on in real QEMU and libvirt."""
