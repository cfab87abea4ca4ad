# SPDX-License-Identifier: Apache-2.0
"""Limits, and what is none."""

import testtools

from nova_migpolicy.capacity import limits
from nova_migpolicy import exception


class TestLimits(testtools.TestCase):

    def test_room(self):
        self.assertEqual([True, False, False, True], [
            limits.has_room(*one) for one in ((1, 2), (2, 2), (3, 2), (99, 0))])
        self.assertEqual([1, 0, 0, limits.MANY], [
            limits.room(*one) for one in ((1, 2), (2, 2), (3, 2), (99, 0))])

    def test_alone(self):
        self.assertEqual([False, True, False], [
            limits.Limits(alone_above_mib=above).is_alone(cost)
            for above, cost in ((10.0, 10.0), (10.0, 10.1), (0.0, 1e9))])

    def test_novas_own_limit_keeps_slots_unused(self):
        for outgoing, at_once, said in ((2, 0, None), (2, 3, None), (0, 0, None),
                                        (2, 2, 'higher than max_outgoing, which is 2'),
                                        (2, 1, 'at once is 1'),
                                        (0, 5, 'the limit of what it sends')):
            found = limits.kept_from(outgoing, at_once)
            self.assertEqual(said is None, found is None)
            self.assertIn(said or '', found or '')

    def test_novas_own_limit(self):
        self.assertEqual([3, 3, 5, 0], [
            limits.novas_at_once(*one)
            for one in ((3, True), (3, False), (0, True), (0, False))])

    def test_nonsense(self):
        for wrong in ({'max_outgoing': -1}, {'max_incoming': 1.5}, {'max_incoming': True},
                      {'alone_above_mib': float('nan')}, {'alone_above_mib': -1.0}):
            self.assertRaises(exception.BadOption, limits.Limits, **wrong)

    def test_times_fit_together(self):
        """Two renewals may be lost; a poll may; nothing late is taken for new."""
        self.assertGreaterEqual(limits.LEASE_S, 3 * limits.HOLD_S)
        self.assertGreaterEqual(limits.TICKET_S, 3 * limits.POLL_S)
        self.assertGreater(limits.LEASE_S, limits.TAKE_S + limits.HOLD_S)
        self.assertGreater(limits.FORGET_S, limits.LEASE_S + limits.TICKET_S)
