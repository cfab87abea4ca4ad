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
from collections.abc import Mapping
import dataclasses
import threading
import time
from typing import Any

from nova_migpolicy.channel import protocol

# How long a monitor under eventlet may be late for an event, in seconds.
LOOK_EVERY_S = 0.1
# More than may wait while libvirt does not answer.
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
    """libvirt's migrate call has come back, well or not."""

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
    """Where one answer is waited for; the first that is given counts.

    The caller waits for it in a thread of its own; the monitor gives it and goes on.
    """

    def __init__(self) -> None:
        self._given = threading.Event()
        self._first = threading.Lock()
        self._answer: protocol.Answer | None = None
        self._tell: Callable[[protocol.Answer], object] = lambda answer: None

    def give(self, answer: protocol.Answer) -> None:
        """Answer; does nothing where that was done before."""
        with self._first:
            is_first = self._answer is None
            if is_first:
                self._answer = answer
            tell = self._tell
        self._given.set()
        if is_first:
            tell(answer)

    def when_given(self, tell: Callable[[protocol.Answer], object]) -> None:
        """Call with the answer once it is given; at once where it was."""
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
    """A person wants one of vocabulary.ORDERS done."""

    name: str
    reply: Reply = dataclasses.field(default_factory=Reply)


@dataclasses.dataclass(frozen=True)
class Tune:
    """A person changes policy keys, or gives some back to the engine."""

    values: Mapping[str, Any]
    release: tuple[str, ...]
    reply: Reply = dataclasses.field(default_factory=Reply)


@dataclasses.dataclass(frozen=True)
class Look:
    """Somebody wants to see how it is now, not how it was at the last look."""

    reply: Reply = dataclasses.field(default_factory=Reply)


Event = PassStarted | JobCompleted | CallReturned | Switchover | NeighbourChanged | DiskReady
Request = Command | Tune | Look
Item = Event | Request


class Inbox:
    """For a threaded nova-compute: `put` wakes `wait` at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._items: collections.deque[Item] = collections.deque()
        # Statistics are those of now, so only the newest pass can be sampled; while libvirt
        # does not answer, thousands may begin.
        self._newest_pass: collections.deque[PassStarted] = collections.deque(maxlen=1)
        self._arrived = threading.Event()
        self._closed = False

    def put(self, item: Event) -> None:
        """Add what has happened; from any thread, never blocks."""
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
        """Whether so many changes wait to be read that nobody should add more."""
        return sum(isinstance(item, Tune) for item in self._items.copy()) >= MOST_WAITING

    def holds(self, name: str) -> bool:
        """Whether a command of this name waits to be read."""
        return self.waiting(Command(name)) is not None

    def waiting(self, wanted: Request) -> Request | None:
        """Return a request that waits to be read and wants the same; changes are never the same.

        Whoever finds one waits for its answer, so that however often something is asked for, it
        waits once.
        """
        for item in self._items.copy():
            if isinstance(item, Look) and isinstance(wanted, Look):
                return item
            if (isinstance(item, Command) and isinstance(wanted, Command)
                    and item.name == wanted.name):
                return item
        return None

    def ask(self, item: Request) -> bool:
        """Add what a person wants; False where nobody reads it any more.

        Not to be called by libvirt's own thread.
        """
        self._items.append(item)
        self._arrived.set()
        return not self._closed

    def wait(self, timeout_s: float) -> list[Item]:
        """Return what has come; empty when nothing came within `timeout_s`.

        Oldest first, but for passes: only the newest one that began is there, and comes last.
        """
        self._arrived.wait(timeout_s)
        # Cleared before it is emptied: an item that comes in between is taken
        # now and wakes one empty round later, but is never slept over.
        self._arrived.clear()
        return self._take()

    def close(self) -> list[Item]:
        """What has come since the last look, which was the last one.

        Who asks at the same moment is either among these or told so by `ask`, or both.
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
    """For a nova-compute under eventlet: `put` only appends, `wait` looks now and then.

    A person's request comes in a green thread and may wake the monitor, which is one, too.
    """

    def put(self, item: Event) -> None:
        """Add what has happened; safe in a native thread beside eventlet's."""
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
