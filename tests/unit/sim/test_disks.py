# SPDX-License-Identifier: Apache-2.0
"""The mirrors of disks."""

import math

import testtools

from nova_migpolicy.sim import disks


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
