# SPDX-License-Identifier: Apache-2.0
"""Labs take turns: one at a time does what all of them need, or what would slow the others."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import fcntl
import pathlib
import time
from typing import IO

Say = Callable[[str], None]
#: how often one who does not wait for ever looks whether it is its turn
LOOK_S = 0.5


def say_nothing(_line: str) -> None:
    """Be quiet."""


@contextlib.contextmanager
def turn(lock: pathlib.Path, say: Say, meanwhile: str,
         most_s: float | None = None) -> Iterator[None]:
    """Let one process at a time do the block; one that dies has had its turn.

    :param lock: a file; made when it is not there
    :param meanwhile: what the other one does; said if there is one to wait for
    :param most_s: who has waited so long does the block all the same; None: it waits
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting: {meanwhile}')
            _wait(file, most_s)
        yield


def _wait(file: IO[str], most_s: float | None) -> None:
    if most_s is None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return
    # The kernel knows no time limit for a lock, and a signal reaches the main thread alone.
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(LOOK_S)
