# SPDX-License-Identifier: Apache-2.0
"""The fleet: a migration on it, what a death leaves, and hosts without the plugin."""

import testtools

from nova_migpolicy.capacity import limits
from nova_migpolicy.sim.slots import fleet as fleet_mod


class Seen(fleet_mod.Watcher):
    """What was granted and what ended."""

    def __init__(self):
        self.granted_ones = []
        self.ended_ones = []

    def granted(self, host, want):
        self.granted_ones.append(want.migration)

    def ended(self, flow):
        self.ended_ones.append(flow.want.migration)


class TestFleet(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.seen = Seen()
        self.story = []
        self.fleet = fleet_mod.Fleet(1, 3, self.seen, self.story)
        self.fleet.flows_s = 20.0
        for host in self.fleet.hosts.values():
            host.limits = limits.Limits(2, 2)

    def start(self, without=()):
        for host in self.fleet.hosts.values():
            host.has_slots = host.name not in without
            self.fleet.start(host)

    def begin(self, number, source='n1', destination='n2'):
        self.fleet.begin(self.fleet.hosts[source], fleet_mod.Want(
            f'm{number}', f'server-{number}', destination))

    def test_a_migration(self):
        self.start()
        self.fleet.flows_s = 1000.0
        self.begin(1)
        self.assertTrue(self.fleet.go(until_s=limits.LEASE_S + limits.POLL_S))
        self.assertEqual(['m1'], self.seen.granted_ones)
        self.assertIn('m1', self.fleet.hosts['n1'].flows)
        self.assertIn('m1', self.fleet.into['n2'])
        self.fleet.go(until_s=20_000.0)
        self.assertEqual((['m1'], {}), (self.seen.ended_ones, self.fleet.wanted))
        self.assertTrue(any('n1 to n2: Take m1' in line for line in self.story))

    def test_a_death(self):
        """What waits is over, and what flows goes on, and is adopted."""
        self.start()
        for number in range(1, 4):
            self.begin(number)
        over = []
        self.fleet.on_over = lambda flow: over.append(flow.want.migration)
        while len(self.seen.granted_ones) < 2:
            self.fleet.go(events=1)
        host = self.fleet.hosts['n1']
        self.fleet.kill(host)
        self.assertFalse(host.is_up)
        self.assertEqual((1, 2), (len(over), len(host.flows)))
        self.fleet.start(host)
        self.assertEqual(2, host.outgoing.used)

    def test_a_host_without_the_plugin(self):
        self.start(without=('n2',))
        for number in range(1, 4):
            self.begin(number)
        self.fleet.go(until_s=1.0)
        self.assertEqual(2, len(self.seen.granted_ones))

    def test_bad_messages(self):
        self.fleet.bad_messages = 1.0
        self.start()
        self.begin(1)
        self.fleet.go(until_s=2000.0)
        self.assertEqual({'lost', 'doubled', 'late'}, {
            line.split()[2][:-1] for line in self.story
            if line.split()[2] in ('lost:', 'doubled:', 'late:')})

    def test_a_clock_measures_the_machines(self):
        ticks = iter(range(10_000))
        fleet = fleet_mod.Fleet(1, 2, Seen(), timer=lambda: next(ticks))
        for host in fleet.hosts.values():
            fleet.start(host)
        fleet.begin(fleet.hosts['n1'], fleet_mod.Want('m1', 's1', 'n2'))
        fleet.go(until_s=100.0)
        self.assertGreater(fleet.calls, 5)
        self.assertEqual(fleet.calls, fleet.took_s)
