# SPDX-License-Identifier: Apache-2.0
"""One seed, played: a storm of migrations with faults, and then a calm in which all has to end."""

from __future__ import annotations

from collections import abc
import dataclasses
from typing import Any

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import messages
from nova_migpolicy.sim.slots import fleet as fleet_mod
from nova_migpolicy.sim.slots import ledger as ledger_mod
from nova_migpolicy import vocabulary

Violation = fleet_mod.Violation

#: of a seed: how many migrations are wanted at once, for each host
WANTED = (2, 6, 12)
#: for how long data flows, on average
FLOWS_S = (5.0, 40.0, 120.0)
#: how often a host has one of the troubles, on average
TROUBLE_S = (60.0, 300.0, 1200.0)
#: how many of them cost so much that they may have to run alone
ALONE = (0.01, 0.1)
#: so much of what is wanted goes to so many of the hosts
BUSY_PART, BUSY_HOSTS = 0.5, 0.1
#: hosts without the plugin
WITHOUT = 0.03
#: how probably a message is lost, doubled or late, in a seed
BAD_MESSAGES = (0.0, 0.05, 0.2)
#: one that is over is followed by another after so long at most
NEXT_S = 5.0
#: a nova-compute that died starts again after
AWAY_S = (1.0, 120.0)
#: all is looked at so often
SWEEP_S = 10.0
#: in the calm: nothing begins any more, and while one waits another begins to flow within this
STUCK_S = 900.0


@dataclasses.dataclass(frozen=True)
class Played:
    """How a seed went.

    broken: what does not hold, or nothing. events: what happened, before the calm and in it.
    waiting: how many waited at most. seconds: of the fleet's time. calls, took_s: of the machines.
    counts: of what the ledger saw, and of faults.
    """

    seed: int
    broken: str
    events: int
    waiting: int
    seconds: float
    calls: int
    took_s: float
    longest_wait_s: float
    counts: dict[str, int]


def play(seed: int, events: int, hosts: int, story: list[str] | None = None,
         timer: abc.Callable[[], float] | None = None) -> Played:
    """Play a seed.

    :param events: how many things happen before the calm
    :param hosts: how many hosts there are, at least 2
    :param story: what happens is added to it, a line each
    :param timer: a clock, to measure the machines by
    """
    ledger = ledger_mod.Ledger()
    fleet = ledger.fleet = fleet_mod.Fleet(seed, hosts, ledger, story, timer)
    storm = _Storm(fleet, ledger)
    broken = ''
    try:
        storm.begin()
        fleet.go(events=events)
        storm.calm()
    except Violation as violation:
        broken = str(violation)
        fleet.say(f'VIOLATION: {violation}')
    return Played(seed, broken, fleet.events, storm.waiting, fleet.now_s, fleet.calls,
                  fleet.took_s, ledger.longest_wait_s, {**ledger.counts, **storm.counts})


