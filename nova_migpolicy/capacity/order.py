# SPDX-License-Identifier: Apache-2.0
"""The order of a queue: priority, then turns between groups, then age; nothing waits for ever.

A priority is a number of points, 0 to 100, the higher the sooner; three classes have names
(vocabulary.PRIORITIES). Each priority is a level of the queue. What has waited for AGEING_S
whatever its priority is in one level above all of them.

Within a level the groups have turns; at a destination a group is a source, so that one source
with many waiting does not keep another's single one out. Within a group the oldest goes first.

The bound: after AGEING_S, at most K * S - 1 others are taken before, where it is the K-th of its
group in the level of the aged and S groups are in it, or come into it meanwhile; and whatever is
taken while its own group rests. A group that comes later has its first turn after all others.
"""

from __future__ import annotations

import itertools

from nova_migpolicy.capacity import heaps

#: after so long its priority does not count any more
AGEING_S = 1800.0
#: the level of what has waited for so long
AGED = 101
#: the places of a longer queue than this are counted anew no more often than each of so many
#: seconds: to count them takes as long as the queue is
SHORT = 16
PLACES_S = 10.0


def level_of(priority: int, waited_s: float) -> int:
    """Return the level of one with these points that has waited for so long."""
    return priority if waited_s < AGEING_S else AGED


class _Level:
    """The waiting ones of one priority, or the aged ones."""

    def __init__(self) -> None:
        #: by group: its tickets by age
        self.lines: dict[str, heaps.Heap[str]] = {}
        #: the groups that do not rest, by turn
        self.turns: heaps.Heap[str] = heaps.Heap()
        #: the turns of those that rest, which they keep
        self.resting: dict[str, float] = {}

    def first(self) -> str | None:
        """Return the ticket whose turn it is."""
        turn = self.turns.first()
        if turn is None:
            return None
        ticket = self.lines[turn[1]].first()
        return None if ticket is None else ticket[1]

    def set_turn(self, group: str, turn: float) -> None:
        """Give a group another turn, whether it rests or not."""
        if group in self.resting:
            self.resting[group] = turn
        else:
            self.turns.put(group, turn)

    def turn(self, group: str) -> float:
        """Return the turn of a group that is in here."""
        rank = self.turns.rank(group)
        return self.resting[group] if rank is None else rank

    def remove(self, ticket: str, group: str) -> None:
        """Take out a ticket, and its group with the last one of it."""
        line = self.lines[group]
        line.drop(ticket)
        if not line:
            del self.lines[group]
            self.turns.drop(group)
            self.resting.pop(group, None)

    def in_order(self) -> list[str]:
        """Return its tickets as they would go if no other came; those that rest are last."""
        groups = [*self.turns.in_order(), *sorted(self.resting, key=self.resting.__getitem__)]
        rounds = itertools.zip_longest(*(self.lines[group].in_order() for group in groups))
        return [ticket for one in rounds for ticket in one if ticket is not None]


class Place:
    """A ticket's place in the queue; it can be given back.

    since_s: it is in its level since then
    """

    __slots__ = ('asked_s', 'group', 'level', 'since_s', 'turn')

    def __init__(self, group: str, level: int, asked_s: float, since_s: float,
                 turn: float | None = None) -> None:
        self.group = group
        self.level = level
        self.asked_s = asked_s
        self.since_s = since_s
        self.turn = turn


