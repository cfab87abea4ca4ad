# SPDX-License-Identifier: Apache-2.0
"""What has to hold of the slots of a fleet, by what flows and what was said, not by the machines.

A flow does not count at its destination where a lease of it could not be known there: nothing of
it has come for LEASE_S, or nothing since the destination's start. After a source's limit was
lowered, what it was taking before may still be granted.
"""

from __future__ import annotations

from nova_migpolicy.capacity import incoming as incoming_mod
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import order
from nova_migpolicy.capacity import outgoing as outgoing_mod
from nova_migpolicy.sim import delivery
from nova_migpolicy.sim.slots import fleet as fleet_mod

Flow = fleet_mod.Flow
Host = fleet_mod.Host
Stand = outgoing_mod.Stand
State = incoming_mod.State
Violation = fleet_mod.Violation
Want = fleet_mod.Want

#: what was being taken when a source's limit was lowered is granted within this
TAKEN_S = limits_mod.TAKE_S + 1.0
#: a source keeps no slot for what waits, but for the answer to its taking an offer
ANSWER_S = limits_mod.TAKE_S + limits_mod.TAKE_AGAIN_S + 1.0
#: a slot of a migration that is over is free after this: one of its messages may come late, and
#: renew its lease
FREED_S = limits_mod.LEASE_S + delivery.LATE_S[1] + 1.0
#: nobody waits for longer while both its hosts have room, in spite of lost messages
PATIENCE_S = 240.0
#: of a destination at which more sources wait than these, the order is checked now and then
MANY, SOME_OF = 40, 10


