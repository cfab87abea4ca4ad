# SPDX-License-Identifier: Apache-2.0
"""Guests of which everything is known, against the same guests page by page."""

import math
import random

import testtools
from testtools import matchers

from nova_migpolicy.sim import guests
from nova_migpolicy.sim import memory

PAGES_PER_MIB = 64      # coarse pages, for speed


def by_pages(load, seconds, step_s=0.02, seed=1):
    """MiB that are different after some time, with a bit for each page."""
    chance = random.Random(seed)
    dirty = set()
    for writer in load.writers:
        at, owed = 0, 0.0
        last = None
        for number in range(round(seconds / step_s)):
            [(one, since_s, until_s), *_] = guests.passages(
                writer, load.cycle, number * step_s + 1e-9, (number + 1) * step_s)
            if one is not last:
                at, last = 0, one
            first = int(one.first_mib * PAGES_PER_MIB)
            size = max(1, int(one.set_mib * PAGES_PER_MIB))
            owed += one.written_mib(since_s, until_s) * PAGES_PER_MIB
            for _ in range(int(owed)):
                dirty.add(first + (at if one.sweep else chance.randrange(size)))
                at = (at + 1) % size
            owed -= int(owed)
    return len(dirty) / PAGES_PER_MIB


LOADS = {
    'sweep': guests.sweep(256, 100, 40),
    'uniform': guests.uniform(256, 100, 100),
    'hot_cold': guests.hot_cold(256, 10, 100, 100),
    'zipf': guests.zipf(256, 128, 200),
    'bursts': guests.bursts(256, 50, 10, on_s=2, off_s=3),
    'ramp': guests.ramp(256, 100, 10, 90, 4.0),
    'phases': guests.phases(256, guests.Stretch(2, 10, 200), guests.Stretch(9, 20, 50, 200)),
}


class TestCurves(testtools.TestCase):

    def test_unique_is_what_the_pages_say(self):
        for name, load in LOADS.items():
            for seconds in (0.5, 1.0, 2.5, 6.0):
                expected = by_pages(load, seconds)
                self.assertThat(abs(load.unique_mib(seconds) - expected),
                                matchers.LessThan(0.06 * expected + 1.0), (name, seconds))

    def test_the_writable_set_is_its_limit(self):
        for name, load in LOADS.items():
            long = load.unique_mib(1e7)
            self.assertThat(long, matchers.LessThan(load.writable_set_mib * 1.0001), name)
            if name not in ('bursts', 'phases'):
                self.assertThat(long, matchers.GreaterThan(load.writable_set_mib * 0.999), name)

    def test_zipf_keeps_all_writes(self):
        load = guests.zipf(256, 128, 200, skew=0.8)
        self.assertAlmostEqual(200, sum(one.rate_mib_s for [one] in load.writers))
        self.assertAlmostEqual(128, sum(one.set_mib for [one] in load.writers))
        rates = [one.rate_mib_s / one.set_mib for [one] in load.writers]
        self.assertEqual(sorted(rates, reverse=True), rates)

    def test_overlapping_sets_count_once(self):
        load = guests.Workload(256, ((guests.Stretch(1e9, 1, 100),),
                                     (guests.Stretch(1e9, 1, 100, 50),)))
        self.assertEqual(150, load.writable_set_mib)
        self.assertEqual(0, guests.idle(256).writable_set_mib)


class TestMemory(testtools.TestCase):
    """What is dirty after writing and sending, against a bit for each page."""

    def test_a_round_of_sending_amid_writing(self):
        for name, load in LOADS.items():
            found = self.play(load)
            expected = self.play_by_pages(load)
            for mine, theirs in zip(found, expected, strict=True):
                self.assertThat(abs(mine - theirs), matchers.LessThan(0.05 * theirs + 2.0), name)

    SENT = (256, 30, 20, 45, 10, 60)

    def play(self, load):
        one = memory.Memory(load)
        seen = []
        for number, sent in enumerate(self.SENT):
            one.send(min(sent, one.dirty_mib))
            one.write(number * 1.0, number + 1.0, 1.0)
            one.sync()
            seen.append(one.dirty_mib)
        return seen

    def play_by_pages(self, load):
        total = load.memory_mib * PAGES_PER_MIB
        dirty, at = set(range(total)), 0
        seen = []
        before = set()
        for number, sent in enumerate(self.SENT):
            left = min(sent * PAGES_PER_MIB, len(dirty))
            while left > 0:
                left -= at in dirty
                dirty.discard(at)
                at = (at + 1) % total
            pages = self.written(load, number, number + 1)
            dirty |= pages
            before |= pages
            seen.append(len(dirty) / PAGES_PER_MIB)
        return seen

    @staticmethod
    def written(load, begin_s, end_s):
        chance = random.Random(begin_s)
        pages = set()
        for writer in load.writers:
            for one, since_s, until_s in guests.passages(writer, load.cycle, begin_s, end_s):
                first = int(one.first_mib * PAGES_PER_MIB)
                size = max(1, int(one.set_mib * PAGES_PER_MIB))
                done = one.written_mib(0, since_s) * PAGES_PER_MIB
                count = one.written_mib(since_s, until_s) * PAGES_PER_MIB
                for page in range(int(done), int(done + count)):
                    pages.add(first + (page % size if one.sweep else chance.randrange(size)))
        return pages

    def test_a_throttle_slows_it(self):
        one = memory.Memory(guests.sweep(256, 200, 40))
        one.send(256)
        one.write(0.0, 1.0, 0.25)
        self.assertEqual(10, one.sync())
        one.write(1.0, 2.0, 1.0)
        self.assertEqual(40, one.sync())

    def test_random_writes_to_what_is_dirty_add_nothing(self):
        one = memory.Memory(guests.uniform(256, 100, 100))
        self.assertEqual(0, one.sync())
        one.send(256)
        one.write(0.0, 1.0, 1.0)
        new = one.sync()
        self.assertAlmostEqual(100 * (1 - math.exp(-1)), new)
        one.write(1.0, 2.0, 1.0)
        self.assertAlmostEqual((100 - new) * (1 - math.exp(-1)), one.sync())

    def test_untouched_memory_comes_last_and_once(self):
        one = memory.Memory(guests.idle(100, zero_mib=60))
        self.assertEqual(40, one.until_zeros())
        one.send(40)
        self.assertTrue(one.zeros_ahead())
        one.send(60)
        self.assertFalse(one.zeros_ahead())
        self.assertEqual((0, math.inf), (one.dirty_mib, one.until_zeros()))

    def test_pieces_do_not_pile_up(self):
        one = memory.Memory(guests.zipf(4096, 1000, 900))
        for number in range(500):
            one.send(min(one.dirty_mib, 37.0 + number % 11))
            one.write(number * 0.1, number * 0.1 + 0.1, 1.0)
            one.sync()
        self.assertThat(len(one._starts), matchers.LessThan(150))
