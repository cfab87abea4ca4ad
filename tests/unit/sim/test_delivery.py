# SPDX-License-Identifier: Apache-2.0
"""What becomes of messages."""

import random

import testtools

from nova_migpolicy.sim import delivery


class TestDelivery(testtools.TestCase):

    def draw(self, bad):
        chance = random.Random(1)
        return [delivery.draw(chance, bad) for _ in range(300)]

    def within(self, bounds_s, delay_s):
        self.assertTrue(bounds_s[0] <= delay_s <= bounds_s[1], delay_s)

    def test_nothing_is_wrong(self):
        for fate, delays_s in self.draw(0.0):
            self.assertEqual(('', 1), (fate, len(delays_s)))
            self.within(delivery.MESSAGE_S, delays_s[0])

    def test_all_are_bad(self):
        """Each is lost, late or doubled, and of a doubled one the second is late."""
        bounds_s = {'lost': (), 'late': (delivery.LATE_S,),
                    'doubled': (delivery.MESSAGE_S, delivery.LATE_S)}
        found = self.draw(1.0)
        self.assertEqual(set(bounds_s), {fate for fate, _ in found})
        for fate, delays_s in found:
            self.assertEqual(len(bounds_s[fate]), len(delays_s), fate)
            for bounds, delay_s in zip(bounds_s[fate], delays_s, strict=True):
                self.within(bounds, delay_s)

    def test_some_are_bad(self):
        bad = sum(bool(fate) for fate, _ in self.draw(0.2))
        self.assertTrue(30 <= bad <= 90, bad)
