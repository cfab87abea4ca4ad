# SPDX-License-Identifier: Apache-2.0
"""A work folder for each run of tests, so that several can go on at the same time."""

from __future__ import annotations

import fcntl
import os
import pathlib

from lab import needs

MOST = 20


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
        try:
            fd = os.open(folder, os.O_RDONLY)       # held until this process ends
        except FileNotFoundError:       # whose it was has just ended and removed it
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        return folder
    raise needs.LabError(f'{MOST} runs of tests at once use {first}-1 and so on')
