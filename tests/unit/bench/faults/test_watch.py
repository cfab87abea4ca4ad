# SPDX-License-Identifier: Apache-2.0
"""What the beats of a guest tell of its copies: one, two, or another one than before."""

from __future__ import annotations

import testtools

from bench.faults import watch
from lab import heartbeat


def beats(logs):
    """Return a beat each 10 ms, in these logs in turn."""
    return [heartbeat.Beat(number / 100, log, number % 10, number / 100)
            for number, log in enumerate(logs)]


class TestCopies(testtools.TestCase):

    def test_one_that_moves(self):
        self.assertFalse(watch.is_back_and_forth(beats([0] * 50 + [1] * 50)))

    def test_a_last_beat_that_is_read_late(self):
        self.assertFalse(watch.is_back_and_forth(beats([0] * 50 + [1, 0] + [1] * 50)))

    def test_two_that_beat_at_the_same_time(self):
        self.assertTrue(watch.is_back_and_forth(beats([0] * 50 + [1, 0] * 20)))

    def test_one_that_goes_on(self):
        self.assertFalse(watch.is_restarted([100, 200, 300]))
        # The counter has 32 bits.
        self.assertFalse(watch.is_restarted([(1 << 32) - 50, 50]))

    def test_one_that_was_started_anew(self):
        self.assertTrue(watch.is_restarted([900, 1000, 100]))
