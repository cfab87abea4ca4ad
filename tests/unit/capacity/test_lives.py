# SPDX-License-Identifier: Apache-2.0
"""The lives of other hosts."""

import testtools

from nova_migpolicy.capacity import limits
from nova_migpolicy.capacity import lives

Life = lives.Life


class TestLives(testtools.TestCase):

    def test_same_new_and_former(self):
        known = lives.Lives()
        self.assertEqual([0, Life.NEW, Life.SAME, Life.NEW, Life.FORMER, 7], [
            known.epoch('n1'), known.hear('n1', 5, 0.0), known.hear('n1', 5, 1.0),
            known.hear('n1', 7, 2.0), known.hear('n1', 5, 3.0), known.epoch('n1')])

    def test_a_clock_that_was_set_back(self):
        known = lives.Lives()
        known.hear('n1', 7, 0.0)
        self.assertEqual([Life.FORMER, Life.NEW], [
            known.hear('n1', 5, limits.FORGET_S - 1), known.hear('n1', 5, limits.FORGET_S)])
