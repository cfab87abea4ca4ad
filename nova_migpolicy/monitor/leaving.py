# SPDX-License-Identifier: Apache-2.0
"""Leave a migration to libvirt, which goes on with it, while this process is being stopped.

The thread that makes the migrate call would wait for its end, and whoever stops the process for
that thread. So the call is made in one more thread, which ends with the process.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
import threading
from typing import TypeVar

T = TypeVar('T')

LEFT = ('nova-compute is being stopped: libvirt goes on with the migration, and the next '
        'nova-compute takes it up')


class Left(Exception):
    """A call was not waited for, and goes on; or it was not made any more."""


class Leave:
    """The word to leave one migration, which is given at most once; any thread may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_given = False
        self._tell: list[Callable[[], object]] = []

    @property
    def is_given(self) -> bool:
        """Whether it is to be left."""
        return self._is_given

    def give(self) -> None:
        """Leave it from now on."""
        with self._lock:
            tell, self._tell = self._tell, []
            self._is_given = True
        for each in tell:
            each()

    def when_given(self, tell: Callable[[], object]) -> None:
        """Call `tell` when it is given; at once where it was. It must neither block nor raise."""
        with self._lock:
            if not self._is_given:
                self._tell.append(tell)
                return
        tell()

    def unless_left(self, call: Callable[[], T]) -> T:
        """Make a call, and return or raise what it does.

        :raises Left: the migration is left; a call that was made goes on, in a thread of its own
        """
        woken = threading.Event()
        self.when_given(woken.set)
        if self._is_given:
            raise Left
        ended: futures.Future[T] = futures.Future()
        ended.add_done_callback(lambda _: woken.set())
        threading.Thread(target=_run, args=(call, ended), daemon=True, name='migrate call').start()
        woken.wait()
        if not ended.done():
            raise Left
        return ended.result()


def _run(call: Callable[[], T], ended: futures.Future[T]) -> None:
    try:
        ended.set_result(call())
    except BaseException as error:
        ended.set_exception(error)