class _Storm:
    """Draws what happens."""

    def __init__(self, fleet: fleet_mod.Fleet, ledger: ledger_mod.Ledger) -> None:
        self.fleet = fleet
        self.waiting = 0
        self.counts = dict.fromkeys(_TROUBLES, 0)
        self._ledger = ledger
        self._chance = fleet.chance
        self._is_over = False
        self._number = 0
        self._wanted, self._alone = fleet.chance.choice(WANTED), fleet.chance.choice(ALONE)
        self._trouble_s = fleet.chance.choice(TROUBLE_S) / len(fleet.hosts)
        fleet.flows_s = fleet.chance.choice(FLOWS_S)
        self._names = list(fleet.hosts)
        self._busy = self._names[:max(1, int(BUSY_HOSTS * len(self._names)))]
        fleet.on_over = self._followed

    def begin(self) -> None:
        """Start all hosts, and what is wanted from the beginning."""
        chance = self._chance
        self.fleet.bad_messages = chance.choice(BAD_MESSAGES)
        for host in self.fleet.hosts.values():
            host.has_slots = host.name in self._busy or chance.random() >= WITHOUT
            self.fleet.start(host)
        for _ in range(self._wanted * len(self._names)):
            self.fleet.after(chance.uniform(0.0, NEXT_S), self._want)
        self.fleet.after(chance.expovariate(1 / self._trouble_s), self._trouble)
        self.fleet.after(SWEEP_S, self._sweep)

    def _want(self) -> None:
        """Have a migration begin somewhere."""
        if self._is_over:
            return
        chance, hosts = self._chance, self.fleet.hosts
        name = chance.choice(self._busy if chance.random() < BUSY_PART else self._names)
        source = hosts[chance.choice(self._names)]
        if source.name == name or not source.is_up:
            self.fleet.after(chance.uniform(0.0, NEXT_S), self._want)
            return
        self._number += 1
        priority = chance.choice((*vocabulary.PRIORITIES.values(), chance.randint(0, 100)))
        cost = chance.choice((500.0, 4000.0, 30_000.0))
        if chance.random() < self._alone:
            cost = 100_000.0
        want = fleet_mod.Want(f'm{self._number}', f'server-{self._number}', name, priority, cost)
        if chance.random() < 0.2:
            self._check(hosts[name], want)
        self.fleet.begin(source, want)

    def _check(self, host: fleet_mod.Host, want: fleet_mod.Want) -> None:
        """Have a destination checked, which keeps a slot for it."""
        machine = host.incoming
        if machine is None:
            return
        before, now_s = machine.used, self.fleet.clock(host)
        refusal = machine.reserve(now_s, want.migration, want.server, want.cost_mib)
        limit = host.limits.max_incoming
        if refusal is None and machine.used > max(limit, before) and limit:
            raise Violation(f'{host.name} has promised {machine.used} slots of {limit}')
        if refusal is not None and host.name not in refusal.sentence:
            raise Violation(f'a refusal does not name its host: {refusal.sentence}')

    def _followed(self, flow: fleet_mod.Flow) -> None:
        self._ledger.forget(flow)
        if not self._is_over:
            self.fleet.after(self._chance.uniform(0.0, NEXT_S), self._want)

    # Faults.

    def _trouble(self) -> None:
        if self._is_over:
            return
        chance = self._chance
        name = chance.choice(list(_TROUBLES))
        self.counts[name] += 1
        _TROUBLES[name](self, self.fleet.hosts[chance.choice(self._names)])
        self.fleet.after(chance.expovariate(1 / self._trouble_s), self._trouble)

    def _kill(self, host: fleet_mod.Host) -> None:
        self.fleet.kill(host)
        self.fleet.after(self._chance.uniform(*AWAY_S), self.fleet.start, host)

    def _restart(self, host: fleet_mod.Host) -> None:
        self.fleet.kill(host)
        self.fleet.start(host)

    def _power_off(self, host: fleet_mod.Host) -> None:
        self.fleet.kill(host)
        for migration in [*host.flows, *self.fleet.into[host.name]]:
            self.fleet.stop(migration)
        self.fleet.after(self._chance.uniform(*AWAY_S), self.fleet.start, host)

    def _cancel(self, host: fleet_mod.Host) -> None:
        own = [] if host.outgoing is None else host.outgoing.own()
        for one in self._chance.sample(own, min(3, len(own))):
            self.fleet.stop(one.want.migration)

    def _change_limits(self, host: fleet_mod.Host) -> None:
        host.limits = dataclasses.replace(
            host.limits, max_outgoing=self._chance.choice((1, 2, 3, 4, 0)),
            max_incoming=self._chance.choice((1, 2, 3, 4, 0)))
        host.lowered_s = self.fleet.now_s
        self.fleet.say(f'{host.name}: {host.limits}')
        for machine in (host.incoming, host.outgoing):
            if machine is not None:
                self.fleet.call(host, machine.set_limits, host.limits)

    def _bad_messages(self, host: fleet_mod.Host) -> None:
        self.fleet.bad_messages = self._chance.choice(BAD_MESSAGES)

    def _nonsense(self, host: fleet_mod.Host) -> None:
        """Have a host told what cannot be, which has to be refused and to change nothing."""
        now_s = self.fleet.clock(host)
        to: dict[str, Any] = {'source': host.name, 'destination': host.name, 'migration': 'x',
                              'epoch': 1, 'number': 1}
        wrong: Any = self._chance.choice((float('nan'), -1, 1 << 99, 'yes', None, True, 101.5))
        asked = {'server': 's', 'priority': 1, 'cost_mib': 0.0, 'waited_s': 0.0, **to}
        for machine, message in (
                (host.incoming, messages.Ask(room=1, **{**asked, 'priority': wrong})),
                (host.incoming, messages.Take(offer=1, **{**asked, 'cost_mib': float('inf')})),
                (host.outgoing, messages.Offer(offer=wrong, lasts_s=1.0, to_epoch=1, answers=-1,
                                               **to)),
                (host.outgoing, wrong)):
            if machine is not None and not machine.receive(now_s, message).refused:
                raise Violation(f'{host.name} has taken nonsense: {message}')

    # What has to hold.

    def _sweep(self) -> None:
        self._ledger.sweep()
        hosts = self.fleet.hosts.values()
        self.waiting = max(self.waiting, sum(
            host.incoming.waiting for host in hosts if host.incoming is not None))
        if not self._is_over:
            self.fleet.after(SWEEP_S, self._sweep)

    def calm(self) -> None:
        """Let all end: nothing begins, nothing fails, and no message is lost.

        :raises Violation: one waits for ever, or something is left
        """
        fleet = self.fleet
        self._is_over = True
        fleet.bad_messages = 0.0
        fleet.say('the calm begins')
        for host in fleet.hosts.values():
            fleet.start(host)
        granted, since_s = -1, fleet.now_s
        while fleet.wanted:
            fleet.go(until_s=fleet.now_s + SWEEP_S)
            self._sweep()
            if self._ledger.counts['granted'] != granted or any(
                    host.flows for host in fleet.hosts.values()):
                granted, since_s = self._ledger.counts['granted'], fleet.now_s
            if fleet.now_s - since_s > STUCK_S:
                raise Violation(f'{len(fleet.wanted)} wait for ever, among them '
                                f'{next(iter(fleet.wanted))}')
        # What comes late, the leases, and then what is remembered of what was over.
        fleet.go(until_s=fleet.now_s + limits_mod.FORGET_S + ledger_mod.FREED_S)
        self._ledger.at_the_end()


_TROUBLES: abc.Mapping[str, abc.Callable[[_Storm, fleet_mod.Host], None]] = {
    'nova-compute dies': _Storm._kill, 'nova-compute restarts': _Storm._restart,
    'host goes off': _Storm._power_off, 'cancels': _Storm._cancel,
    'limits change': _Storm._change_limits, 'the network changes': _Storm._bad_messages,
    'nonsense': _Storm._nonsense}
