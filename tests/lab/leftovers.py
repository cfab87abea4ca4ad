# SPDX-License-Identifier: Apache-2.0
"""What a lab that was taken down has left."""

from __future__ import annotations

import pathlib


def footprint(work):
    """Return what there is of a lab: processes, mounts and files."""
    found = [str(path) for path in work.rglob('*')] if work.exists() else []
    found += [line for line in mounts().splitlines() if str(work) in line]
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            words = path.read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if str(work) in words:
            found.append(words)
    return found


def mounts():
    """Return the mounts that this process sees, spaces in paths as they are."""
    return pathlib.Path('/proc/self/mounts').read_text().replace(r'\040', ' ')
