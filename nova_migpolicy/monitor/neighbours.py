# SPDX-License-Identifier: Apache-2.0
"""The migrations that this host sends now, and what each tells the others of itself.

They share a link, whatever their destinations. Each of its members is told by a call when it
should look again. What follows from it is `engine.share`'s; any thread may call.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import threading


@dataclasses.dataclass
class Member:
    """A migration among the others of its host, from the first to the last look at it.

    :ivar in_need: it cannot end at the rate that it gets beside others
    :ivar has_given_way: it goes at a trickle
    """

    wake: Callable[[], object]
    in_need: bool = False
    has_given_way: bool = False


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a member sees of the others: see engine.sample."""

    others: int
    needed_by: int


class Neighbours:
    """The members, in the order in which they began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: list[Member] = []

    def join(self, wake: Callable[[], object]) -> Member:
        """Begin to send."""
        member = Member(wake)
        with self._lock:
            self._members.append(member)
        return member

    def leave(self, member: Member) -> None:
        """Have ended; who waited for it is woken."""
        with self._lock:
            self._members.remove(member)
            rest = tuple(self._members)
        if member.in_need:
            for one in rest:
                one.wake()

    def tell(self, member: Member, *, in_need: bool, has_given_way: bool) -> None:
        """Say how a member stands; those that it is new to are woken."""
        with self._lock:
            is_new = in_need != member.in_need
            member.in_need, member.has_given_way = in_need, has_given_way
            rest = tuple(one for one in self._members if one is not member)
        if is_new:
            for one in rest:
                one.wake()

    def seen_by(self, member: Member) -> Seen:
        """What a member sees."""
        with self._lock:
            place = self._members.index(member)
            return Seen(sum(one is not member and not one.has_given_way for one in self._members),
                        sum(one.in_need for one in self._members[:place]))
