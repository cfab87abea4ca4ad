# SPDX-License-Identifier: Apache-2.0
"""Unit tests: no Nova services, no libvirt, no root."""
