# SPDX-License-Identifier: Apache-2.0
"""Labs take turns: one at a time does what all of them need, or what would slow the others."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import fcntl
import pathlib

Say = Callable[[str], None]


def say_nothing(_line: str) -> None:
    """Be quiet."""


@contextlib.contextmanager
def turn(lock: pathlib.Path, say: Say, meanwhile: str) -> Iterator[None]:
    """Let one process at a time do the block; one that dies has had its turn.

    :param lock: a file; made when it is not there
    :param meanwhile: what the other one does; said if there is one to wait for
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'waiting: {meanwhile}')
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