class Ledger(fleet_mod.Watcher):
    """Sees what happens, and finds what does not hold."""

    def __init__(self) -> None:
        self.fleet: fleet_mod.Fleet
        self.counts = dict.fromkeys(
            ('granted', 'offers', 'declines', 'taken alone', 'aged', 'leases lost'), 0)
        self.longest_wait_s = 0.0
        #: by flow: when something new of it came last to its destination; to and from which of
        #: the hosts' lives, and its number
        self._heard: dict[str, tuple[float, tuple[int, int, int]]] = {}
        #: flows whose leases were lost, and renewed later; others may have their slots since
        self._revived: set[str] = set()
        #: by migration: the epochs of its source and its destination when that granted its slot
        self._granted: dict[str, tuple[int, int]] = {}
        #: by destination and migration: when it was granted its slot
        self._given: dict[tuple[str, str], float] = {}
        #: by source: what waits for the answer to its taking an offer, and since when
        self._taking: dict[str, dict[str, float]] = {}
        self._ended: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        #: by destination and life: the newest offer, so that one said again is no new one
        self._newest: dict[str, tuple[int, int]] = {}
        #: by destination, level and source: when and to whom the last offer was
        self._turns: dict[tuple[str, int, str], tuple[float, str]] = {}
        #: by destination and source: when the source was last said to have no slot
        self._rested: dict[tuple[str, str], float] = {}
        #: since when both hosts of a waiting one have room
        self._room: dict[str, float] = {}

    # What happens.

    def delivered(self, host: Host, message: messages.Message) -> None:
        """Note what a destination could know."""
        if isinstance(message, messages.Hold | messages.Take):
            self._note_heard(host, message)
            self._rested[host.name, message.source] = self.fleet.now_s
        elif isinstance(message, messages.Decline):
            self.counts['declines'] += 1
            self._rested[host.name, message.source] = self.fleet.now_s
        elif isinstance(message, messages.Ask):
            self._asked.setdefault(message.migration, self.fleet.now_s)
            if not message.room:
                self._rested[host.name, message.source] = self.fleet.now_s

    def _note_heard(self, host: Host, message: messages.FromSource) -> None:
        """Note that something new of a flow has come; not what was said before already."""
        if message.epoch == self.fleet.hosts[message.source].epoch:
            heard = host.epoch, message.epoch, message.number
            before_s, before = self._heard.get(message.migration, (0.0, (0, 0, 0)))
            if heard > before:
                if before[0] == host.epoch and self.fleet.now_s - before_s >= limits_mod.LEASE_S:
                    self._revived.add(message.migration)
                self._heard[message.migration] = self.fleet.now_s, heard

    def sent(self, host: Host, message: messages.Message) -> None:
        """Check what a destination offers and grants."""
        if isinstance(message, messages.Granted):
            self._check_granted(host, message)
        elif isinstance(message, messages.Offer):
            newest = self._newest.get(host.name, (0, 0))
            if (message.epoch, message.offer) > newest:
                self._newest[host.name] = message.epoch, message.offer
                self.counts['offers'] += 1
                self._check_order(host, message)

    def granted(self, host: Host, want: Want) -> None:
        """Check that a migration has both its slots."""
        fleet = self.fleet
        self.counts['granted'] += 1
        self.longest_wait_s = max(self.longest_wait_s, fleet.now_s - self._asked.pop(
            want.migration, fleet.now_s))
        used, limit = len(host.flows) + 1, host.limits.max_outgoing
        if used > limit > 0 and fleet.now_s - host.lowered_s > TAKEN_S:
            raise Violation(f'{host.name} sends {used} at once, its limit is {limit}')
        if not self._has_slot(host, fleet.hosts[want.destination], want.migration):
            raise Violation(f'{want.server} flows without a slot on {want.destination}')

    def ended(self, flow: Flow) -> None:
        """Forget what only matters while it flows."""
        self._ended[flow.want.migration] = self.fleet.now_s
        self._heard.pop(flow.want.migration, None)
        self._revived.discard(flow.want.migration)

    def after(self, host: Host) -> None:
        """Check that a source's slots are those of what flows, and of what is being taken."""
        out = host.outgoing
        if out is None or out.used > MANY:
            return
        placed = {own.want.migration for own in out.with_slot() if own.stand is Stand.HOLDING}
        taking = {own.want.migration for own in out.with_slot() if own.stand is Stand.TAKING}
        since_s = self._taking[host.name] = {
            one: self._taking.get(host.name, {}).get(one, self.fleet.now_s) for one in taking}
        if since_s and self.fleet.now_s - min(since_s.values()) > ANSWER_S:
            raise Violation(f'{host.name} keeps a slot for {min(since_s)}, which waits')
        wrong = placed ^ set(host.flows)
        if wrong:
            raise Violation(f'{host.name} has a slot for what does not flow, or none for what '
                            f'does: {", ".join(sorted(wrong))}')

    # What has to hold at once.

    def _counts_at(self, host: Host, flow: Flow) -> bool:
        """Whether a destination has to know of what flows to it."""
        heard_s, (epoch, _, _) = self._heard.get(flow.want.migration, (-1e9, (0, 0, 0)))
        return epoch == host.epoch and self.fleet.now_s - heard_s < limits_mod.LEASE_S

    def _has_slot(self, source: Host, host: Host, migration: str) -> bool:
        """Whether a destination has granted a slot, and keeps it if it has not died since."""
        if not host.has_slots:
            return True
        to_epoch, epoch = self._granted.get(migration, (0, 0))
        if to_epoch != source.epoch or host.incoming is None or host.epoch != epoch:
            return to_epoch == source.epoch
        ticket = host.incoming.ticket(source.name, migration)
        return ticket is not None and ticket.state is State.HOLDING

    def _check_granted(self, host: Host, message: messages.Granted) -> None:
        source = self.fleet.hosts[message.source]
        if message.migration in self.fleet.into[host.name]:
            return      # An answer to one that holds its place.
        self._granted[message.migration] = message.to_epoch, host.epoch
        self._given[host.name, message.migration] = self.fleet.now_s
        if source.epoch != message.to_epoch or source.outgoing is None or (
                source.outgoing.stand(message.migration) is None):
            return      # Its source has died, or given it up.
        ticket = None if host.incoming is None else host.incoming.ticket(
            message.source, message.migration)
        # It has had its slot for a while, and asks again: the first answer was lost.
        known = self._known(host, is_again=(
            ticket is not None and ticket.since_s < self.fleet.clock(host)))
        self._check_room(host, message, known)

    def _known(self, host: Host, *, is_again: bool) -> list[Flow]:
        """The flows that a destination had to count when it granted."""
        into = self.fleet.into[host.name].values()
        known = [flow for flow in into if self._counts_at(host, flow)
                 and not (is_again and flow.want.migration in self._revived)]
        self.counts['leases lost'] += len(known) < len(into)
        return known

    def _check_room(self, host: Host, message: messages.Granted, known: list[Flow]) -> None:
        used, limit = len(known) + 1, host.limits.max_incoming
        if used > limit > 0:
            raise Violation(f'{host.name} takes {used} at once, its limit is {limit}')
        flow = self.fleet.wanted.get(message.migration)
        alone = [one.want.server for one in known if host.limits.is_alone(one.want.cost_mib)]
        if flow is not None and host.limits.is_alone(flow.want.cost_mib):
            self.counts['taken alone'] += 1
            alone.append(flow.want.server)
        if alone and used > 1:
            raise Violation(f'{alone[0]} has to run alone on {host.name}, which takes {used}')

    def _check_order(self, host: Host, message: messages.Offer) -> None:
        """Check that one who is offered a slot has its turn."""
        machine = host.incoming
        ticket = None if machine is None else machine.ticket(message.source, message.migration)
        if (machine is None or ticket is None or ticket.place is None
                or ticket.was_reserved or ticket.is_alone):
            return
        now_s, place = self.fleet.clock(host), ticket.place
        self.counts['aged'] += place.level == order.AGED
        key = host.name, place.level, message.source
        last_s = self._last_turn_s(machine, key, message.migration)
        heads = machine.heads(now_s) if machine.sources <= MANY or (
            self.counts['offers'] % SOME_OF == 0) else []
        for waiting, its in heads:
            if its.level < order.AGED and now_s - its.asked_s > order.AGEING_S:
                raise Violation(f'{waiting.server} waits for {host.name} since '
                                f'{now_s - its.asked_s:.0f} s, and is not before the others')
            if its.level > place.level:
                raise Violation(f'{ticket.server} is offered a slot on {host.name} before '
                                f'{waiting.server}, which is of a higher level')
            if its.level == place.level and waiting.source != message.source:
                self._check_turn(host, waiting, its, last_s, message.source)
        self._turns[key] = self.fleet.now_s, message.migration

    def _last_turn_s(self, machine: incoming_mod.Incoming, key: tuple[str, int, str],
                     migration: str) -> float:
        """Return when a source has last had a turn; one that was given back does not count."""
        host, _, source = key
        last_s, name = self._turns.get(key, (-1e9, ''))
        other = machine.ticket(source, name)
        is_pending = (name != migration and other is not None and other.state is State.OFFERED)
        is_used = is_pending or self._given.get((host, name), -1e9) >= last_s
        return last_s if is_used else -1e9

    def _check_turn(self, host: Host, waiting: incoming_mod.Ticket, its: order.Place,
                    last_s: float, source: str) -> None:
        """Check that a source has no second turn while another waits for its first."""
        its_last_s, _ = self._turns.get((host.name, its.level, waiting.source), (-1e9, ''))
        rested_s = self._rested.get((host.name, waiting.source), -1e9)
        if last_s > max(its.since_s - host.offset_s, its_last_s, rested_s, host.began_s):
            raise Violation(f'{source} has two turns at {host.name} while {waiting.server} '
                            f'of {waiting.source} waits for one')

    # What has to hold now and then, and at the end.

    def sweep(self) -> None:
        """Check that no slot is leaked, and that nobody waits without a reason."""
        for host in self.fleet.hosts.values():
            if host.incoming is not None:
                self._check_leaks(host, host.incoming)
        for migration, flow in self.fleet.wanted.items():
            if migration not in self.fleet.hosts[flow.source].flows:
                self._check_waiting(flow)

    def _check_leaks(self, host: Host, machine: incoming_mod.Incoming) -> None:
        for ticket in machine.holders():
            ended_s = self._ended.get(ticket.migration)
            if ended_s is not None and self.fleet.now_s - ended_s > FREED_S:
                raise Violation(f'{ticket.server} still has its slot on {host.name}, '
                                f'{self.fleet.now_s - ended_s:.0f} s after its end')

    def _check_waiting(self, flow: Flow) -> None:
        want = flow.want
        source, host = self.fleet.hosts[flow.source], self.fleet.hosts[want.destination]
        machine = host.incoming
        has_room = source.outgoing is not None and source.outgoing.has_room and (
            not host.has_slots or (machine is not None and limits_mod.has_room(
                machine.used, host.limits.max_incoming) and not machine.holds_back(
                    self.fleet.clock(host)) and not host.limits.is_alone(want.cost_mib)))
        if not has_room or self.fleet.now_s - host.began_s < limits_mod.LEASE_S:
            self._room.pop(want.migration, None)
            return
        since_s = self._room.setdefault(want.migration, self.fleet.now_s)
        if self.fleet.now_s - since_s > PATIENCE_S:
            raise Violation(f'{want.server} waits for {want.destination}, though both hosts have '
                            f'had room for {PATIENCE_S:.0f} s')

    def forget(self, flow: Flow) -> None:
        """Forget a migration that is over."""
        self._asked.pop(flow.want.migration, None)
        self._room.pop(flow.want.migration, None)
        self._granted.pop(flow.want.migration, None)
        self._ended.setdefault(flow.want.migration, self.fleet.now_s)

    def at_the_end(self) -> None:
        """Check that nothing is left of anything."""
        for host in self.fleet.hosts.values():
            for machine in (host.incoming, host.outgoing):
                if machine is not None and (machine.used or not machine.is_empty):
                    raise Violation(f'all is over, and {host.name} still has {machine.used} '
                                    f'slots in use, or remembers what was over')
