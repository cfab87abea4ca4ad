# SPDX-License-Identifier: Apache-2.0
"""Pass events and requests from other threads to a migration's monitor.

libvirt's callbacks run in a native thread. Where nova-compute is threaded, a
condition wakes the monitor at once. Under eventlet that thread must not touch
anything that is patched, so there the monitor checks a plain deque between
short sleeps: a check costs no system call and no libvirt call.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import threading
import time
from typing import Any

from nova_migpolicy.channel import protocol

# A monitor under eventlet is late for an event by up to this many seconds.
LOOK_EVERY_S = 0.1
# At most this many retunes may wait while libvirt does not answer.
MOST_WAITING = 100


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
    """The return of libvirt's migrate call, with or without an error."""

    at_s: float


@dataclasses.dataclass(frozen=True)
class Switchover:
    """The guest has stopped on the source, for the last part of its memory to be sent."""

    at_s: float


@dataclasses.dataclass(frozen=True)
class DiskReady:
    """A disk that is copied has come in sync."""

    at_s: float


@dataclasses.dataclass(frozen=True)
class NeighbourChanged:
    """Another migration of this host needs the link, or does not need it any more."""

    at_s: float


class Reply:
    """A place for one answer; the first one given counts.

    The caller waits for it in its own thread; the monitor gives it and goes on.
    """

    def __init__(self) -> None:
        self._given = threading.Event()
        self._first = threading.Lock()
        self._answer: protocol.Answer | None = None
        self._tell: Callable[[protocol.Answer], object] = lambda answer: None

    def give(self, answer: protocol.Answer) -> None:
        """Give the answer; does nothing where one was given before."""
        with self._first:
            is_first = self._answer is None
            if is_first:
                self._answer = answer
            tell = self._tell
        self._given.set()
        if is_first:
            tell(answer)

    def when_given(self, tell: Callable[[protocol.Answer], object]) -> None:
        """Call `tell` with the answer once it is given; at once where it was."""
        with self._first:
            self._tell, given = tell, self._answer
        if given is not None:
            tell(given)

    def wait(self, timeout_s: float) -> protocol.Answer | None:
        """The answer, or None where there is none within `timeout_s`."""
        self._given.wait(timeout_s)
        return self._answer


@dataclasses.dataclass(frozen=True)
class Command:
    """An order of an operator, one of vocabulary.ORDERS.

    why: the reason of a cancel that did not come through the API.
    """

    name: str
    reply: Reply = dataclasses.field(default_factory=Reply)
    why: str = ''


@dataclasses.dataclass(frozen=True)
class Retune:
    """A change of policy keys by an operator, or the release of some to the engine."""

    values: Mapping[str, Any]
    release: tuple[str, ...]
    reply: Reply = dataclasses.field(default_factory=Reply)


@dataclasses.dataclass(frozen=True)
class Look:
    """A request for the present status, not the one of the last sample."""

    reply: Reply = dataclasses.field(default_factory=Reply)


Event = PassStarted | JobCompleted | CallReturned | Switchover | NeighbourChanged | DiskReady
Request = Command | Retune | Look
Item = Event | Request


class Inbox:
    """For a threaded nova-compute: `put` wakes `wait` at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._items: collections.deque[Item] = collections.deque()
        # Statistics are current ones, so only the newest pass can be sampled; while libvirt
        # does not answer, thousands may begin.
        self._newest_pass: collections.deque[PassStarted] = collections.deque(maxlen=1)
        self._arrived = threading.Event()
        self._closed = False

    def put(self, item: Event) -> None:
        """Add an event; from any thread, never blocks."""
        self._append(item)
        self._arrived.set()

    def _append(self, item: Event) -> None:
        if isinstance(item, PassStarted):
            self._newest_pass.append(item)
        else:
            self._items.append(item)

    @property
    def is_closed(self) -> bool:
        """Whether nobody reads it any more."""
        return self._closed

    @property
    def crowded(self) -> bool:
        """Whether MOST_WAITING retunes wait to be read, so that no more should be added."""
        return sum(isinstance(item, Retune) for item in self._items.copy()) >= MOST_WAITING

    def holds(self, name: str) -> bool:
        """Whether a command of this name waits to be read."""
        return self.waiting(Command(name)) is not None

    def waiting(self, wanted: Request) -> Request | None:
        """Return an equal request that waits to be read; retunes are never equal.

        The caller waits for the answer to that one, so however often something is requested, it
        waits in the inbox once.
        """
        for item in self._items.copy():
            if isinstance(item, Look) and isinstance(wanted, Look):
                return item
            if (isinstance(item, Command) and isinstance(wanted, Command)
                    and item.name == wanted.name):
                return item
        return None

    def ask(self, item: Request) -> bool:
        """Add a request; returns False where nobody reads it any more.

        Not to be called by libvirt's own thread.
        """
        self._items.append(item)
        self._arrived.set()
        return not self._closed

    def wait(self, timeout_s: float) -> list[Item]:
        """Return the items that have come; empty when nothing came within `timeout_s`.

        Oldest first, except passes: only the newest one that began is there, and comes last.
        """
        self._arrived.wait(timeout_s)
        # Cleared before it is emptied: an item that comes in between is taken
        # now and wakes one empty round later, but is never slept over.
        self._arrived.clear()
        return self._take()

    def close(self) -> list[Item]:
        """Close the inbox and return the items that have come since the last `wait`.

        A request racing with close() is returned here, or ask() returns False, or both.
        """
        self._closed = True
        return self._take()

    def _take(self) -> list[Item]:
        taken: list[Item] = []
        while self._items:
            taken.append(self._items.popleft())
        while self._newest_pass:
            taken.append(self._newest_pass.popleft())
        return taken


class PolledInbox(Inbox):
    """For a nova-compute under eventlet: `put` only appends, `wait` checks now and then.

    An operator's request comes in a green thread and may wake the monitor, which is one, too.
    """

    def put(self, item: Event) -> None:
        """Add an event; safe in a native thread beside eventlet's."""
        self._append(item)

    def wait(self, timeout_s: float) -> list[Item]:
        """As Inbox.wait; late for an event by up to LOOK_EVERY_S."""
        end_s = self.clock() + timeout_s
        while not (self._items or self._newest_pass):
            left_s = end_s - self.clock()
            if left_s <= 0:
                break
            self._arrived.wait(min(LOOK_EVERY_S, left_s))
        self._arrived.clear()
        return self._take()
