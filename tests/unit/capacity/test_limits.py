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
