# SPDX-License-Identifier: Apache-2.0
"""The work folder of a lab: who may change it, and how it is emptied.

All that a lab writes lies in this folder. Its sub-folder `cache` is kept from one lab to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import shutil

from lab import machine

DEFAULT = pathlib.Path(__file__).resolve().parent.parent / '.lab'
CACHE = 'cache'


def down(work: pathlib.Path, *, cache: bool = False) -> list[str]:
    """Stop every machine of a work folder and remove all files but the cache.

    Works whatever state a crash left; returns the names of the machines that were up.

    :param cache: remove the cache as well
    """
    with locked(work):
        stopped = clean(work, cache=cache)
        if not any(work.iterdir()):
            work.rmdir()
    return stopped


def clean(work: pathlib.Path, *, cache: bool = False) -> list[str]:
    """Do the work of down() for who has the lock; the folder itself stays."""
    stopped = machine.stop_all(work)
    for entry in work.iterdir():
        if entry.name == CACHE and not cache:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return stopped


@contextlib.contextmanager
def locked(work: pathlib.Path) -> Iterator[None]:
    """Let one process at a time bring this folder's lab up or down."""
    while True:
        work.mkdir(parents=True, exist_ok=True)
        fd = os.open(work, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # Whoever had the lock may have removed the folder: then this is not the one any more.
            if work.exists() and os.path.samestat(os.stat(work), os.fstat(fd)):
                yield
                return
        finally:
            os.close(fd)
