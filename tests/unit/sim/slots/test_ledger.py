# SPDX-License-Identifier: Apache-2.0
"""Each thing that does not hold is found by the ledger."""

import testtools

from nova_migpolicy.capacity import limits
from nova_migpolicy.sim.slots import fleet as fleet_mod
from nova_migpolicy.sim.slots import ledger as ledger_mod

Violation = fleet_mod.Violation


class TestLedger(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.ledger = ledger_mod.Ledger()
        self.fleet = self.ledger.fleet = fleet_mod.Fleet(1, 3, self.ledger)
        self.fleet.flows_s = 1e6
        for host in self.fleet.hosts.values():
            host.limits = limits.Limits(2, 2)
            self.fleet.start(host)
        self.host = self.fleet.hosts['n1']
        self.fleet.go(until_s=limits.LEASE_S + 1)

    def begin(self, number):
        want = fleet_mod.Want(f'm{number}', f'server-{number}', 'n2')
        self.fleet.begin(self.host, want)
        self.fleet.go(until_s=self.fleet.now_s + 5.0)
        return want

    def finds(self, part, what, *args):
        self.assertIn(part, str(self.assertRaises(Violation, what, *args)))

    def test_all_holds(self):
        for number in range(4):
            self.begin(number)
        self.ledger.sweep()
        for number in range(4):
            self.fleet.stop(f'm{number}')
            self.fleet.go(until_s=self.fleet.now_s + 5.0)
        self.fleet.go(until_s=self.fleet.now_s + limits.FORGET_S + 20)
        self.ledger.at_the_end()

    def test_too_many_at_a_source(self):
        self.begin(1)
        self.begin(2)
        self.finds('n1 sends 3 at once, its limit is 2', self.ledger.granted, self.host,
                   fleet_mod.Want('m9', 'server-9', 'n2'))

    def test_without_a_place_at_the_destination(self):
        self.finds('flows without a slot on n2', self.ledger.granted, self.host,
                   fleet_mod.Want('m9', 'server-9', 'n2'))

    def test_a_flow_without_a_place_here(self):
        want = self.begin(1)
        self.host.flows['m9'] = fleet_mod.Flow(want, 'n1')
        self.finds('or none for what does: m9', self.ledger.after, self.host)

    def test_a_leak(self):
        """The flow is over, and nobody has said so."""
        self.begin(1)
        flow = self.host.flows['m1']
        self.ledger.ended(flow)
        self.fleet.go(until_s=self.fleet.now_s + ledger_mod.FREED_S + 5)
        self.finds('still has its slot on n2', self.ledger.sweep)

    def test_a_wait_without_a_reason(self):
        want = fleet_mod.Want('m9', 'server-9', 'n2')
        self.fleet.wanted['m9'] = fleet_mod.Flow(want, 'n1')
        self.ledger.sweep()
        self.fleet.go(until_s=self.fleet.now_s + ledger_mod.PATIENCE_S + 5)
        self.finds('though both hosts have had room', self.ledger.sweep)

    def test_something_left(self):
        self.begin(1)
        self.finds('all is over', self.ledger.at_the_end)
