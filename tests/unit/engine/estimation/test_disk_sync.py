# SPDX-License-Identifier: Apache-2.0
"""What is learnt of disks that are written to while they are mirrored."""

import math

import testtools
from testtools import matchers

from nova_migpolicy.engine.estimation import disk_sync
from nova_migpolicy.engine import samples


class TestRates(testtools.TestCase):

    def seen(self, *looks, size=1000):
        """Looks: (at_s, copied, left)."""
        disks = disk_sync.Mirroring().add(samples.Sample(
            at_s=-5.0, disk_total_bytes=1, disk_processed_bytes=0, disk_remaining_bytes=1), 60.0)
        for at_s, done, left in looks:
            disks = disks.add(samples.Sample(
                at_s=at_s, disk_total_bytes=done + left, disk_processed_bytes=done,
                disk_remaining_bytes=left), 60.0)
        return disks.rates(0.0, size)

    def test_what_is_left_tells_what_was_written(self):
        got = self.seen((0, 0, 500), (5, 100, 450), (10, 200, 400))
        self.assertEqual((20.0, 10.0, 10.0, False), (got.gross, got.net, got.again, got.level))
        # Nearly half of it is to be copied anyway, where a write adds nothing.
        self.assertEqual(10 / 0.55, got.written)

    def test_what_does_not_fall_is_level(self):
        for left in (500, 510, 497):
            self.assertTrue(self.seen((0, 0, 500), (10, 200, left)).level)
        # It falls still, but is written to faster than it is copied.
        self.assertTrue(self.seen((0, 0, 900), (10, 200, 800)).level)

    def test_too_little_says_nothing(self):
        self.assertIsNone(self.seen())
        self.assertIsNone(self.seen((0, 0, 500)))
        self.assertIsNone(self.seen((0, 0, 500), (3, 60, 440)))
        # A job that starts anew.
        self.assertIsNone(self.seen((0, 100, 500), (10, 0, 600)))

    def test_what_is_not_known_is_left_out(self):
        disks = disk_sync.Mirroring()
        for stats in ({}, {'disk_total': 5}, {'disk_total': 0, 'disk_remaining': 0}):
            disks = disks.add(samples.Sample.from_stats(1.0, stats), 60.0)
        self.assertIsNone(disks.rates(0.0, 1000))

    def test_the_time_to_sync(self):
        self.assertEqual(25.0, disk_sync.in_sync_s(500, 1000, 20, 0))
        self.assertEqual(math.inf, disk_sync.in_sync_s(500, 1000, 20, 20))
        self.assertEqual(0.0, disk_sync.in_sync_s(0, 1000, 20, 30))
        self.assertThat(disk_sync.in_sync_s(500, 1000, 20, 10), matchers.GreaterThan(25.0))
