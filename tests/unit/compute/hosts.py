# SPDX-License-Identifier: Apache-2.0
"""Hosts with slots, joined by a bus that delivers when told to, loses, or knows no plugin."""

from __future__ import annotations

from collections import abc

import fixtures
import testtools

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.channel import client
from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import slots as slots_mod

#: past the time in which a destination only listens
BEGIN_S = limits_mod.LEASE_S + 1.0
#: for what has to come; nothing waits for so long
LONG_S = 30.0


def want(number, destination='n2', priority=50):
    """A migration and its server, by a number."""
    return slots_mod.Want(f'm{number}', f'db-{number}', destination, priority)


class Post:
    """Keeps what is to be sent until it is delivered; in the place of the threads that send."""

    def __init__(self, send):
        self.send = lambda host, message: send(host, [message])
        self.waiting = []

    def put(self, host, message):
        self.waiting.append((host, message))


class Bus:
    """The channel of all hosts. It is asked without any lock, as it may take long."""

    def __init__(self):
        self.hosts: dict[str, slots_mod.Slots] = {}
        #: by host: what whoever asks it is told
        self.wrong: dict[str, Exception] = {}
        self.asked = []
        self.is_up = True

    def ask(self, context, host, method, **arguments):
        protocol.METHODS[method].read(arguments)
        self.asked += [(host, one['kind_of_message']) for one in arguments['messages']]
        assert not any(one._changed._is_owned() for one in self.hosts.values())
        if not self.is_up:
            raise client.Unreachable(protocol.UNAVAILABLE, 'the bus is away')
        if host in self.wrong:
            raise self.wrong[host]
        for one in arguments['messages']:
            self.hosts[host].receive(one)
        return protocol.OK, {}

    def answers(self, context, host):
        assert not any(one._changed._is_owned() for one in self.hosts.values())
        return self.is_up and host not in self.wrong


def no_slots(host='n2'):
    """What the channel says of a host with the plugin in a version without slots."""
    return client.OtherVersion(protocol.CONFLICT, f'{host} is of another version')


def no_plugin(host='n2'):
    """What the channel says of a host without the plugin, as one seems that is only busy."""
    return client.Unreachable(protocol.CONFLICT, f'{host} has no plugin')


def silent(host='n2'):
    """What the channel says of a host that does not answer."""
    return client.Off(protocol.UNAVAILABLE, f'{host} did not answer')


class HostsCase(testtools.TestCase):
    """n1 and n3 send, n2 takes; their clocks go alike, and nothing happens by itself."""

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.compute.post.Post', Post))
        self.now_s = 0.0
        self.epoch = 100
        self.bus = Bus()
        self.courses: dict[str, slots_mod.Course | Exception] = {}
        #: migrations that were woken, in their order
        self.woken = []
        for name in ('n1', 'n2', 'n3'):
            self.begin(name)
        self.wait(BEGIN_S)

    def begin(self, name, out=2, into=2):
        """Start the process of a host."""
        self.epoch += 1
        self.bus.hosts[name] = slots_mod.Slots(
            name, limits_mod.Limits(out, into), self.bus, self.course, lambda: self.now_s,
            self.epoch)
        return self.bus.hosts[name]

    def course(self, migration):
        found = self.courses.get(migration)
        if isinstance(found, Exception):
            raise found
        return found

    def ask(self, name, *wants):
        for one in wants:
            self.bus.hosts[name].ask(one, lambda migration=one.migration: self.woken.append(
                migration))
            self.deliver()

    def deliver(self):
        """Send all that waits to be sent, and what it leads to."""
        for _ in range(1000):
            posts = [one._post for one in self.bus.hosts.values() if one._post.waiting]
            if not posts:
                return
            posts[0].send(*posts[0].waiting.pop(0))
        raise AssertionError('they talk without end')

    def wait(self, seconds, step_s=1.0, of: abc.Collection[str] = ()):
        """Let time pass; the threads of these hosts, or of all, look after their slots."""
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            for name, one in list(self.bus.hosts.items()):
                if not of or name in of:
                    one.wake()
            self.deliver()

    def with_both(self, name, *numbers):
        """Those of a host's migrations, by their numbers, that have both slots."""
        return [number for number in numbers if self.bus.hosts[name].has_both(f'm{number}')]

    def used_at(self, name='n2'):
        return self.bus.hosts[name]._incoming.used
