# SPDX-License-Identifier: Apache-2.0
"""What reaches a migration's monitor from other threads: events and commands.

libvirt's callbacks run in a native thread. Where nova-compute is threaded, a
condition wakes the monitor at once. Under eventlet that thread must not touch
anything that is patched, so there the monitor looks at a plain deque between
short sleeps: a look costs no system call and no libvirt call.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
import dataclasses
import threading
import time
from typing import Any

# How long a monitor under eventlet may be late for an event, in seconds.
LOOK_EVERY_S = 0.1


@dataclasses.dataclass(frozen=True)
class PassStarted:
    """QEMU began a new pass (libvirt's MIGRATION_ITERATION); `at_s` on the monitor's clock."""

    at_s: float
    iteration: int


@dataclasses.dataclass(frozen=True)
class JobCompleted:
    """libvirt's JOB_COMPLETED with the final statistics."""

    at_s: float
    stats: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class CallReturned:
    """libvirt's migrate call has come back, well or not."""

    at_s: float


@dataclasses.dataclass(frozen=True)
class ForceComplete:
    """A person wants it finished now, whatever it costs the guest."""

    at_s: float


@dataclasses.dataclass(frozen=True)
class Cancel:
    """A person wants it stopped."""

    at_s: float


Item = PassStarted | JobCompleted | CallReturned | ForceComplete | Cancel


class Inbox:
    """For a threaded nova-compute: `put` wakes `wait` at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._items: collections.deque[Item] = collections.deque()
        self._arrived = threading.Event()

    def put(self, item: Item) -> None:
        """Add an item; from any thread, never blocks."""
        self._items.append(item)
        self._arrived.set()

    def wait(self, timeout_s: float) -> list[Item]:
        """What has come, oldest first; empty when nothing came within `timeout_s`."""
        self._arrived.wait(timeout_s)
        # Cleared before it is emptied: an item that comes in between is taken
        # now and wakes one empty round later, but is never slept over.
        self._arrived.clear()
        return self._take()

    def _take(self) -> list[Item]:
        taken = []
        while self._items:
            taken.append(self._items.popleft())
        return taken


class PolledInbox(Inbox):
    """For a nova-compute under eventlet: `put` only appends, `wait` looks now and then."""

    def put(self, item: Item) -> None:
        """Add an item; safe in a native thread beside eventlet's."""
        self._items.append(item)

    def wait(self, timeout_s: float) -> list[Item]:
        """As Inbox.wait, late by up to LOOK_EVERY_S."""
        end_s = self.clock() + timeout_s
        while not self._items:
            left_s = end_s - self.clock()
            if left_s <= 0:
                break
            time.sleep(min(LOOK_EVERY_S, left_s))
        return self._take()