class Queue:
    """What waits, each by a ticket's name; each change is O(log n).

    Time is in seconds, and does not go back.
    """

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._levels: dict[int, _Level] = {}
        self._resting: set[str] = set()
        self._ageing: heaps.Heap[str] = heaps.Heap()
        self._turn = 0
        self._counted: dict[str, int] = {}
        self._counted_s = 0.0
        self._is_counted = False

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, ticket: object) -> bool:
        return ticket in self._places

    def place(self, ticket: str) -> Place:
        """Return a waiting ticket's place."""
        return self._places[ticket]

    def add(self, ticket: str, group: str, priority: int, asked_s: float, now_s: float) -> None:
        """Let a ticket wait; it has asked then, which may be long ago.

        :param priority: its points
        """
        self._enter(ticket, Place(group, priority, asked_s, now_s))

    def remove(self, ticket: str) -> Place | None:
        """Take a ticket out, whose turn is not used; return its place, if it had one."""
        place = self._places.pop(ticket, None)
        if place is not None:
            self._is_counted = False
            self._ageing.drop(ticket)
            self._leave(ticket, place)
        return place

    def take(self, ticket: str) -> Place:
        """Take a waiting ticket out, with which its group has had its turn."""
        place = self._places[ticket]
        level = self._levels[place.level]
        place.turn = level.turn(place.group)
        self._turn += 1
        level.set_turn(place.group, self._turn)
        self.remove(ticket)
        return place

    def give_back(self, ticket: str, place: Place) -> None:
        """Let a ticket that was taken wait again, where it was: its turn was not used."""
        self._enter(ticket, place)

    def rest(self, group: str) -> None:
        """Let a group be passed over until it is roused; it keeps its places."""
        if group not in self._resting:
            self._resting.add(group)
            for level in self._levels.values():
                turn = level.turns.drop(group)
                if turn is not None:
                    level.resting[group] = turn

    def rouse(self, group: str) -> None:
        """Let a group be passed over no longer."""
        if group in self._resting:
            self._resting.discard(group)
            for level in self._levels.values():
                turn = level.resting.pop(group, None)
                if turn is not None:
                    level.turns.put(group, turn)

    def rests(self, group: str) -> bool:
        """Whether a group is passed over."""
        return group in self._resting

    def head(self, now_s: float) -> str | None:
        """Return the ticket that is to be taken next, or None where none may be."""
        self._age(now_s)
        for number in sorted(self._levels, reverse=True):
            ticket = self._levels[number].first()
            if ticket is not None:
                return ticket
        return None

    def heads(self, now_s: float) -> list[tuple[str, Place]]:
        """Return the oldest ticket of each group that does not rest, in each level."""
        self._age(now_s)
        return [(first[1], self._places[first[1]])
                for _, level in sorted(self._levels.items(), reverse=True)
                for group in level.turns.in_order()
                if (first := level.lines[group].first()) is not None]

    def in_order(self, now_s: float) -> list[str]:
        """Return all tickets in the order in which they would go if no other came; O(n log n)."""
        self._age(now_s)
        return [ticket for _, level in sorted(self._levels.items(), reverse=True)
                for ticket in level.in_order()]

    def number(self, ticket: str, now_s: float) -> int:
        """Return which one a waiting ticket is, from 1; of a long queue as of some seconds ago."""
        is_due = len(self) <= SHORT or now_s - self._counted_s >= PLACES_S
        if not self._is_counted and (is_due or not self._counted):
            self._counted = {one: number for number, one in enumerate(self.in_order(now_s), 1)}
            self._counted_s, self._is_counted = now_s, True
        # One that has come since is behind all others, until they are counted anew.
        return min(self._counted.get(ticket, len(self)), len(self))

    def _enter(self, ticket: str, place: Place) -> None:
        self.remove(ticket)
        self._is_counted = False
        self._places[ticket] = place
        level = self._levels.setdefault(place.level, _Level())
        line = level.lines.get(place.group)
        if line is None:
            line = level.lines[place.group] = heaps.Heap()
            if place.turn is None:
                self._turn += 1
                place.turn = self._turn
            if place.group in self._resting:
                level.resting[place.group] = place.turn
            else:
                level.turns.put(place.group, place.turn)
        elif place.turn is not None:
            level.set_turn(place.group, min(place.turn, level.turn(place.group)))
        place.turn = None
        line.put(ticket, place.asked_s)
        if place.level != AGED:
            self._ageing.put(ticket, place.asked_s + AGEING_S)

    def _leave(self, ticket: str, place: Place) -> None:
        level = self._levels[place.level]
        level.remove(ticket, place.group)
        if not level.lines:
            del self._levels[place.level]

    def _age(self, now_s: float) -> None:
        """Put those that have waited for AGEING_S above the others."""
        for ticket in self._ageing.until(now_s):
            place = self._places[ticket]
            self._leave(ticket, place)
            del self._places[ticket]
            self._enter(ticket, Place(place.group, AGED, place.asked_s, now_s))
