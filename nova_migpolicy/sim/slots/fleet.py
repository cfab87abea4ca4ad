# SPDX-License-Identifier: Apache-2.0
"""Many hosts, the messages between them and time: what the machines of the slots live in.

Each host has a clock of its own, and a nova-compute that may end at any moment, while the data of
its migrations flows on in libvirt. The machines are the real ones.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import random

from nova_migpolicy.capacity import incoming as incoming_mod
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import outgoing as outgoing_mod
from nova_migpolicy.sim import agenda as agenda_mod
from nova_migpolicy.sim import delivery

#: a guest's data flows for so long at least
FLOWS_S = 1.0

Want = outgoing_mod.Want


class Violation(Exception):
    """Something that has to hold does not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """A guest whose data flows, as its source's libvirt knows."""

    want: Want
    source: str


class Host:
    """A host. Without a nova-compute it has no machines.

    has_slots: it has this plugin. flows: what it sends. lowered_s: when its limits were last
    lowered. epoch: of its newest nova-compute.
    """

    def __init__(self, name: str, chance: random.Random, limits: limits_mod.Limits) -> None:
        self.name = name
        self.limits = limits
        self.has_slots = True
        self.flows: dict[str, Flow] = {}
        self.offset_s = chance.uniform(0.0, 1e6)
        self.epoch = 0
        self.began_s = 0.0
        self.lowered_s = -1e9
        self.incoming: incoming_mod.Incoming | None = None
        self.outgoing: outgoing_mod.Outgoing | None = None
        #: when it is woken next, or nothing
        self.wakes_s: float | None = None

    @property
    def is_up(self) -> bool:
        """Whether its nova-compute runs."""
        return self.outgoing is not None


class Watcher:
    """Sees what happens; of its own it finds nothing wrong."""

    def delivered(self, host: Host, message: messages.Message) -> None:
        """Note that a message has come to a host, which has not looked at it yet."""

    def sent(self, host: Host, message: messages.Message) -> None:
        """Note that a host sends a message, and is done with the event that led to it."""

    def granted(self, host: Host, want: Want) -> None:
        """Note that a migration's data begins to flow."""

    def ended(self, flow: Flow) -> None:
        """Note that it flows no more."""

    def after(self, host: Host) -> None:
        """Note that an event at a host is over."""


