# SPDX-License-Identifier: Apache-2.0
"""What steering makes of what QEMU measured before the start, on the model of pre-copy."""

import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy.sim import guests
from tests.unit.engine import cases

WILD = cases.WILD
names = cases.names


class TestForeseen(cases.CaseBase):
    """What QEMU measured in the second before the start."""

    def measured(self, mib, seconds=1.0, **more):
        return {'dirtied_bytes': mib << 20, 'dirtied_seconds': seconds, **more}

    def test_a_guest_that_cannot_converge_gets_bandwidth_in_the_bulk_copy(self):
        seen = self.steer(guests.sweep(1024, 256, 80), remedies=('bandwidth', 'pause'), link=1000,
                          max_bandwidth_mib_s=900, facts=self.measured(80))
        self.assertEqual(('completed', [remedies.SetBandwidth(640)]),
                         (seen.end, list(seen.actions)))
        self.assertThat(seen.applied[0][0], testtools.matchers.LessThan(3))
        self.assertIn('In 1.0 s before the start the guest dirtied 80 MiB, which 50 MiB/s cannot '
                      'catch up with; 640 MiB/s can', seen.decisions[0].reason)

    def test_up_to_the_ceiling_and_not_where_that_is_too_low(self):
        seen = self.steer(guests.sweep(1024, 256, 80), remedies=('bandwidth',), link=1000,
                          facts=self.measured(80))
        self.assertEqual([remedies.SetBandwidth(95)], list(seen.actions))
        seen = self.steer(guests.sweep(1024, 256, 80), remedies=('bandwidth',), link=1000,
                          max_bandwidth_mib_s=80, facts=self.measured(80))
        self.assertGreater(seen.bulk_end_s, 15)

    def test_one_that_may_converge_is_left_alone(self):
        for mib, load in ((42, guests.sweep(256, 128, 42)), (2, guests.sweep(256, 2, 400))):
            seen = self.steer(load, remedies=('bandwidth', 'downtime'),
                              initial_downtime_ms=300, facts=self.measured(mib))
            self.assertEqual(('completed', []), (seen.end, names(seen.decisions)))

    def test_the_operators_order_counts(self):
        seen = self.steer(guests.sweep(1024, 256, 80), remedies=('post_copy', 'bandwidth'),
                          link=1000, max_bandwidth_mib_s=900,
                          facts=self.measured(80, can_post_copy=True))
        self.assertEqual([remedies.StartPostCopy()], list(seen.actions))

    def test_one_pass_that_agrees_is_enough_for_post_copy_but_not_to_give_up(self):
        for remedy in ('post_copy', 'pause'):
            passes = []
            for facts in ({}, self.measured(80)):
                seen = self.steer(WILD, remedies=(remedy,), facts={'can_post_copy': True, **facts})
                self.assertEqual(('completed', [remedy]), (seen.end, names(seen.decisions)))
                [(at_s, _)] = seen.applied
                passes.append(sum(one.end_s <= at_s for one in self.controller.passes[1:]))
            self.assertEqual([2, 1], passes)
        # What is measured and then not seen in the pass does not count.
        seen = self.steer(WILD, remedies=('post_copy',),
                          facts=self.measured(8, can_post_copy=True))
        self.assertEqual(2, sum(one.end_s <= seen.applied[0][0]
                                for one in self.controller.passes[1:]))
        self.assertEqual(4, self.steer(WILD, remedies=(), facts=self.measured(80)).passes)

    def test_it_counts_as_evidence_where_the_passes_agree(self):
        seen = self.steer(WILD, remedies=(), facts=self.measured(80))
        self.assertEqual(('aborted', 4), (seen.end, seen.passes))
        # A burst that is over: the passes are believed.
        seen = self.steer(guests.sweep(256, 64, 20), remedies=('downtime', 'pause'),
                          facts=self.measured(200))
        self.assertEqual(('completed', []), (seen.end, names(seen.decisions)))
