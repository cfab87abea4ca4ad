# SPDX-License-Identifier: Apache-2.0
"""Runs one job for each of many things, several at once, and answers within a bound in any case.

Threads are Python's own: native ones, or under eventlet, where Nova has replaced them, green ones
on the hub of the thread that calls, the only one that an answer over the message bus reaches.
Each lane serves one host, so a host that hangs holds its own lanes and no others.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Sequence
import dataclasses
import enum
import queue
import threading
import time
from typing import Any, TypeVar

Job = TypeVar('Job')


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The bounds of a run: jobs at once, and times.

    :ivar at_once: jobs that run at the same time, in all.
    :ivar per_host: and for one host.
    :ivar begin_s: seconds in which jobs are begun.
    :ivar answer_s: seconds until the answer; longer, so that begun jobs can be done.
    """

    at_once: int
    per_host: int
    begin_s: float
    answer_s: float


@dataclasses.dataclass(frozen=True)
class Done:
    """A job that has ended.

    :ivar value: its result.
    :ivar error: the exception that it raised, if it did.
    """

    value: Any
    error: Exception | None = None


class Left(enum.Enum):
    """A job that was not done in time."""

    NOT_BEGUN = 'not begun'
    BEGUN = 'begun'


NOT_BEGUN, BEGUN = Left.NOT_BEGUN, Left.BEGUN
State = Done | Left


def run(jobs: Sequence[Job], host_of: Callable[[Job], Hashable], do: Callable[[Job], Any],
        bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> list[State]:
    """Run the jobs, those of a host in their order; return the outcome of each, in their order.

    A job that was begun and is not done at the end of the time goes on; its outcome is dropped.

    :param clock: seconds, only going forward
    """
    work = _Work(jobs, do, clock, clock() + bounds.begin_s)
    until_s = clock() + bounds.answer_s
    waiting: dict[Hashable, collections.deque[int]] = {}
    for number, job in enumerate(jobs):
        waiting.setdefault(host_of(job), collections.deque()).append(number)
    # The first lane of each host before the second of any.
    lanes = collections.deque(mine for turn in range(bounds.per_host)
                              for mine in waiting.values() if turn < len(mine))
    count = min(bounds.at_once, len(lanes))
    for number in range(count):
        threading.Thread(target=work.run, args=(lanes,), name=f'migpolicy-{number}',
                         daemon=True).start()
    return work.wait(count, until_s)


class _Work:
    """The state that the threads of one call share."""

    def __init__(self, jobs: Sequence[Any], do: Callable[[Any], Any],
                 clock: Callable[[], float], begin_until_s: float) -> None:
        self._jobs = jobs
        self._do = do
        self._clock = clock
        self._begin_until_s = begin_until_s
        # A number and its job's end, or None where a thread has nothing to do any more.
        self._told: queue.Queue[tuple[int, Done] | None] = queue.Queue()
        # So that a job that was reported as not begun never begins.
        self._lock = threading.Lock()
        self._states: list[State] = [NOT_BEGUN] * len(jobs)

    def run(self, lanes: collections.deque[collections.deque[int]]) -> None:
        """Serve one lane after the other, until there is none."""
        while True:
            try:
                mine = lanes.popleft()
            except IndexError:
                self._told.put(None)
                return
            while (number := self._next(mine)) is not None:
                self._told.put((number, self._done(self._jobs[number])))

    def _next(self, mine: collections.deque[int]) -> int | None:
        with self._lock:
            if not mine or self._clock() >= self._begin_until_s:
                return None
            number = mine.popleft()
            self._states[number] = BEGUN
            return number

    def _done(self, job: Any) -> Done:
        try:
            return Done(self._do(job))
        except Exception as error:
            return Done(None, error)

    def wait(self, threads: int, until_s: float) -> list[State]:
        """Wait until all threads have nothing to do any more, or for the end of the time."""
        done: dict[int, Done] = {}
        while threads:
            try:
                told = self._told.get(timeout=max(0.0, until_s - self._clock()))
            except queue.Empty:
                break
            if told is None:
                threads -= 1
            else:
                done[told[0]] = told[1]
        with self._lock:
            self._begin_until_s = float('-inf')
            return [done.get(number, state) for number, state in enumerate(self._states)]
