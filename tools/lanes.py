# SPDX-License-Identifier: Apache-2.0
"""Which lane takes which class of tests, and how many lanes there are; nothing is run here.

A lane has one thing up at a time, such as an OpenStack, and changes it when a class needs another.
That takes long where the whole is made anew (`stack`), and some seconds where only its settings
differ (`conf`). So a lane stays with what it has, and takes the longest class of it.
"""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
import threading

#: what a lane gains by taking a class that needs the settings it has, in seconds
SAME_CONF_S = 6.0
#: left for the rest of the machine, in MiB
SPARE_MIB = 2048


@dataclasses.dataclass(frozen=True)
class Job:
    """A class of tests.

    :param tests: their ids
    :param stack: what must be up for it, in any words; making another one takes `setup_s`
    :param conf: with which settings
    :param seconds: how long it takes, about
    :param last: it ends what the lane has up, so it comes after the others of that stack
    """

    name: str
    tests: tuple[str, ...]
    stack: str = ''
    conf: str = ''
    seconds: float = 0.0
    last: bool = False


class Queue:
    """The classes that nobody has taken yet; may be used by many threads.

    :param setup_s: how long making another stack takes
    """

    def __init__(self, jobs: Iterable[Job], setup_s: float) -> None:
        self._left = sorted(jobs, key=lambda job: (-job.seconds, job.name))
        self._setup_s = setup_s
        self._up: dict[str, Job] = {}
        self._lock = threading.Lock()

    def take(self, lane: str) -> Job | None:
        """Return the next class for a lane; None if the others will do what is left."""
        with self._lock:
            found = self._next(lane)
            if found is None:
                self._up.pop(lane, None)
            else:
                self._left.remove(found)
                self._up[lane] = found
            return found

    def left(self) -> list[Job]:
        """Return what nobody has taken."""
        with self._lock:
            return list(self._left)

    def _next(self, lane: str) -> Job | None:
        up = self._up.get(lane)
        stack = up.stack if up and self._of(up.stack) else self._most_behind(lane)
        if stack is None:
            return None
        jobs = self._of(stack)
        return max([job for job in jobs if not job.last] or jobs, key=lambda job: (
            job.seconds + SAME_CONF_S * (up is not None and up.conf == job.conf)))

    def _most_behind(self, lane: str) -> str | None:
        """Return the stack to make for a lane, None where another one helps no stack.

        One that no lane has comes first: it takes a lane and its making anyway, and the others
        would wait for one left to the end. Then the one of which most is left for each of its
        lanes.
        """
        best, most = None, (False, 0.0)
        for stack in dict.fromkeys(job.stack for job in self._left):
            jobs = self._of(stack)
            lanes = sum(up.stack == stack for other, up in self._up.items() if other != lane)
            share = sum(job.seconds for job in jobs) / (lanes + 1)
            helps = not lanes or (share > self._setup_s and not all(job.last for job in jobs))
            if helps and (best is None or (not lanes, share) > most):
                best, most = stack, (not lanes, share)
        return best

    def _of(self, stack: str) -> list[Job]:
        return [job for job in self._left if job.stack == stack]


def how_many(available_mib: int, cores: int, each_mib: int, per_core: float, most: int) -> int:
    """Return the number of lanes for a machine: at least one.

    :param available_mib: memory that may be used, without what SPARE_MIB leaves
    :param each_mib: what a lane takes of it
    :param per_core: lanes for each core; above 1 where a lane mostly waits
    :param most: not more than this
    """
    by_memory = (available_mib - SPARE_MIB) // each_mib
    return max(1, min(by_memory, int(cores * per_core), most))
