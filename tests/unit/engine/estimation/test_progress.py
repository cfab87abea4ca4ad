# SPDX-License-Identifier: Apache-2.0
"""Progress, pace and the rate of the link."""

import testtools

from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine import samples
from tests.unit.engine.estimation import curves

MIB = 1 << 20


def memory(remaining, total=100):
    return samples.Sample(at_s=1.0, memory_total_bytes=total, memory_remaining_bytes=remaining)


def disks(remaining, total=300):
    return samples.Sample(at_s=1.0, disk_total_bytes=total, disk_remaining_bytes=remaining)


class TestProgress(testtools.TestCase):

    def test_disks_and_memory(self):
        got = progress_mod.Progress(100, 300)
        self.assertEqual([0.0, 25.0, 75.0, 87.5],
                         [got.observe(one) for one in (disks(300), disks(200), disks(0),
                                                       memory(50))])

    def test_a_sparse_disk_counts_by_what_is_copied(self):
        gib = 1 << 30
        got = progress_mod.Progress(8 * gib, 80 * gib)
        self.assertEqual([0, 5, 11, 11, 55, 55], [int(got.observe(one)) for one in (
            disks(gib, gib), disks(gib // 2, gib), disks(0, gib), memory(8 * gib, 8 * gib),
            memory(4 * gib, 8 * gib), memory(5 * gib, 8 * gib))])

    def test_what_is_written_meanwhile_does_not_turn_it_back(self):
        got = progress_mod.Progress(100, 300)
        seen = [got.observe(disks(left, total)) for left, total in (
            (300, 300), (200, 310), (250, 500), (260, 900))]
        self.assertEqual(sorted(seen), seen)

    def test_it_never_runs_backwards(self):
        got = progress_mod.Progress(100, 0)
        self.assertEqual([90.0, 90.0, 95.0],
                         [got.observe(one) for one in (memory(10), memory(60), memory(5))])
        self.assertEqual(95.0, got.percent)

    def test_only_the_end_is_the_end(self):
        self.assertEqual(99.0, progress_mod.Progress(100, 0).observe(memory(0)))

    def test_nothing_is_known(self):
        got = progress_mod.Progress(0, 0)
        self.assertEqual(0.0, got.observe(samples.Sample(at_s=1.0)))
        self.assertEqual(50.0, got.observe(memory(50)))
        self.assertEqual(50.0, got.observe(samples.Sample(at_s=2.0)))


class TestPace(testtools.TestCase):

    def test_it_is_that_of_the_last_half_minute(self):
        pace = progress_mod.Pace()
        for second in range(100):
            pace.add(float(second), 10_000 - (10 * second if second < 60 else 600))
        self.assertIsNone(pace.rate())
        for second in range(100, 140):
            pace.add(float(second), 9400 - 50 * (second - 99))
        self.assertThat(pace.rate(), curves.near(50, 0.01))

    def test_a_rise_starts_afresh(self):
        pace = progress_mod.Pace()
        for at_s, left in ((0, 100), (5, 50)):
            pace.add(at_s, left)
        self.assertEqual(10.0, pace.rate())
        pace.add(6, 80)
        pace.add(7, None)
        self.assertIsNone(pace.rate())
