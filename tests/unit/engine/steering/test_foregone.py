# SPDX-License-Identifier: Apache-2.0
"""What will hardly arrive by its deadline is said within seconds, not at the deadline."""

from __future__ import annotations

from nova_migpolicy.engine.steering import foregone
from nova_migpolicy.sim import guests
from tests.unit.engine import cases


class TestForegone(cases.CaseBase):

    def idle(self, memory_mib=8192, **more):
        """Eight GiB of a server that does nothing, over ten MiB/s."""
        return self.steer(guests.idle(memory_mib), link=1000.0, **{
            'bandwidth_mib_s': 10, 'max_bandwidth_mib_s': 10, 'timeout_seconds': 300,
            'timeout_seconds_per_gib': 0, 'on_stall': 'abort', 'on_timeout': 'abort', **more})

    def test_it_is_said_soon_and_with_what_is_missing(self):
        seen = self.idle()
        self.assertEqual(['deadline', 'on_timeout'], cases.names(seen.decisions))
        self.assertLess(seen.decisions[0].at_s, 20)
        self.assertEqual((), seen.decisions[0].actions)
        self.assertIn('at the permitted 10 MiB/s', seen.decisions[0].reason)
        self.assertIn('the deadline is in', seen.decisions[0].reason)

    def test_it_is_not_ended_for_it_since_zeros_may_come(self):
        seen = self.steer(guests.idle(8192, zero_mib=6000), link=1000.0, bandwidth_mib_s=10,
                          max_bandwidth_mib_s=10, timeout_seconds=300, timeout_seconds_per_gib=0)
        self.assertEqual(('completed', ['deadline']), (seen.end, cases.names(seen.decisions)))

    def test_a_link_that_is_slower_than_the_cap_may_get_faster(self):
        seen = self.idle(bandwidth_mib_s=2000, max_bandwidth_mib_s=2000, timeout_seconds=20,
                         setup={'link_steps': ((0.0, 200.0), (15.0, 4000.0))})
        self.assertEqual(('completed', ['deadline']), (seen.end, cases.names(seen.decisions)))

    def test_a_link_that_stood_still_for_a_while_is_as_fast_as_it_was(self):
        seen = self.idle(4096, bandwidth_mib_s=50, max_bandwidth_mib_s=50,
                         setup={'outages': ((20.0, 45.0),)})
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_what_may_be_hurried_is_hurried(self):
        seen = self.idle(max_bandwidth_mib_s=100, remedies=('bandwidth',))
        self.assertEqual(('completed', ['raise_bandwidth']),
                         (seen.end, cases.names(seen.decisions)))

    def test_what_arrives_in_time_is_left_alone(self):
        self.assertEqual((), self.idle(timeout_seconds=900).decisions)
        self.assertEqual((), self.idle(timeout_seconds=0).decisions)


class TestDisks(cases.DisksBase):

    def said(self, **more):
        seen = self.steer('evacuate', facts={'can_hurry_disks': False}, **more)
        return seen.end, [one.reason for one in seen.decisions if one.rule == foregone.RULE]

    def test_what_is_written_anew_is_not_taken_for_a_slow_link(self):
        self.assertEqual(('completed', []), self.said(
            disk_mib=2700, write=14.0, ceiling=20, deadline_s=280))

    def test_disks_that_are_never_in_sync(self):
        end, [reason] = self.said(ceiling=20)
        self.assertEqual('aborted', end)
        self.assertIn('to which the guest writes faster than the permitted 20 MiB/s can copy',
                      reason)

    def test_disks_that_are_too_large(self):
        _, [reason] = self.said(disk_mib=27_000, write=5.0, ceiling=20, deadline_s=600)
        self.assertIn('which take no less than', reason)
        self.assertIn('at the permitted 20 MiB/s, but', reason)
