# SPDX-License-Identifier: Apache-2.0
"""Slots at both ends of live migrations, on Nova 34 with native threads and three computes."""

from __future__ import annotations

from tests.stack.support import slots


class SlotsTest(slots.FullTests):

    def test_a_higher_priority_goes_first(self):
        first = self.endless()
        second = self.move('n2')
        self.assert_waits(*second, '1st of 1')
        third = self.move('n1', guest=slots.ENDLESS, priority=100, **slots.NEVER_ENDS)
        self.assert_waits(*third, '1st of 2')
        self.assert_waits(*second, '2nd of 2')
        self.end(*first)
        self.in_phase(*third, 'passes')
        self.assert_waits(*second, '1st of 1')
        self.end(*third)
        self.completed(*second, 'n3')

    def test_a_source_dies_that_holds_both(self):
        first = self.endless()
        second = self.move('n2')
        self.assert_waits(*second, 'n3')
        self.stack.kill_compute('n1')
        self.stack.hosts['n1'].connect().lookupByUUIDString(first[0]).abortJob()
        # Its lease ends.
        self.completed(*second, 'n3')
        self.stack.start_compute('n1')
        self.stack.wait_computes()
        self.admin.wait_migration(*first, status={'failed'}, timeout=slots.TIMEOUT_S)
        self.assert_on(first[0], 'n1')
