# SPDX-License-Identifier: Apache-2.0
"""What cannot arrive by its deadline is ended or said within seconds, not at the deadline."""

from __future__ import annotations

from nova_migpolicy.sim import guests
from tests.unit.engine import cases


class TestForegone(cases.CaseBase):

    def idle(self, memory_mib=8192, **more):
        """Eight GiB of a server that does nothing, over ten MiB/s."""
        return self.steer(guests.idle(memory_mib), link=1000.0, **{
            'bandwidth_mib_s': 10, 'max_bandwidth_mib_s': 10, 'timeout_seconds': 300,
            'timeout_seconds_per_gib': 0, 'on_stall': 'abort', 'on_timeout': 'abort', **more})

    def test_it_is_given_up_soon(self):
        seen = self.idle()
        self.assertEqual(('aborted', ['on_stall']), (seen.end, cases.names(seen.decisions)))
        self.assertLess(seen.seconds, 20)
        self.assertIn('the 10 MiB/s that are permitted take no less than', seen.decisions[0].reason)
        self.assertIn('the deadline is in', seen.decisions[0].reason)

    def test_where_it_is_a_near_thing_it_is_only_said(self):
        seen = self.idle(timeout_seconds=780)
        self.assertEqual(['deadline', 'on_timeout'], cases.names(seen.decisions))
        self.assertLess(seen.decisions[0].at_s, 20)
        self.assertEqual((), seen.decisions[0].actions)

    def test_where_it_is_not_aborted_at_the_deadline_it_is_only_said(self):
        for more in ({'on_timeout': 'pause'}, {'on_stall': 'continue'}):
            seen = self.idle(**more)
            self.assertEqual('deadline', seen.decisions[0].rule)
            self.assertEqual((), seen.decisions[0].actions)

    def test_a_link_that_is_slower_than_the_cap_may_get_faster(self):
        seen = self.idle(bandwidth_mib_s=2000, max_bandwidth_mib_s=2000, timeout_seconds=20,
                         setup={'link_steps': ((0.0, 200.0), (15.0, 4000.0))})
        self.assertEqual(('completed', ['deadline']), (seen.end, cases.names(seen.decisions)))

    def test_what_may_be_hurried_is_hurried(self):
        seen = self.idle(max_bandwidth_mib_s=100, remedies=('bandwidth',))
        self.assertEqual(('completed', ['raise_bandwidth']),
                         (seen.end, cases.names(seen.decisions)))

    def test_what_arrives_in_time_is_left_alone(self):
        self.assertEqual((), self.idle(timeout_seconds=900).decisions)
        self.assertEqual((), self.idle(timeout_seconds=0).decisions)
