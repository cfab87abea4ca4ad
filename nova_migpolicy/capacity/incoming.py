# SPDX-License-Identifier: Apache-2.0
"""The incoming slots of a host: who has them, who waits for one, and what was offered to whom.

A ticket of a migration waits; when there is room for it, it is offered a slot, which is kept for
OFFER_S. Its source takes the offer, and holds the slot by a lease; or declines, and the ticket is
back where it was. What a source says of a migration replaces what it has said before, so that
messages may be lost, doubled, late and out of order.

After a start nothing is offered for the length of a lease: whoever has a slot says so in that
time. No more slots are given than the limit allows. There may be more holders only

* after the limit was lowered, until so many have ended;
* where a lease had ended although data flows, as no message of its source came for LEASE_S, or
  none came since the start: it counts again from its next message on. Time in which this host
  hears nothing at all does not count: see hear_nothing.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import enum
import itertools
import typing

from nova_migpolicy.capacity import heaps
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import lives
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import order
from nova_migpolicy.capacity import waits
from nova_migpolicy import vocabulary

Turn = messages.Turn
Sends = list[messages.Message]

#: the beginnings of the names of timers
_TICKET, _REST, _RESERVED, _START = 't', 'r', 'c', 's'


class State(enum.Enum):
    """How a ticket stands."""

    WAITING = 'waiting'
    OFFERED = 'offered'
    HOLDING = 'holding'
    #: over; kept for a while, since messages may come late
    GONE = 'gone'


@dataclasses.dataclass(slots=True)
class Ticket:
    """One migration, as its source's newest message has it.

    said: the epoch and the number of that message. until_s: of the state, when nothing comes.
    heard_s: when that message came. offer: the number of the last offer. place: where to go back
    to, while it is offered. was_reserved: it was offered what its check had reserved.
    """

    source: str
    migration: str
    said: tuple[int, int]
    state: State = State.GONE
    server: str = ''
    priority: int = 0
    cost_mib: float = 0.0
    is_alone: bool = False
    asked_s: float = 0.0
    heard_s: float = 0.0
    until_s: float = 0.0
    since_s: float = 0.0
    offer: int = 0
    place: order.Place | None = None
    was_reserved: bool = False
    phase: str = ''
    ends_s: float | None = None

    @property
    def name(self) -> str:
        """The name by which it is known here: a migration belongs to one source."""
        return f'{self.source} {self.migration}'


@dataclasses.dataclass(slots=True)
class _Source:
    """A source: its tickets, its free slots by its newest message, and how many it is offered."""

    names: set[str] = dataclasses.field(default_factory=set)
    said: tuple[int, int] = (0, 0)
    room: int = 1
    offered: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Reserved:
    server: str
    is_alone: bool


class Incoming:
    """The machine of a destination. It never raises on a message.

    :param now_s: a monotonic time, as in each call
    :param epoch: the start of this process in ms since 1970
    """

    def __init__(self, now_s: float, host: str, epoch: int,
                 limits: limits_mod.Limits | None = None) -> None:
        self.host = host
        self.epoch = epoch
        self.limits = limits or limits_mod.Limits()
        self.starts_s = now_s + limits_mod.LEASE_S
        self._is_closed = self._has_started = False
        self._tickets: dict[str, Ticket] = {}
        self._sources: dict[str, _Source] = {}
        #: those that have a slot, or are offered one
        self._with_slot: dict[str, Ticket] = {}
        self._reserved: dict[str, _Reserved] = {}
        #: of those that have a slot or a reservation: how many run alone
        self._alone = 0
        #: those that run among others, and those that run alone
        self._queue = order.Queue()
        self._alone_queue = order.Queue()
        #: no one that runs alone has others held back for it before
        self._alone_from_s = now_s
        self._lives = lives.Lives()
        self._timers: heaps.Heap[tuple[str, str]] = heaps.Heap()
        self._timers.put((_START, ''), self.starts_s)
        self._number = 0
        self._offers = 0

    # What others may see.

    @property
    def wake_s(self) -> float | None:
        """When wake is to be called at the latest, or None for never."""
        first = self._timers.first()
        return None if first is None else first[0]

    @property
    def missed_s(self) -> float | None:
        """When a lease will have missed its renewal, or the start is about to be over; or None.

        From then on it is worth knowing whether this host hears anything.
        """
        heard_s = [ticket.heard_s + limits_mod.MISSED_S for ticket in self._with_slot.values()
                   if ticket.state is State.HOLDING]
        if not self._has_started:
            heard_s.append(self.starts_s - limits_mod.MISSED_S)
        return min(heard_s, default=None)

    @property
    def used(self) -> int:
        """How many slots are held, offered or reserved."""
        return len(self._with_slot) + len(self._reserved)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue) + len(self._alone_queue)

    @property
    def sources(self) -> int:
        """How many sources something is known of."""
        return len(self._sources)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of any migration."""
        return not (self._tickets or self._reserved)

    def ticket(self, source: str, migration: str) -> Ticket | None:
        """Return what is known of a migration."""
        return self._tickets.get(f'{source} {migration}')

    def holders(self) -> list[Ticket]:
        """Return those that have a place."""
        return [one for one in self._with_slot.values() if one.state is State.HOLDING]

    def offered(self) -> list[Ticket]:
        """Return those that are offered a place."""
        return [one for one in self._with_slot.values() if one.state is State.OFFERED]

    def reserved(self) -> list[tuple[str, str]]:
        """Return the migrations whose check has reserved a slot, each with its server's name."""
        return [(name, one.server) for name, one in self._reserved.items()]

    def wait(self, now_s: float, ticket: Ticket) -> waits.Wait:
        """Return what a ticket waits for."""
        queue = self._queue_of(ticket)
        place = queue.number(ticket.name, now_s)
        eta_s: float | None
        if self._is_closed:
            kind, eta_s = vocabulary.STOPPING, None
        elif now_s < self.starts_s:
            kind, eta_s = vocabulary.RECOUNT, self.starts_s - now_s
        else:
            kind = self._kind(now_s, ticket)
            eta_s = self._forecast_s(now_s, place, ticket.is_alone)
        return waits.Wait(self.host, kind, self.used, self.limits.max_incoming, self._names(),
                          place, len(queue), None if eta_s is None else round(eta_s, 1))

    def in_order(self, now_s: float) -> list[Ticket]:
        """Return those that wait; those that run alone are last. O(n log n)."""
        return [self._tickets[name] for queue in (self._queue, self._alone_queue)
                for name in queue.in_order(now_s)]

    def holds_back(self, now_s: float) -> bool:
        """Whether what is free goes to nobody, for the sake of one that runs alone."""
        return self._alone > 0 or self._holds_back(now_s)

    def heads(self, now_s: float) -> list[tuple[Ticket, order.Place]]:
        """Return the oldest that waits of each source that does not rest, in each level."""
        return [(self._tickets[name], place) for name, place in self._queue.heads(now_s)]

    # What happens.

    def receive(self, now_s: float, message: object) -> Turn:
        """Take a message of a source."""
        wrong = messages.fault(message, messages.FROM_SOURCE)
        if not wrong and isinstance(message, messages.FromSource) and (
                message.destination != self.host):
            wrong = f'a message for {message.destination} has come to {self.host}'
        sends: Sends = []
        self._expire(now_s)
        if wrong:
            return Turn(self._refusal(message, wrong), refused=wrong)
        self._hear(now_s, typing.cast('messages.FromSource', message), sends)
        self._fill(now_s, sends)
        return Turn(tuple(sends))

    def wake(self, now_s: float) -> Turn:
        """Let pass what is over by now."""
        sends: Sends = []
        self._expire(now_s)
        self._fill(now_s, sends)
        return Turn(tuple(sends))

    def hear_nothing(self, now_s: float) -> None:
        """Begin all leases anew, and the time after the start, too.

        That a source is not heard of tells nothing of it while nobody is.
        """
        until_s = now_s + limits_mod.LEASE_S
        for ticket in self._with_slot.values():
            if ticket.state is State.HOLDING:
                self._set_until(ticket, max(ticket.until_s, until_s))
        if not self._has_started:
            self.starts_s = max(self.starts_s, until_s)
            self._timers.put((_START, ''), self.starts_s)

    def set_limits(self, now_s: float, limits: limits_mod.Limits) -> Turn:
        """Go by other limits. Who has a slot keeps it; whether one runs alone stays, too."""
        self.limits = limits
        self._withdraw(now_s)
        return self.wake(now_s)

    def reserve(self, now_s: float, migration: str, server: str, cost_mib: float = 0.0
                ) -> waits.Refusal | None:
        """Keep a slot for a migration that is being checked, or say why there is none.

        It is kept for RESERVE_S, and is the migration's when that asks within this time. What is
        over but was not yet let pass counts as used: who waits is before who is checked.
        """
        had = self._reserved.get(migration)
        is_alone = self.limits.is_alone(cost_mib) if had is None else had.is_alone
        used = self.used - (had is not None)
        kind = ''
        if self._alone > (had is not None and had.is_alone) or (is_alone and used) or (
                had is None and self._holds_back(now_s)):
            kind = vocabulary.WHOLE_HOST if is_alone else vocabulary.ONE_ALONE
        if not limits_mod.has_room(used, self.limits.max_incoming):
            kind = vocabulary.INCOMING_SLOT
        if kind:
            return waits.Refusal(self.host, kind, self.used, self.limits.max_incoming,
                                 self._names())
        if had is None:
            self._reserved[migration] = _Reserved(server, is_alone)
            self._alone += is_alone
        self._timers.put((_RESERVED, migration), now_s + limits_mod.RESERVE_S)
        return None

    def close(self, now_s: float) -> None:
        """Offer nothing any more: this process is about to end. Who has a slot keeps it."""
        self._is_closed = True
        for ticket in self.offered():
            self._back(now_s, ticket)

    def unreserve(self, now_s: float, migration: str) -> Turn:
        """Keep no slot for a migration any more that was checked."""
        self._unreserve(migration)
        return self.wake(now_s)

    # What a source says.

    def _hear(self, now_s: float, message: messages.FromSource, sends: Sends) -> None:
        life = self._lives.hear(message.source, message.epoch, now_s)
        if life is lives.Life.FORMER:
            return
        if life is lives.Life.NEW:
            self._forget_former(now_s, message)
        name = f'{message.source} {message.migration}'
        said = message.epoch, message.number
        ticket = self._tickets.get(name)
        if ticket is None:
            ticket = self._tickets[name] = Ticket(message.source, message.migration, said)
            self._sources.setdefault(message.source, _Source()).names.add(name)
        elif said <= ticket.said and message.epoch == ticket.said[0]:
            return
        ticket.said, ticket.heard_s = said, now_s
        _HEARD[type(message)](self, now_s, ticket, message, sends)

    def _forget_former(self, now_s: float, message: messages.FromSource) -> None:
        """Let go of what waited in a process that is gone; data may flow on."""
        former = self._sources.get(message.source)
        for name in sorted(former.names if former else ()):
            ticket = self._tickets[name]
            if ticket.said[0] != message.epoch and ticket.state is not State.HOLDING:
                self._forget(now_s, ticket)

    def _asked(self, now_s: float, ticket: Ticket, message: messages.Ask, sends: Sends) -> None:
        self._set_room(now_s, message, message.room)
        if not message.room:
            # It could not take its slot, which others may have meanwhile.
            self._unreserve(ticket.migration)
        if ticket.state is State.OFFERED and message.room:
            self._send_offer(now_s, ticket, sends)
            return
        self._wait(now_s, ticket, message)
        if not self._offer_reserved(now_s, ticket, sends):
            self._fill(now_s, sends)
        if ticket.state is State.WAITING:
            sends.append(self._queued(now_s, ticket))

    def _taken(self, now_s: float, ticket: Ticket, message: messages.Take, sends: Sends) -> None:
        is_known = message.to_epoch == self.epoch and message.offer == ticket.offer
        if is_known and ticket.state is State.OFFERED:
            self._hold(now_s, ticket, message)
            self._set_room(now_s, message, self._sources[ticket.source].room - 1)
        if ticket.state is State.HOLDING and is_known:
            self._set_until(ticket, now_s + limits_mod.LEASE_S)
            sends.append(messages.Granted(**self._to(ticket)))
            return
        if ticket.state is State.OFFERED:
            # It has been offered again meanwhile.
            self._send_offer(now_s, ticket, sends)
            return
        # The offer is over. The source gives its own slot back.
        self._wait(now_s, ticket, message)
        sends.append(self._queued(now_s, ticket))

    def _declined(self, now_s: float, ticket: Ticket, message: messages.Decline,
                  sends: Sends) -> None:
        self._set_room(now_s, message, 0)
        if (ticket.state is State.OFFERED and message.to_epoch == self.epoch
                and message.offer == ticket.offer):
            self._back(now_s, ticket)
        elif ticket.state is State.GONE:
            self._set_until(ticket, now_s + limits_mod.FORGET_S)

    def _held(self, now_s: float, ticket: Ticket, message: messages.Hold, sends: Sends) -> None:
        if ticket.state is not State.HOLDING:
            # Data flows, whatever was known of it here.
            self._hold(now_s, ticket, message)
            self._withdraw(now_s)
        elif ticket.server != message.server:
            # A source that has been started again knows more of it by now.
            self._alone -= ticket.is_alone
            self._describe(now_s, ticket, message)
            self._alone += ticket.is_alone
            self._withdraw(now_s)
        self._set_until(ticket, now_s + limits_mod.LEASE_S)
        ticket.phase = message.phase
        ticket.ends_s = None if message.eta_s is None else now_s + message.eta_s
        if message.to_epoch != self.epoch:
            sends.append(messages.Granted(**self._to(ticket)))

    def _released(self, now_s: float, ticket: Ticket, message: messages.Release,
                  sends: Sends) -> None:
        if ticket.state is State.HOLDING:
            self._set_room(now_s, message, self._sources[ticket.source].room + 1)
        self._leave(now_s, ticket)
        self._unreserve(ticket.migration)
        ticket.state = State.GONE
        self._set_until(ticket, now_s + limits_mod.FORGET_S)

    # The states of a ticket.

    def _wait(self, now_s: float, ticket: Ticket, message: messages.Wanting) -> None:
        """Let it wait; where it has waited already, in its place."""
        if ticket.state is State.OFFERED and ticket.priority == message.priority:
            self._back(now_s, ticket)
        if ticket.state is State.WAITING and ticket.priority == message.priority:
            self._set_until(ticket, now_s + limits_mod.TICKET_S)
            return
        self._leave(now_s, ticket)
        self._describe(now_s, ticket, message)
        ticket.state = State.WAITING
        self._queue_of(ticket).add(ticket.name, ticket.source, ticket.priority, ticket.asked_s,
                                   now_s)
        self._set_until(ticket, now_s + limits_mod.TICKET_S)

    def _hold(self, now_s: float, ticket: Ticket, message: messages.Wanting) -> None:
        self._leave(now_s, ticket)
        self._describe(now_s, ticket, message)
        self._unreserve(ticket.migration)
        ticket.state, ticket.since_s = State.HOLDING, now_s
        self._give_slot(ticket)

    def _describe(self, now_s: float, ticket: Ticket, message: messages.Wanting) -> None:
        ticket.server, ticket.priority = message.server, message.priority
        ticket.cost_mib, ticket.is_alone = message.cost_mib, self.limits.is_alone(message.cost_mib)
        ticket.asked_s = now_s - message.waited_s

    def _back(self, now_s: float, ticket: Ticket) -> None:
        """Let an offered one wait where it was: its source's turn was not used."""
        self._take_slot_back(ticket)
        ticket.state = State.WAITING
        if ticket.is_alone:
            # Others were held back for it. They go first now, and it ages in again.
            self._alone_from_s = now_s + limits_mod.ALONE_S
        if ticket.place is not None:
            self._queue_of(ticket).give_back(ticket.name, ticket.place)
        self._set_until(ticket, ticket.heard_s + limits_mod.TICKET_S)

    def _leave(self, now_s: float, ticket: Ticket) -> None:
        """Take it out of where it is."""
        if ticket.state is State.WAITING:
            self._queue_of(ticket).remove(ticket.name)
        elif ticket.state in (State.OFFERED, State.HOLDING):
            self._take_slot_back(ticket)
            if ticket.is_alone:
                self._alone_from_s = now_s + limits_mod.ALONE_S

    def _forget(self, now_s: float, ticket: Ticket) -> None:
        self._leave(now_s, ticket)
        self._timers.drop((_TICKET, ticket.name))
        del self._tickets[ticket.name]
        source = self._sources[ticket.source]
        source.names.discard(ticket.name)
        if not source.names:
            del self._sources[ticket.source]
            self._rouse(ticket.source)
            self._timers.drop((_REST, ticket.source))

    def _give_slot(self, ticket: Ticket) -> None:
        self._with_slot[ticket.name] = ticket
        self._alone += ticket.is_alone
        if ticket.state is State.OFFERED:
            self._sources[ticket.source].offered += 1
            self._rest_or_rouse(ticket.source)

    def _take_slot_back(self, ticket: Ticket) -> None:
        del self._with_slot[ticket.name]
        self._alone -= ticket.is_alone
        if ticket.state is State.OFFERED:
            self._sources[ticket.source].offered -= 1
            self._rest_or_rouse(ticket.source)

    def _queue_of(self, ticket: Ticket) -> order.Queue:
        return self._alone_queue if ticket.is_alone else self._queue

    def _set_until(self, ticket: Ticket, until_s: float) -> None:
        ticket.until_s = until_s
        self._timers.put((_TICKET, ticket.name), until_s)

    # Sources that have no slot of their own now.

    def _set_room(self, now_s: float, message: messages.FromSource, room: int) -> None:
        """Note how many slots a source has free, by its newest message."""
        source = self._sources[message.source]
        said = message.epoch, message.number
        if said > source.said or message.epoch < source.said[0]:
            source.said = said
            self._note_room(now_s, message.source, room)

    def _note_room(self, now_s: float, name: str, room: int) -> None:
        self._sources[name].room = room
        if room > 0:
            self._timers.drop((_REST, name))
        else:
            self._timers.put((_REST, name), now_s + limits_mod.REST_S)
        self._rest_or_rouse(name)

    def _rest_or_rouse(self, name: str) -> None:
        """Pass over a source that has no slot free but for what it is offered."""
        source = self._sources[name]
        if source.room > source.offered:
            self._rouse(name)
            return
        for queue in (self._queue, self._alone_queue):
            queue.rest(name)

    def _rouse(self, name: str) -> None:
        for queue in (self._queue, self._alone_queue):
            queue.rouse(name)

    # Time.

    def _expire(self, now_s: float) -> None:
        for kind, name in self._timers.until(now_s):
            if kind == _TICKET:
                self._run_out(now_s, self._tickets[name])
            elif kind == _REST:
                # It may have lost what said that it has one.
                self._note_room(now_s, name, 1)
            elif kind == _RESERVED:
                self._unreserve(name)
            else:
                self._has_started = True

    def _run_out(self, now_s: float, ticket: Ticket) -> None:
        """End an offer that was not taken, a lease that was not renewed, or a ticket."""
        if ticket.state is State.OFFERED:
            self._note_room(now_s, ticket.source, 0)
            self._back(now_s, ticket)
        else:
            self._forget(now_s, ticket)

    # Room.

    def _offers_now(self, now_s: float) -> bool:
        return now_s >= self.starts_s and not self._is_closed

    def _fill(self, now_s: float, sends: Sends) -> None:
        """Offer what is free to those whose turn it is."""
        while self._offers_now(now_s) and (name := self._next(now_s)) is not None:
            ticket = self._tickets[name]
            ticket.place, ticket.was_reserved = self._queue_of(ticket).take(name), False
            self._offer(now_s, ticket, sends)

    def _next(self, now_s: float) -> str | None:
        """Return the ticket that is to be offered a slot now."""
        if self._alone or not (self._queue or self._alone_queue):
            return None
        used, first = self.used, self._queue.head(now_s)
        has_room = limits_mod.has_room(used, self.limits.max_incoming)
        alone = self._alone_queue.head(now_s)
        if alone is None or (first is not None and not self._is_before(alone, first)):
            return first if has_room else None
        if not used and (first is None or now_s >= self._alone_from_s):
            return alone
        if first is None or self._is_due(now_s, alone):
            return None
        return first if has_room else None

    def _is_before(self, alone: str, first: str) -> bool:
        """Whether one that runs alone is before the first of the others."""
        one, other = self._alone_queue.place(alone), self._queue.place(first)
        return (-one.level, one.asked_s) < (-other.level, other.asked_s)

    def _is_due(self, now_s: float, alone: str) -> bool:
        """Whether others are held back for one that runs alone and is before them."""
        asked_s = self._alone_queue.place(alone).asked_s
        return now_s >= max(asked_s + limits_mod.ALONE_S, self._alone_from_s)

    def _holds_back(self, now_s: float) -> bool:
        """Whether what is free is kept for one that runs alone."""
        alone = self._alone_queue.head(now_s)
        first = self._queue.head(now_s)
        return (alone is not None and self._is_due(now_s, alone)
                and (first is None or self._is_before(alone, first)))

    def _offer(self, now_s: float, ticket: Ticket, sends: Sends) -> None:
        self._offers += 1
        ticket.offer, ticket.state = self._offers, State.OFFERED
        self._give_slot(ticket)
        self._set_until(ticket, now_s + limits_mod.OFFER_S)
        self._send_offer(now_s, ticket, sends)

    def _withdraw(self, now_s: float) -> None:
        """Take back what was offered and has no room any more, the last offer first."""
        for ticket in reversed(self.offered()):
            if not limits_mod.has_room(self.used - 1, self.limits.max_incoming) or (
                    self._alone and self.used > 1):
                self._back(now_s, ticket)

    def _offer_reserved(self, now_s: float, ticket: Ticket, sends: Sends) -> bool:
        """Offer a waiting one the slot that its check has reserved."""
        if (ticket.state is not State.WAITING or ticket.migration not in self._reserved
                or not self._offers_now(now_s) or self._queue.rests(ticket.source)):
            return False
        self._unreserve(ticket.migration)
        if (self._alone or (ticket.is_alone and self.used)
                or not limits_mod.has_room(self.used, self.limits.max_incoming)):
            return False
        # No turn is used: the reservation was before the queue.
        ticket.place, ticket.was_reserved = self._queue_of(ticket).remove(ticket.name), True
        self._offer(now_s, ticket, sends)
        return True

    def _unreserve(self, migration: str) -> None:
        reserved = self._reserved.pop(migration, None)
        if reserved is not None:
            self._alone -= reserved.is_alone
            self._timers.drop((_RESERVED, migration))

    # What is sent.

    def _to(self, ticket: Ticket) -> dict[str, typing.Any]:
        self._number += 1
        return {'source': ticket.source, 'destination': self.host, 'migration': ticket.migration,
                'epoch': self.epoch, 'number': self._number, 'to_epoch': ticket.said[0],
                'answers': ticket.said[1]}

    def _send_offer(self, now_s: float, ticket: Ticket, sends: Sends) -> None:
        sends.append(messages.Offer(offer=ticket.offer, lasts_s=ticket.until_s - now_s,
                                    **self._to(ticket)))

    def _queued(self, now_s: float, ticket: Ticket) -> messages.Queued:
        wait = self.wait(now_s, ticket)
        return messages.Queued(
            place=wait.place, waiting=wait.waiting, kind=wait.kind, used=wait.used,
            limit=wait.limit, holders=wait.holders, eta_s=wait.eta_s, **self._to(ticket))

    def _kind(self, now_s: float, ticket: Ticket) -> str:
        if ticket.is_alone:
            return vocabulary.WHOLE_HOST
        if self.holds_back(now_s):
            return vocabulary.ONE_ALONE
        return vocabulary.INCOMING_SLOT

    def _forecast_s(self, now_s: float, place: int, is_alone: bool) -> float | None:
        ends = [(one.ends_s, one.since_s) for one in self._with_slot.values()
                if one.ends_s is not None]
        etas_s = [max(0.0, ends_s - now_s) for ends_s, _ in ends]
        if not ends or len(ends) < len(self._with_slot):
            return None
        if is_alone:
            return max(etas_s) if place == 1 else None
        lasts_s = sum(ends_s - since_s for ends_s, since_s in ends) / len(ends)
        return waits.forecast_s(place, etas_s, max(0.0, lasts_s))

    def _names(self) -> tuple[str, ...]:
        """Return the servers that have a slot, as many as are named."""
        names = itertools.chain((one.server for one in self._with_slot.values()),
                                (one.server for one in self._reserved.values()))
        return tuple(itertools.islice(names, waits.NAMED))

    def _refusal(self, message: object, reason: str) -> tuple[messages.Message, ...]:
        """Answer nonsense, where it says whom."""
        if not isinstance(message, messages.FromSource) or any(
                not messages.is_id(one) for one in (message.source, message.migration)):
            return ()
        said = tuple(one if messages.is_number(one) else 0
                     for one in (message.epoch, message.number))
        ticket = Ticket(message.source, message.migration, (said[0], said[1]))
        return (messages.Refused(reason=reason[:2000], **self._to(ticket)),)


_Handler = abc.Callable[[Incoming, float, Ticket, typing.Any, Sends], None]
_HEARD: abc.Mapping[type, _Handler] = {
    messages.Ask: Incoming._asked, messages.Take: Incoming._taken,
    messages.Decline: Incoming._declined, messages.Hold: Incoming._held,
    messages.Release: Incoming._released}
