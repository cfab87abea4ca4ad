# SPDX-License-Identifier: Apache-2.0
"""What an operator is shown of slots: who has one, who waits in which order, and for what."""

from __future__ import annotations

import json

import testtools

from nova_migpolicy.capacity import account
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import order
from nova_migpolicy import vocabulary
from tests.unit.capacity import ends


class TestAccount(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.world = ends.Ends(2, 2)

    def told(self, source='n1'):
        """The account of both ends, as if they were of one host."""
        found = account.state(self.world.sources[source], self.world.destination,
                              self.world.now_s)
        self.assertEqual(found, json.loads(json.dumps(found, allow_nan=False)))
        return found['outgoing'], found['incoming']

    def test_nothing(self):
        nothing = {'limit': 2, 'used': 0, 'waiting': 0, 'oldest_wait_s': None, 'holders': [],
                   'queue': [], 'left_out': 0}
        self.assertEqual((nothing, nothing), self.told())

    def test_who_has_a_slot_and_how_far_it_is(self):
        self.world.wait(1.0)
        self.world.ask('n1', ends.want(1))
        self.world.wait(4.0)
        self.world.sources['n1'].note('m1', 'passes', self.world.now_s + 20.0)
        self.world.wait(8.0)
        out, into = self.told()
        self.assertEqual(([{
            'server': 'db-1', 'migration': 'm1', 'other_host': 'n2', 'since_s': 12.0,
            'phase': 'passes', 'eta_s': 12.0}], 1), (out['holders'], out['used']))
        self.assertEqual(([{**out['holders'][0], 'other_host': 'n1'}], 1),
                         (into['holders'], into['used']))
        # An end that is late is at any moment; it has not been.
        self.world.wait(15.0)
        out, into = self.told()
        self.assertEqual((0.0, 0.0), (out['holders'][0]['eta_s'], into['holders'][0]['eta_s']))

    def test_a_phase_that_is_not_known_yet(self):
        self.world.ask('n1', ends.want(1))
        out, into = self.told()
        self.assertEqual([(None, None)] * 2, [
            (one['holders'][0]['phase'], one['holders'][0]['eta_s']) for one in (out, into)])

    def test_who_waits_and_for_what(self):
        self.world.ask('n1', *(ends.want(number) for number in range(4)))
        self.world.wait(12.0)
        self.world.ask('n1', ends.want(4, priority=100))
        self.world.wait(3.0)
        out, into = self.told()
        for one, other in ((out, 'n2'), (into, 'n1')):
            self.assertEqual((2, 3, 15.0, ['db-4', 'db-2', 'db-3'], [3.0, 15.0, 15.0]), (
                one['used'], one['waiting'], one['oldest_wait_s'],
                [each['server'] for each in one['queue']],
                [each['since_s'] for each in one['queue']]))
            self.assertEqual({
                'server': 'db-4', 'migration': 'm4', 'other_host': other, 'since_s': 3.0,
                'priority': 100, 'eta_s': None, 'reason': (
                    '1st of 3 for an incoming slot on n2 (2 of 2 used by db-0 and db-1)')},
                one['queue'][0])

    def test_waiting_for_a_slot_of_the_source(self):
        self.world = ends.Ends(1, 2)
        self.world.ask('n1', ends.want(1), ends.want(2))
        out, into = self.told()
        self.assertEqual('for an outgoing slot on n1 (1 of 1 used by db-1)',
                         out['queue'][0]['reason'])
        self.assertEqual((1, 1), (into['used'], into['waiting']))

    def test_aged_ones_are_first(self):
        self.world = ends.Ends(1, 1)
        self.world.ask('n1', ends.want(1), ends.want(2, priority=0))
        self.world.wait(order.AGEING_S + 5.0, 5.0)
        self.world.ask('n1', ends.want(3, priority=100))
        out, into = self.told()
        for one in (out, into):
            self.assertEqual(['db-2', 'db-3'], [each['server'] for each in one['queue']])
            self.assertEqual(order.AGEING_S + 5.0, one['oldest_wait_s'])

    def test_offered_taking_and_reserved(self):
        self.world.lost = (messages.Take,)
        self.world.ask('n1', ends.want(1))
        self.world.destination.reserve(self.world.now_s, 'm9', 'db-9')
        self.world.wait(2.0)
        out, into = self.told()
        self.assertEqual([('db-1', 'n2', 2.0, vocabulary.TAKING, None)], [
            tuple(one[name] for name in ('server', 'other_host', 'since_s', 'phase', 'eta_s'))
            for one in out['holders']])
        self.assertEqual([('db-1', 'n1', 2.0, vocabulary.OFFERED),
                          ('db-9', None, None, vocabulary.RESERVED)], [
            tuple(one[name] for name in ('server', 'other_host', 'since_s', 'phase'))
            for one in into['holders']])
        self.assertEqual((1, 2), (out['used'], into['used']))

    def test_since_it_has_its_slot_not_since_it_asked(self):
        self.world = ends.Ends(1, 1)
        self.world.ask('n1', ends.want(1), ends.want(2))
        self.world.wait(12.0)
        self.world.end('n1', 1)
        self.world.wait(3.0)
        for one in self.told():
            self.assertEqual([('db-2', 3.0)], [
                (each['server'], each['since_s']) for each in one['holders']])

    def test_after_a_start_it_is_recounted(self):
        world = self.world
        world.destination = type(world.destination)(world.now_s, 'n2', 200)
        world.ask('n1', ends.want(1))
        _, into = self.told()
        self.assertIn('until n2, which has just started, knows what comes to it',
                      into['queue'][0]['reason'])
        self.assertEqual(limits_mod.LEASE_S, into['queue'][0]['eta_s'])

    def test_more_than_are_shown(self):
        self.world = ends.Ends(0, 0)
        self.world.ask('n1', *(ends.want(number) for number in range(account.MOST + 3)))
        self.world.take(self.world.destination.set_limits(
            self.world.now_s, limits_mod.Limits(0, 1)))
        self.world.ask('n3', *(ends.want(number + 500) for number in range(account.MOST + 4)))
        _, into = self.told()
        self.assertEqual((account.MOST, account.MOST, 7, account.MOST + 4), (
            len(into['holders']), len(into['queue']), into['left_out'], into['waiting']))
        # The figures are the same where no more of it is asked for.
        few = account.state(self.world.sources['n1'], self.world.destination, self.world.now_s, 1)
        self.assertEqual((1, 1, 2 * account.MOST + 5, account.MOST + 4), (
            len(few['incoming']['holders']), len(few['incoming']['queue']),
            few['incoming']['left_out'], few['incoming']['waiting']))

    def test_no_limit(self):
        self.world = ends.Ends(0, 0)
        self.world.ask('n1', ends.want(1))
        self.assertEqual([(0, 1)] * 2, [(one['limit'], one['used']) for one in self.told()])
