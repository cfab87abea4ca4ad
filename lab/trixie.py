# SPDX-License-Identifier: Apache-2.0
"""A Debian 13 tree for hosts with a newer libvirt (11.3) and QEMU (10.0)."""

from __future__ import annotations

import pathlib


def tree(cache: pathlib.Path) -> pathlib.Path:
    """Return where the tree is, or will be."""
    return cache / 'trixie'


def prepare(cache: pathlib.Path) -> pathlib.Path:
    """Build the tree if it is not there yet."""
    raise NotImplementedError
