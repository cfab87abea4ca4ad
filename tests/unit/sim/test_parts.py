# SPDX-License-Identifier: Apache-2.0
"""The memory, the link, the mirrors of disks and auto-converge's counter, each by itself."""

import math

import testtools

from nova_migpolicy.sim import counters
from nova_migpolicy.sim import disks
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import link
from nova_migpolicy.sim import memory as memory_mod


class TestLink(testtools.TestCase):

    def test_steps_and_outages(self):
        one = link.Link(100, steps=((10.0, 50.0), (20.0, 200.0)), outages=((15.0, 25.0),))
        self.assertEqual([100, 50, 0, 0, 200],
                         [one.rate(at_s) for at_s in (9.9, 10.0, 15.0, 20.0, 25.0)])
        self.assertEqual([10, 15, 20, 25, math.inf],
                         [one.changes_at(at_s) for at_s in (0, 10, 15, 20, 25)])

    def test_arrival(self):
        one = link.Link(100, outages=((1.0, 3.0),))
        self.assertEqual(0.5, one.arrival(0.0, 50))
        self.assertEqual(3.5, one.arrival(0.0, 150))
        self.assertEqual(math.inf, link.Link(0).arrival(0.0, 1))


class TestMirrors(testtools.TestCase):

    def copy(self, one, rate, cap):
        seconds = wire = 0.0
        while not one.in_sync:
            step = one.next_change_s(rate, cap)
            wire += one.go_on(step, rate, cap)
            seconds += step
        return seconds, wire

    def test_each_has_the_cap(self):
        self.assertEqual((5.0, 300.0), self.copy(disks.Mirrors((100, 100, 100)), 1000, 20))

    def test_they_share_the_link(self):
        self.assertEqual((4.0, 200.0), self.copy(disks.Mirrors((100, 100)), 50, 0))

    def test_the_last_one_has_it_alone(self):
        seconds, _ = self.copy(disks.Mirrors((50, 100)), 50, 0)
        self.assertEqual(3.0, seconds)

    def test_what_one_in_sync_leaves_of_the_cap_goes_to_the_others(self):
        shared = disks.Mirrors((10, 10, 480), cap_is_shared=True)
        seconds, wire = self.copy(shared, 1000, 30)
        self.assertEqual((500.0, 500.0), (wire, shared.total_mib))
        # All of the cap but the share that two in sync keep, for most of the time.
        self.assertEqual((1.0, 470 / 28), (seconds - 470 / 28, 470 / 28))
        self.assertEqual(500 / 30, self.copy(disks.Mirrors((500,)), 1000, 30)[0])
        self.assertEqual(48.0, self.copy(disks.Mirrors((10, 10, 480)), 1000, 10)[0])

    def test_what_is_written_is_mirrored_too(self):
        written = disks.Mirrors((100,), write_mib_s=10)
        seconds, wire = self.copy(written, 50, 0)
        # Of what is written while half of it is dirty, half has to be copied again.
        self.assertEqual((round(10 * math.log(5 / 4), 6), round(50 * seconds, 6)),
                         (round(seconds, 6), round(wire, 6)))
        self.assertEqual(round(wire, 6), round(written.total_mib, 6))

    def test_what_is_written_as_fast_as_it_is_copied_never_ends(self):
        for rate, stays in ((10, 0), (5, 50), (1, 90)):
            busy = disks.Mirrors((100,), 10)
            self.assertEqual(math.inf, busy.next_change_s(rate, 0))
            busy.go_on(3600.0, rate, 0)
            self.assertEqual(stays, round(busy.left_mib))
            self.assertEqual(3600 * rate + stays, round(busy.total_mib))

    def test_one_in_sync_follows_what_is_written(self):
        busy = disks.Mirrors((10, 1000), write_mib_s=2)
        busy.go_on(busy.next_change_s(100, 0), 100, 0)
        before = busy.left_mib
        self.assertEqual(100.0, busy.go_on(1.0, 100, 0))
        self.assertTrue(96 < before - busy.left_mib <= 98, busy.left_mib)


class TestMemory(testtools.TestCase):

    def test_what_rounding_leaves_of_pages_never_touched_holds_nothing_up(self):
        # Some thousandths of a byte were left over, and were to be sent for ever in no time.
        for short in (2.2e-9, 0.0):
            memory = memory_mod.Memory(guests.Workload(291_553, (), zero_mib=34_257))
            memory.send(257_296 - short)
            self.assertTrue(memory.zeros_ahead())
            memory.send(34_257 - short)
            self.assertFalse(memory.zeros_ahead())
            self.assertEqual(float('inf'), memory.until_zeros())


class TestAutoConverge(testtools.TestCase):

    def test_it_acts_the_second_time(self):
        one = counters.AutoConverge(True)
        seen = []
        for dirtied in (60, 40, 60, 60, 60, 60, 60):
            one.count(dirtied, 100)
            seen.append(one.percent)
        self.assertEqual([0, 0, 20, 20, 30, 30, 40], seen)

    def test_up_to_a_ceiling_and_only_when_armed(self):
        one = counters.AutoConverge(True, highest=35)
        for _ in range(10):
            one.count(60, 100)
        self.assertEqual(35, one.percent)
        off = counters.AutoConverge(False)
        self.assertFalse(off.count(60, 100) or off.count(60, 100))

    def test_one_step(self):
        one = counters.AutoConverge(True, 1, 1, 1, percent=1)
        one.set(60)
        self.assertFalse(one.count(60, 100))
        self.assertTrue(one.count(60, 100))
        self.assertEqual(60, one.percent)
