# SPDX-License-Identifier: Apache-2.0
"""Cutting samples into phases and passes."""

import testtools

from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import samples

MIB = 1 << 20
Phase = samples.Phase


def look(at_s, remaining, sent, boundary=False, iteration=None, total=1000, pages=True, **more):
    stats = {'memory_total': total * MIB}
    if remaining is not None:
        stats['memory_remaining'] = remaining * MIB
    if sent is not None:
        stats['memory_processed'] = sent * MIB
        if pages:
            stats.update(memory_normal=sent * MIB // 4096, memory_constant=0)
    return samples.Sample.from_stats(
        at_s, stats, boundary=boundary, iteration=iteration, **more)


class PassesBase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tracker = passes_mod.Tracker()

    def feed(self, *seen, threshold=10, cap=50, changed_s=0.0):
        ended = [self.tracker.observe(one, threshold_bytes=threshold * MIB, cap_mib_s=cap,
                                      changed_s=changed_s) for one in seen]
        return [one for one in ended if one is not None]

    def start(self, first=1):
        """A bulk copy of 20 s after which 200 MiB remain."""
        return self.feed(look(0.1, 1000, 0, True, first), look(10, 500, 500),
                         look(20.1, 200, 990, True, first + 1))


class TestPhases(PassesBase):

    def test_the_sync_at_the_start_ends_nothing(self):
        self.feed(samples.Sample(at_s=0.0))
        self.assertIs(Phase.SETUP, self.tracker.phase)
        self.feed(look(0.1, 1000, 0, True, 1))
        self.assertIs(Phase.BULK, self.tracker.phase)

    def test_the_first_sync_was_looked_at_late(self):
        """On a busy host a tenth of a small guest is sent before anybody looks."""
        self.feed(look(0.1, 880, 120, True, 1))
        self.assertIs(Phase.BULK, self.tracker.phase)
        [bulk] = self.feed(look(20.1, 200, 1000, True, 2))
        self.assertEqual((0, 880 * MIB), (bulk.number, bulk.sent_bytes))

    def test_the_bulk_copy(self):
        [bulk] = self.start()
        self.assertIs(Phase.PASSES, self.tracker.phase)
        self.assertEqual((0, 20.0, 190 * MIB, 10 * MIB, 49.5 * MIB),
                         (bulk.number, bulk.duration_s, bulk.dirtied_bytes, bulk.leftover_bytes,
                          bulk.wire_rate))

    def test_disks_come_first(self):
        self.feed(samples.Sample(at_s=0.05, disk_total_bytes=9, disk_remaining_bytes=9))
        self.assertIs(Phase.DISKS, self.tracker.phase)
        [bulk] = self.start()
        self.assertEqual(20.0, bulk.duration_s)

    def test_the_first_sync_was_missed(self):
        [bulk] = self.feed(look(1.0, 950, 50, iteration=1), look(20.1, 200, 990, True, 2))
        self.assertEqual((0, 940 * MIB), (bulk.number, bulk.sent_bytes))

    def test_all_of_the_bulk_copy_was_missed(self):
        self.assertEqual([], self.feed(look(20.1, 200, 990, True, 2)))
        self.assertIs(Phase.PASSES, self.tracker.phase)
        [one] = self.feed(look(24.1, 200, 1180, True, 3))
        self.assertEqual(1, one.number)

    def test_syncs_in_the_middle_of_the_bulk_copy(self):
        seen = self.feed(
            look(0.1, 1000, 0, True, 1), look(5.1, 900, 250, True, 2),
            look(10.1, 800, 500, True, 3), look(15.1, 600, 750, True, 4))
        self.assertEqual([], seen)
        self.assertIs(Phase.BULK, self.tracker.phase)
        [bulk] = self.feed(look(20.1, 450, 1000, True, 5))
        self.assertEqual(0, bulk.number)

    def test_a_threshold_as_large_as_half_of_the_memory(self):
        seen = self.feed(look(0.1, 1000, 0, True, 1), look(10.1, 600, 500, True, 2),
                         threshold=510)
        self.assertEqual([0], [one.number for one in seen])

    def test_pages_are_not_counted(self):
        seen = self.feed(look(0.1, 1000, 0, True, 1, pages=False),
                         look(4.1, 200, 190, True, 2, pages=False))
        self.assertEqual([0], [one.number for one in seen])

    def test_post_copy_is_the_last(self):
        self.start()
        self.feed(look(21, 100, 1090, post_copy=True))
        self.assertEqual([], self.feed(look(24.1, 200, 1180, True, 3)))
        self.assertIs(Phase.POST_COPY, self.tracker.phase)


class TestPasses(PassesBase):

    def test_what_was_dirtied_does_not_depend_on_when_it_is_read(self):
        for late in (0, 40):
            self.tracker = passes_mod.Tracker()
            self.start()
            [one] = self.feed(look(24.1 + late / 50, 180 - late, 1180 + late, True, 3))
            self.assertEqual((1, 170 * MIB), (one.number, one.dirtied_bytes))

    def test_pages_that_xbzrle_found_unchanged_were_dealt_with(self):
        def xbzrle(at_s, remaining, sent, number):
            return samples.Sample.from_stats(at_s, {
                'memory_total': 1000 * MIB, 'memory_remaining': remaining * MIB,
                'memory_processed': sent * MIB, 'memory_normal': sent * MIB // 4096,
                'memory_constant': 0, 'compression_pages': 0}, boundary=True, iteration=number)

        self.feed(xbzrle(0.1, 1000, 0, 1), xbzrle(20.1, 800, 1000, 2))
        # Of 800 only 40 were sent, and at the sync no more than 10 can have been left.
        [one] = self.feed(xbzrle(20.9, 800, 1040, 3))
        self.assertEqual((790, 10, 790, 40), tuple(number / MIB for number in (
            one.sent_bytes, one.leftover_bytes, one.dirtied_bytes, one.wire_bytes)))
        # Where all of it was sent nothing was dropped.
        [one] = self.feed(xbzrle(36.9, 100, 1840, 4))
        self.assertEqual((800, 0, 100), tuple(number / MIB for number in (
            one.sent_bytes, one.leftover_bytes, one.dirtied_bytes)))

    def test_a_counter_that_starts_at_seven(self):
        self.start(first=7)
        [one] = self.feed(look(24.1, 180, 1180, True, 9))
        self.assertEqual(1, one.number)

    def test_a_tick_that_sees_the_counter_grow_is_a_sync(self):
        self.start()
        [one] = self.feed(look(24.1, 180, 1180, False, 3))
        self.assertEqual(1, one.number)
        # The event that comes after all is the same one.
        self.assertEqual([], self.feed(look(24.2, 175, 1185, True, 3)))

    def test_passes_that_were_not_seen(self):
        self.start()
        [one] = self.feed(look(32.1, 180, 1580, True, 5))
        self.assertEqual((1, 3), (one.number, one.count))
        [one] = self.feed(look(36.1, 180, 1750, True, 6))
        self.assertEqual(4, one.number)

    def test_short_passes_are_taken_together(self):
        self.start()
        seen = self.feed(*(look(20.1 + 0.1 * n, 20, 990 + 180 + 5 * n, True, 2 + n)
                           for n in range(1, 8)))
        self.assertEqual([3], [one.count for one in seen][:1])
        self.assertThat(len(self.tracker.passes), testtools.matchers.LessThan(5))
        self.assertEqual(8, self.tracker.number)

    def test_a_change_in_the_middle_shows(self):
        self.start()
        [one] = self.feed(look(24.1, 180, 1180, True, 3), changed_s=22.0)
        self.assertFalse(one.steady)
        [one] = self.feed(look(28.1, 180, 1350, True, 4), changed_s=24.2, cap=90)
        self.assertEqual((True, 90), (one.steady, one.cap_mib_s))

    def test_missing_statistics_make_no_pass(self):
        self.start()
        self.assertEqual([], self.feed(look(24.1, None, None, True, 3)))
        self.assertEqual([], self.feed(look(28.1, 180, 1350, True, 4)))
        [one] = self.feed(look(32.1, 180, 1520, True, 5))
        self.assertEqual(3, one.number)

    def test_counters_that_run_backwards_or_jump_make_no_pass(self):
        for bad in (look(24.1, 180, 10, True, 3), look(24.1, 180, 10 ** 6, True, 3),
                    look(24.1, 10 ** 6, 1180, True, 3), look(19.0, 180, 1180, True, 3),
                    look(20.1, 180, 1180, True, 3)):
            self.tracker = passes_mod.Tracker()
            self.start()
            self.assertEqual([], self.feed(bad))
            self.assertEqual([], [one for one in self.tracker.passes if one.number])

    def test_an_iteration_that_runs_backwards(self):
        self.start()
        self.assertEqual([], self.feed(look(22, 100, 1090, False, 1)))
        self.assertEqual([], self.feed(look(24.1, 180, 1180, True, 1)))
        [one] = self.feed(look(28.1, 180, 1350, True, 2))
        self.assertEqual(4.0, one.duration_s)
