# SPDX-License-Identifier: Apache-2.0
"""Hosts whose machines talk to each other, with a person between them who may lose messages."""

from __future__ import annotations

from nova_migpolicy.capacity import incoming
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import outgoing

#: past the time in which a destination only listens
BEGIN_S = limits_mod.LEASE_S + 1.0
Stand = outgoing.Stand


def want(number, destination='n2', priority=50, cost_mib=100.0):
    """A migration and its server, by a number."""
    return outgoing.Want(f'm{number}', f'db-{number}', destination, priority, cost_mib)


class Ends:
    """Sources n1 and n3, destination n2; their clocks go alike."""

    def __init__(self, out=2, into=2, alone_above_mib=0.0):
        limits = limits_mod.Limits(out, into, alone_above_mib)
        self.now_s = 0.0
        self.sources = {name: outgoing.Outgoing(name, 100, limits) for name in ('n1', 'n3')}
        self.destination = incoming.Incoming(0.0, 'n2', 100, limits)
        #: what began to flow, in its order
        self.granted = []
        self.post = []
        #: kinds of messages that are lost
        self.lost = ()
        self.now_s = BEGIN_S
        self.destination.wake(self.now_s)

    def take(self, turn):
        """Carry out what a machine wants."""
        self.granted += turn.granted
        self.post += [one for one in turn.sends if not isinstance(one, self.lost)]
        return turn

    def deliver(self):
        """Deliver all messages, and what they lead to."""
        for _ in range(200):
            if not self.post:
                return
            message = self.post.pop(0)
            machine = self.machine(message)
            if machine is not None:
                self.take(machine.receive(self.now_s, message))
        raise AssertionError('they talk without end')

    def machine(self, message):
        """The machine that a message is for."""
        if isinstance(message, messages.FromSource):
            return self.destination if message.destination == 'n2' else None
        return self.sources.get(message.source)

    def ask(self, source, *wants):
        """Let migrations ask, one after the other."""
        for one in wants:
            self.take(self.sources[source].ask(self.now_s, one))
            self.deliver()

    def end(self, source, number):
        """Let one end, or be cancelled."""
        self.take(self.sources[source].end(self.now_s, f'm{number}'))
        self.deliver()

    def wait(self, seconds, step_s=0.5):
        """Let time pass."""
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            for machine in (*self.sources.values(), self.destination):
                if machine is not None:
                    self.take(machine.wake(self.now_s))
            self.deliver()

    def flowing(self, source):
        """The migrations of a source whose data flows."""
        machine = self.sources[source]
        return [one.want.migration for one in machine.own() if one.stand is Stand.HOLDING]

    def holders(self):
        """Those that have a slot at the destination."""
        return [one.migration for one in self.destination.holders()]

    def sentence(self, source, number):
        """What one waits for."""
        return self.sources[source].wait(f'm{number}').sentence
