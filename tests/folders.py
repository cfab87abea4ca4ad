# SPDX-License-Identifier: Apache-2.0
"""A work folder for each run of tests, so that several can go on at the same time."""

from __future__ import annotations

import fcntl
import os
import pathlib
import tempfile

from lab import needs
from lab import workdir

MOST = 20
# Their paths have a space in them, wherever the checkout lies.
STACK = workdir.DEFAULT.parent / '.lab tests'
LAB = pathlib.Path(tempfile.gettempdir()) / 'migpolicy lab tests'


def unused(first: pathlib.Path) -> pathlib.Path:
    """Return the first of some numbered folders that no running process has, and keep it.

    It is this process's until that ends. A crashed one's is used again, and with it its cache.

    Labs go into folders within: one locks its own, too.

    :param first: their path but for the number
    :raises LabError: all are in use
    """
    for number in range(1, MOST + 1):
        folder = first.with_name(f'{first.name}-{number}')
        folder.mkdir(exist_ok=True)
        if _lock(folder) is not None:       # held until this process ends
            return folder
    raise needs.LabError(f'{MOST} runs of tests at once use {first}-1 and so on')


def sweep() -> None:
    """Take down what is up in folders whose process has ended without doing so."""
    for first in (STACK, LAB):
        for folder in first.parent.glob(f'{first.name}-*'):
            fd = _lock(folder)
            if fd is not None:
                for work in folder.iterdir():
                    workdir.down(work)
                os.close(fd)


def _lock(folder: pathlib.Path) -> int | None:
    """Return the lock on a folder, a file descriptor; None if another process has or had it."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:       # whose it was has just ended and removed it
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whose it was may have removed it meanwhile: then this is not the one any more.
        if os.path.samestat(os.stat(folder), os.fstat(fd)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None
