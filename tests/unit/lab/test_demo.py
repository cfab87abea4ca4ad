# SPDX-License-Identifier: Apache-2.0
"""The demo tells when something did not come out as it says."""

from __future__ import annotations

import dataclasses

import testtools

from lab.demo import scenario
from lab.demo import track

STOCK = track.Track('stock', 'stock Nova', '1', status='error', host='n1', aborted=True,
                    beats_after=100)
POLICY = track.Track(
    'policy', 'with a policy', '2', status='completed', host='n2', blackout_ms=100.0,
    beats_after=100, decisions=[track.Decided(1.0, 'operator', 'a person', ()),
                                track.Decided(2.0, 'raise_bandwidth', 'because', ('more',))])


class FailuresTest(testtools.TestCase):

    def test_all_is_well(self):
        self.assertEqual([], scenario.failures(STOCK, POLICY))

    def test_each_thing_that_can_be_wrong(self):
        for stock, policy in (
                ({'aborted': False}, {}), ({'host': 'n2'}, {}), ({'status': 'completed'}, {}),
                ({'beats_after': 0}, {}), ({}, {'status': 'cancelled'}), ({}, {'host': 'n1'}),
                ({}, {'decisions': POLICY.decisions[:1]}),
                ({}, {'decisions': POLICY.decisions[1:]}),
                ({}, {'blackout_ms': 700.0}),
                ({}, {'beats_after': None})):
            wrong = scenario.failures(dataclasses.replace(STOCK, **stock),
                                      dataclasses.replace(POLICY, **policy))
            self.assertEqual(1, len(wrong), (stock, policy, wrong))


class PointTest(testtools.TestCase):

    def test_missing_statistics_count_as_nothing(self):
        point = track.point(1.0, {'memory_remaining': 3 << 20, 'memory_bps': None})
        self.assertEqual((3.0, 0.0, 0.0, 0.0), (
            point.memory_remaining_mib, point.bandwidth_mib_s, point.dirty_mib_s,
            point.sent_mib))
