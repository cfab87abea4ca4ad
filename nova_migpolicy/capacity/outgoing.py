# SPDX-License-Identifier: Apache-2.0
"""The outgoing slots of a host: which migrations have one, and what the others wait for.

A migration that waits holds nothing. When its destination offers it a slot, it takes one of this
host's at that moment and says so, or declines where none is free. It has both from the
destination's answer on; without an answer it gives its own back after TAKE_S. So it has both or
none, and nobody keeps a slot while it waits for another.

A slot that becomes free is made known to the destinations that were told that none was, one
after the other, by the order of what waits for them. A destination that knows no slots has room
always: for its migrations this host's own slot is enough. It is told of them all the same, so that
it counts what flows as soon as it knows slots.

No more slots are given than the limit allows. There are more holders only after the limit was
lowered, or when one is adopted that had begun in an earlier process, until so many have ended.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import enum
import typing

from nova_migpolicy.capacity import heaps
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import lives
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import order
from nova_migpolicy.capacity import waits
from nova_migpolicy import vocabulary

Turn = messages.Turn

_OWN, _CALL = 'o', 'c'


class Stand(enum.Enum):
    """How a migration stands at its source."""

    WAITING = 'waiting'
    #: it has this host's slot, and the destination is about to say whether it has its own
    TAKING = 'taking'
    HOLDING = 'holding'


@dataclasses.dataclass(frozen=True, slots=True)
class Want:
    """What is to be migrated where.

    server: its name, for sentences. priority: points, 0 to 100. cost_mib: MiB to be sent.
    """

    migration: str
    server: str
    destination: str
    priority: int = 50
    cost_mib: float = 0.0


@dataclasses.dataclass(slots=True)
class Own:
    """A migration of this host.

    heard: the epoch and number of the destination's newest message of it. offer: the one that is
    being taken, and number the first message that said so. gives_up_s: when it is given up.
    since_s: when it got this host's slot.
    """

    want: Want
    asked_s: float
    stand: Stand = Stand.WAITING
    heard: tuple[int, int] = (0, 0)
    offer: int = 0
    number: int = 0
    gives_up_s: float = 0.0
    since_s: float = 0.0
    wait: waits.Wait | None = None
    phase: str = ''
    ends_s: float | None = None


class _Work:
    """What comes of one call."""

    def __init__(self) -> None:
        self.sends: list[messages.Message] = []
        self.granted: list[str] = []

    def turn(self, refused: str = '') -> Turn:
        return Turn(tuple(self.sends), tuple(self.granted), refused)


class Outgoing:
    """The machine of a source. It never raises on a message.

    :param epoch: the start of this process in ms since 1970
    """

    def __init__(self, host: str, epoch: int, limits: limits_mod.Limits | None = None) -> None:
        self.host = host
        self.epoch = epoch
        self.limits = limits or limits_mod.Limits()
        self._own: dict[str, Own] = {}
        self._by_destination: dict[str, set[str]] = {}
        #: those that have a slot of this host
        self._with_slot: dict[str, Own] = {}
        #: those whose destination knows that this host had no slot, or knows no slots
        self._line = order.Queue()
        self._without: set[str] = set()
        self._lives = lives.Lives()
        self._timers: heaps.Heap[tuple[str, str]] = heaps.Heap()
        self._number = 0

    # What others may see.

    @property
    def wake_s(self) -> float | None:
        """When wake is to be called at the latest, or None for never."""
        first = self._timers.first()
        return None if first is None else first[0]

    @property
    def used(self) -> int:
        """How many slots are held, or being taken."""
        return len(self._with_slot)

    @property
    def room(self) -> int:
        """How many slots are free."""
        return limits_mod.room(self.used, self.limits.max_outgoing)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return limits_mod.has_room(self.used, self.limits.max_outgoing)

    def own(self) -> list[Own]:
        """Return all that have a slot or wait for one."""
        return list(self._own.values())

    def with_slot(self) -> list[Own]:
        """Return those that have a slot, or are taking one."""
        return list(self._with_slot.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of any migration."""
        return not self._own

    def stand(self, migration: str) -> Stand | None:
        """Return how a migration stands, or None where it is not known."""
        own = self._own.get(migration)
        return None if own is None else own.stand

    def wait(self, migration: str) -> waits.Wait | None:
        """Return what a migration waits for, or None where it does not."""
        own = self._own.get(migration)
        if own is None or own.stand is Stand.HOLDING:
            return None
        told = own.wait
        is_full_there = told is not None and told.kind != vocabulary.AN_ANSWER and (
            told.kind != vocabulary.INCOMING_SLOT
            or not limits_mod.has_room(told.used, told.limit))
        if not self.has_room and not is_full_there:
            return waits.Wait(self.host, vocabulary.OUTGOING_SLOT, self.used,
                              self.limits.max_outgoing,
                              tuple(one.want.server for one in self._with_slot.values()))
        return told or waits.Wait(own.want.destination, vocabulary.AN_ANSWER)

    # What happens here.

    def ask(self, now_s: float, want: Want) -> Turn:
        """Let a migration wait for its slots; asked twice is asked once."""
        work = _Work()
        if want.migration not in self._own:
            self._add(want, now_s)
            self._ask(now_s, self._own[want.migration], work)
        self._call(now_s, work)
        return work.turn()

    def adopt(self, now_s: float, want: Want) -> Turn:
        """Count one whose data flows already: what an earlier process has begun.

        Adopted again, as when more is known of it, it is told to its destination again.
        """
        work = _Work()
        own = self._own.get(want.migration) or self._add(want, now_s)
        if own.want.destination == want.destination:
            own.want = want
        if own.stand is not Stand.HOLDING:
            self._begin(now_s, own)
        self._hold(now_s, own, work)
        return work.turn()

    def end(self, now_s: float, migration: str) -> Turn:
        """Give up a migration's slots, or its waiting for them; it is forgotten."""
        work = _Work()
        own = self._own.pop(migration, None)
        if own is not None:
            self._with_slot.pop(migration, None)
            self._line.remove(migration)
            self._timers.drop((_OWN, migration))
            names = self._by_destination[own.want.destination]
            names.discard(migration)
            if not names:
                del self._by_destination[own.want.destination]
            self._release(own.want.destination, migration, work)
        self._call(now_s, work)
        return work.turn()

    def note(self, migration: str, phase: str, ends_s: float | None) -> None:
        """Have the destination told, with the next message, how far one is."""
        own = self._own.get(migration)
        if own is not None:
            own.phase, own.ends_s = phase, ends_s

    def set_limits(self, now_s: float, limits: limits_mod.Limits) -> Turn:
        """Go by other limits. Who has a slot keeps it."""
        self.limits = limits
        work = _Work()
        self._call(now_s, work)
        return work.turn()

    def set_slots(self, now_s: float, host: str, has_slots: bool) -> Turn:
        """Take note of whether a destination knows slots; that is assumed until told otherwise."""
        work = _Work()
        if has_slots == (host in self._without):
            (self._without.discard if has_slots else self._without.add)(host)
            for migration in sorted(self._by_destination.get(host, ())):
                self._own[migration].wait = None
                self._retell(now_s, self._own[migration], work)
        self._call(now_s, work)
        return work.turn()

    def trouble(self, migration: str, note: str) -> None:
        """Take note of why the destination's answer does not come; one that waits waits for it.

        :param note: as Wait.note is
        """
        own = self._own.get(migration)
        if own is not None and own.stand is Stand.WAITING:
            own.wait = waits.Wait(own.want.destination, vocabulary.AN_ANSWER, note=note)

    def wake(self, now_s: float) -> Turn:
        """Say again what has to be said again, and give up what got no answer."""
        work = _Work()
        for kind, migration in self._timers.until(now_s):
            if kind == _OWN:
                self._again(now_s, self._own[migration], work)
        self._call(now_s, work)
        return work.turn()

    def receive(self, now_s: float, message: object) -> Turn:
        """Take a message of a destination."""
        wrong = messages.fault(message, messages.FROM_DESTINATION)
        if wrong:
            return Turn(refused=wrong)
        told = typing.cast('messages.FromDestination', message)
        if told.source != self.host:
            return Turn(refused=f'a message for {told.source} has come to {self.host}')
        work = _Work()
        self._hear(now_s, told, work)
        self._call(now_s, work)
        return work.turn(told.reason if isinstance(told, messages.Refused) else '')

    # What a destination says.

    def _hear(self, now_s: float, told: messages.FromDestination, work: _Work) -> None:
        known = self._lives.epoch(told.destination)
        life = self._lives.hear(told.destination, told.epoch, now_s)
        if life is lives.Life.FORMER:
            return
        if life is lives.Life.NEW and known:
            for migration in sorted(self._by_destination.get(told.destination, ())):
                if migration != told.migration:
                    self._retell(now_s, self._own[migration], work)
        if told.to_epoch != self.epoch:
            return
        own = self._own.get(told.migration)
        if own is None or own.want.destination != told.destination:
            # It was given up, and the destination does not know that.
            if not isinstance(told, messages.Refused):
                self._release(told.destination, told.migration, work)
            return
        if told.epoch == own.heard[0] and told.number <= own.heard[1]:
            return
        own.heard = told.epoch, told.number
        _HEARD[type(told)](self, now_s, own, told, work)

    def _offered(self, now_s: float, own: Own, told: messages.Offer, work: _Work) -> None:
        if own.stand is Stand.HOLDING:
            self._hold(now_s, own, work)
        elif own.stand is Stand.TAKING or self.has_room:
            if own.stand is not Stand.TAKING:
                self._line.remove(own.want.migration)
                own.stand, own.gives_up_s = Stand.TAKING, now_s + limits_mod.TAKE_S
                self._give_slot(now_s, own)
            own.offer, own.number = told.offer, self._number + 1
            self._take(now_s, own, work)
        else:
            work.sends.append(messages.Decline(offer=told.offer, **self._to(own)))
            self._stay(now_s, own)
            own.wait = None

    def _granted(self, now_s: float, own: Own, told: messages.Granted, work: _Work) -> None:
        if own.stand is Stand.TAKING and told.answers >= own.number:
            self._begin(now_s, own)
            work.granted.append(own.want.migration)
        elif own.stand is Stand.WAITING:
            # It has been given up here. The destination learns that it waits.
            self._ask(now_s, own, work)

    def _queued(self, now_s: float, own: Own, told: messages.Queued, work: _Work) -> None:
        if own.stand is Stand.HOLDING:
            self._hold(now_s, own, work)
            return
        own.wait = waits.Wait(told.destination, told.kind, told.used, told.limit, told.holders,
                              told.place, told.waiting, told.eta_s)
        if own.stand is Stand.TAKING and told.answers >= own.number:
            self._wait(now_s, own)

    def _refused(self, now_s: float, own: Own, told: messages.Refused, work: _Work) -> None:
        own.wait = waits.Wait(told.destination, vocabulary.AN_ANSWER,
                              note=f'it has refused what was said: {told.reason}')

    # The states of a migration.

    def _add(self, want: Want, now_s: float) -> Own:
        own = self._own[want.migration] = Own(want, now_s)
        self._by_destination.setdefault(want.destination, set()).add(want.migration)
        return own

    def _ask(self, now_s: float, own: Own, work: _Work) -> None:
        """Ask for one that waits, and see to it that it is asked for again."""
        if not self.has_room or own.want.destination in self._without:
            self._stay(now_s, own)
        work.sends.append(messages.Ask(room=self.room, **self._wanting(now_s, own)))
        self._timers.put((_OWN, own.want.migration), now_s + limits_mod.POLL_S)

    def _stay(self, now_s: float, own: Own) -> None:
        """Have it called when a slot of this host becomes free."""
        want = own.want
        if want.migration not in self._line:
            self._line.add(want.migration, want.destination, want.priority, own.asked_s, now_s)

    def _take(self, now_s: float, own: Own, work: _Work) -> None:
        work.sends.append(messages.Take(offer=own.offer, **self._wanting(now_s, own)))
        self._timers.put((_OWN, own.want.migration), now_s + limits_mod.TAKE_AGAIN_S)

    def _wait(self, now_s: float, own: Own) -> None:
        """Give its slot back; it waits again."""
        del self._with_slot[own.want.migration]
        own.stand = Stand.WAITING
        self._timers.put((_OWN, own.want.migration), now_s + limits_mod.POLL_S)

    def _begin(self, now_s: float, own: Own) -> None:
        own.stand, own.wait = Stand.HOLDING, None
        self._line.remove(own.want.migration)
        self._give_slot(now_s, own)
        self._timers.put((_OWN, own.want.migration), now_s + limits_mod.HOLD_S)

    def _give_slot(self, now_s: float, own: Own) -> None:
        if own.want.migration not in self._with_slot:
            self._with_slot[own.want.migration], own.since_s = own, now_s

    def _hold(self, now_s: float, own: Own, work: _Work) -> None:
        eta_s = None if own.ends_s is None else max(0.0, own.ends_s - now_s)
        work.sends.append(messages.Hold(phase=own.phase, eta_s=eta_s,
                                        **self._wanting(now_s, own)))
        self._timers.put((_OWN, own.want.migration), now_s + limits_mod.HOLD_S)

    def _again(self, now_s: float, own: Own, work: _Work) -> None:
        """Say again how one stands, when its time has come."""
        if own.stand is Stand.TAKING and now_s < own.gives_up_s:
            self._take(now_s, own, work)
            return
        self._retell(now_s, own, work)

    def _retell(self, now_s: float, own: Own, work: _Work) -> None:
        """Say how one stands; what is being taken is given up."""
        if own.stand is Stand.HOLDING:
            self._hold(now_s, own, work)
            return
        if own.stand is Stand.TAKING:
            self._wait(now_s, own)
        if own.want.destination not in self._without:
            self._line.remove(own.want.migration)
        self._ask(now_s, own, work)

    def _call(self, now_s: float, work: _Work) -> None:
        """Let those go on that wait for a slot of this host, as long as one is free."""
        while self.has_room and (migration := self._line.head(now_s)) is not None:
            own = self._own[migration]
            if own.want.destination in self._without:
                self._line.take(migration)
                self._begin(now_s, own)
                self._hold(now_s, own, work)
                work.granted.append(migration)
                continue
            if (_CALL, '') in self._timers:
                return
            self._line.take(migration)
            self._ask(now_s, own, work)
            self._timers.put((_CALL, ''), now_s + limits_mod.CALL_S)

    # What is sent.

    def _to(self, own: Own) -> dict[str, typing.Any]:
        return self._address(own.want.destination, own.want.migration)

    def _address(self, destination: str, migration: str) -> dict[str, typing.Any]:
        self._number += 1
        return {'source': self.host, 'destination': destination, 'migration': migration,
                'epoch': self.epoch, 'number': self._number,
                'to_epoch': self._lives.epoch(destination)}

    def _wanting(self, now_s: float, own: Own) -> dict[str, typing.Any]:
        want = own.want
        return {**self._to(own), 'server': want.server, 'priority': want.priority,
                'cost_mib': want.cost_mib, 'waited_s': max(0.0, now_s - own.asked_s)}

    def _release(self, destination: str, migration: str, work: _Work) -> None:
        work.sends.append(messages.Release(**self._address(destination, migration)))


_Handler = abc.Callable[[Outgoing, float, Own, typing.Any, _Work], None]
_HEARD: abc.Mapping[type, _Handler] = {
    messages.Offer: Outgoing._offered, messages.Granted: Outgoing._granted,
    messages.Queued: Outgoing._queued, messages.Refused: Outgoing._refused}
