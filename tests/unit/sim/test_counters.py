# SPDX-License-Identifier: Apache-2.0
"""Auto-converge's counter."""

import testtools

from nova_migpolicy.sim import counters


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
