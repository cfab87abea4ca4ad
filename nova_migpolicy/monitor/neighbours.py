# SPDX-License-Identifier: Apache-2.0
"""The migrations that this host sends now, and the state that each reports to the others.

They share a link, whatever their destinations. A member is woken by a call when it should take a
sample again. The consequences are decided in `engine.steering.share`; any thread may call.

A member that has not reported for a while waits for libvirt, which waits for QEMU in a switchover
over a dead link: it neither uses the link nor needs it.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import threading
import time

from nova_migpolicy.engine.steering import share

# Each reports its state about every five seconds.
SILENT_S = 30.0


@dataclasses.dataclass
class Member:
    """A migration among the others of its host, from the first to the last sample of it.

    :ivar in_need: it cannot end at the rate that it gets beside others
    :ivar told_s: the time of its last report
    :ivar is_urgent: its deadline permits no more waiting
    :ivar has_given_way: it sends at a trickle, or stands still
    """

    wake: Callable[[], object]
    told_s: float
    in_need: bool = False
    is_urgent: bool = False
    has_given_way: bool = False


@dataclasses.dataclass(frozen=True)
class Seen:
    """A member's view of the others: see Sample in engine.samples."""

    others: int
    needed_by: int


class Neighbours:
    """The members, in the order in which they began.

    :param clock: seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._members: list[Member] = []

    def join(self, wake: Callable[[], object]) -> Member:
        """Add a migration that begins to send."""
        member = Member(wake, self._clock())
        with self._lock:
            self._members.append(member)
        return member

    def leave(self, member: Member) -> None:
        """Remove a migration that has ended, and wake those that waited for it."""
        with self._lock:
            self._members.remove(member)
            rest = tuple(self._members)
        if member.in_need:
            for one in rest:
                one.wake()

    def tell(self, member: Member, *, in_need: bool, has_given_way: bool,
             is_urgent: bool = False) -> None:
        """Record the state of a member, and wake the others where it has changed.

        A member that has become urgent is woken, too: others do not go before it any more.
        """
        with self._lock:
            member.told_s = self._clock()
            urgency_changed = is_urgent != member.is_urgent
            is_new = urgency_changed or in_need != member.in_need
            member.in_need, member.is_urgent = in_need, is_urgent
            member.has_given_way = has_given_way
            woken = tuple(one for one in self._members
                          if urgency_changed or one is not member)
        if is_new:
            for one in woken:
                one.wake()

    def seen_by(self, member: Member) -> Seen:
        """Return a member's view of the others."""
        since_s = self._clock() - SILENT_S
        with self._lock:
            place = self._members.index(member)
            heard = [one.told_s > since_s for one in self._members]
            return Seen(
                sum(tells and one is not member and not one.has_given_way
                    for tells, one in zip(heard, self._members, strict=True)),
                share.needed_by([(tells and one.in_need, one.is_urgent)
                                 for tells, one in zip(heard, self._members, strict=True)], place))