class Fleet:
    """All of it.

    :param story: what happens is added to it, where there is one
    :param timer: a clock, to measure by it how long the machines take
    """

    def __init__(self, seed: int, hosts: int, watcher: Watcher,
                 story: list[str] | None = None,
                 timer: abc.Callable[[], float] | None = None) -> None:
        self.chance = random.Random(seed)
        self.watcher = watcher
        self.story = story
        self._agenda = agenda_mod.Agenda()
        #: calls of machines, and how long they took
        self.calls, self.took_s = 0, 0.0
        self._timer = timer
        #: how probably a message is lost, doubled or late
        self.bad_messages = 0.0
        #: for how long data flows, on average
        self.flows_s = 40.0
        self.hosts = {name: Host(name, self.chance, self._limits())
                      for name in (f'n{number}' for number in range(1, hosts + 1))}
        self.into: dict[str, dict[str, Flow]] = {name: {} for name in self.hosts}
        #: those that want to go, wherever they stand
        self.wanted: dict[str, Flow] = {}
        #: one is over, and why
        self.on_over: abc.Callable[[Flow], None] = lambda flow: None

    def _limits(self) -> limits_mod.Limits:
        chance = self.chance
        alone_above_mib = 50_000.0 if chance.random() < 0.5 else 0.0
        return limits_mod.Limits(chance.choice((1, 2, 2, 2, 3, 0)), chance.choice(
            (1, 2, 2, 2, 3, 0)), alone_above_mib)

    def say(self, line: str) -> None:
        """Add a sentence to the story."""
        if self.story is not None:
            self.story.append(f'{self.now_s:9.3f} s  {line}')

    # Time.

    @property
    def now_s(self) -> float:
        """The time, which no host knows."""
        return self._agenda.now_s

    @property
    def events(self) -> int:
        """How many things have happened."""
        return self._agenda.happened

    def after(self, seconds: float, what: abc.Callable[..., None], *args: object) -> None:
        """Call a function later."""
        self._agenda.after(seconds, what, *args)

    def go(self, *, events: int | None = None, until_s: float | None = None) -> bool:
        """Let things happen, so many or until then; return whether there is more.

        :raises Violation: something does not hold
        """
        left = events if events is not None else -1
        while left != 0 and self._agenda.step(until_s):
            left -= 1
        return bool(self._agenda)

    def clock(self, host: Host) -> float:
        """Return a host's own time."""
        return self.now_s + host.offset_s

    # nova-compute.

    def start(self, host: Host) -> None:
        """Start a host's nova-compute; it counts what libvirt there sends."""
        if host.is_up:
            return
        self.say(f'{host.name} starts')
        host.epoch = max(host.epoch + 1, int(self.now_s * 1000) + 1)
        host.began_s = self.now_s
        host.outgoing = outgoing_mod.Outgoing(host.name, host.epoch, host.limits)
        if host.has_slots:
            host.incoming = incoming_mod.Incoming(self.clock(host), host.name, host.epoch,
                                                  host.limits)
        # All of them, before anything else happens to it.
        turns = [host.outgoing.adopt(self.clock(host), flow.want)
                 for flow in host.flows.values()]
        for turn in turns:
            self._carry_out(host, turn)
        self._plan(host)

    def kill(self, host: Host) -> None:
        """End it; what waited there is over, and what flows goes on."""
        if not host.is_up:
            return
        self.say(f'{host.name} dies')
        host.incoming = host.outgoing = None
        host.wakes_s = None
        for name, flow in list(self.wanted.items()):
            if flow.source == host.name and name not in host.flows:
                self._over(flow)

    def call(self, host: Host, what: abc.Callable[..., messages.Turn], *args: object) -> None:
        """Let a machine of a host do something, and carry out what comes of it."""
        if self._timer is None:
            turn = what(self.clock(host), *args)
        else:
            began_s = self._timer()
            turn = what(self.clock(host), *args)
            self.took_s += self._timer() - began_s
        self.calls += 1
        self._carry_out(host, turn)

    def _carry_out(self, host: Host, turn: messages.Turn) -> None:
        if turn.refused:
            raise Violation(f'{host.name} refuses what is no nonsense: {turn.refused}')
        for migration in turn.granted:
            self._flow(host, migration)
        for message in turn.sends:
            self.watcher.sent(host, message)
            self.post(message)
        self.watcher.after(host)
        self._plan(host)

    def _plan(self, host: Host) -> None:
        """See to it that a host is woken when one of its machines wants it."""
        wakes = [machine.wake_s - host.offset_s for machine in (host.incoming, host.outgoing)
                 if machine is not None and machine.wake_s is not None]
        if not wakes:
            return
        wake_s = max(self.now_s, min(wakes))
        if host.wakes_s is None or wake_s < host.wakes_s:
            host.wakes_s = wake_s
            # A hair later: the two clocks do not round in the same way.
            self.after(wake_s - self.now_s + 1e-6, self._wake, host, host.epoch, wake_s)

    def _wake(self, host: Host, epoch: int, wake_s: float) -> None:
        if host.epoch != epoch or host.wakes_s != wake_s:
            return
        host.wakes_s = None
        for machine in (host.incoming, host.outgoing):
            if machine is not None and machine.wake_s is not None and (
                    machine.wake_s <= self.clock(host)):
                self.call(host, machine.wake)
                if machine.wake_s is not None and machine.wake_s <= self.clock(host):
                    raise Violation(f'{host.name} wants to be woken without end')
        self._plan(host)

    # Migrations.

    def begin(self, source: Host, want: Want) -> None:
        """Let a migration ask for its slots."""
        if source.outgoing is None:
            return
        self.wanted[want.migration] = Flow(want, source.name)
        self.say(f'{want.server} wants to go from {source.name} to {want.destination}, '
                 f'priority {want.priority}, {want.cost_mib:.0f} MiB')
        self.call(source, source.outgoing.ask, want)

    def _flow(self, host: Host, migration: str) -> None:
        flow = self.wanted[migration]
        self.say(f'{flow.want.server} flows from {host.name} to {flow.want.destination}')
        self.watcher.granted(host, flow.want)
        host.flows[migration] = self.into[flow.want.destination][migration] = flow
        self.after(FLOWS_S + self.chance.expovariate(1 / self.flows_s), self.stop, migration)

    def stop(self, migration: str) -> None:
        """End a migration, however it stands; if nobody watches it, nobody is told."""
        flow = self.wanted.get(migration)
        if flow is None:
            return
        host = self.hosts[flow.source]
        if host.flows.pop(migration, None) is not None:
            del self.into[flow.want.destination][migration]
            self.watcher.ended(flow)
        self._over(flow)
        if host.outgoing is not None:
            self.call(host, host.outgoing.end, migration)

    def _over(self, flow: Flow) -> None:
        self.say(f'{flow.want.server} is done with')
        del self.wanted[flow.want.migration]
        self.on_over(flow)

    # Messages.

    def post(self, message: messages.Message) -> None:
        """Send a message on its way; it may be lost, doubled or late."""
        for delay_s in self._delays(message):
            self.after(delay_s, self._arrive, message)

    def _delays(self, message: messages.Message) -> list[float]:
        fate, delays_s = delivery.draw(self.chance, self.bad_messages)
        if fate:
            self.say(f'{fate}: {_told(message)}')
        return delays_s

    def _arrive(self, message: messages.Message) -> None:
        if isinstance(message, messages.FromSource):
            host = self.hosts[message.destination]
            if host.incoming is not None:
                self._deliver(host, host.incoming.receive, message)
            elif host.is_up:
                source = self.hosts[message.source]
                if source.outgoing is not None and source.epoch == message.epoch:
                    # The call fails: there is no such method.
                    self.call(source, source.outgoing.set_slots, host.name, False)
        else:
            host = self.hosts[message.source]
            if host.outgoing is not None:
                self._deliver(host, host.outgoing.receive, message)

    def _deliver(self, host: Host, what: abc.Callable[..., messages.Turn],
                 message: messages.Message) -> None:
        if self.story is not None:
            self.say(_told(message))
        self.watcher.delivered(host, message)
        self.call(host, what, message)


def _told(message: messages.Message) -> str:
    ends = message.source, message.destination
    if not isinstance(message, messages.FromSource):
        ends = ends[1], ends[0]
    fields = {name: getattr(message, name) for name in ('offer', 'room', 'place', 'kind')
              if hasattr(message, name)}
    more = ''.join(f', {name} {value}' for name, value in fields.items())
    return f'{ends[0]} to {ends[1]}: {type(message).__name__} {message.migration}{more}'
