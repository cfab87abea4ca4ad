# SPDX-License-Identifier: Apache-2.0
"""How a guest writes, learnt from passes."""

import itertools

import testtools
from testtools import matchers

from nova_migpolicy.engine.estimation import dirtying
from tests.unit.engine.estimation import curves

MIB = 1 << 20
Curve = dirtying.Curve
near, went, run, estimate = curves.near, curves.went, curves.run, curves.estimate


class TestCurve(testtools.TestCase):

    def test_it_is_concave_never_falls_and_ends_flat(self):
        for sweep in (True, False):
            curve = Curve(100.0, 50.0, sweep)
            values = [curve.dirtied(0.1 * n) for n in range(100)]
            steps = [b - a for a, b in itertools.pairwise(values)]
            self.assertEqual(0.0, values[0])
            self.assertThat(steps[0], near(5.0))
            self.assertTrue(all(one >= 0 for one in steps))
            self.assertTrue(all(a >= b - 1e-9 for a, b in itertools.pairwise(steps)))
            self.assertThat(curve.dirtied(60), near(100.0, 0.01))

    def test_nothing_comes_of_nothing(self):
        for curve in (Curve(0.0, 5.0), Curve(5.0, 0.0), Curve(0.0, 0.0, True)):
            self.assertEqual(0.0, curve.dirtied(9.0))
        self.assertEqual(Curve(0.0, 0.0), Curve(0.0, 0.0).holding(7.0))


class TestFit(testtools.TestCase):

    def test_a_random_writer(self):
        truth = Curve(128.0 * MIB, 80.0 * MIB)
        seen = estimate(run(truth, 5, 2.5, 2.0, 1.8))
        self.assertThat(seen.mid.set_bytes / MIB, near(128))
        self.assertThat(seen.mid.rate / MIB, near(80))
        self.assertFalse(seen.saturated)

    def test_a_writer_in_order(self):
        truth = Curve(128.0 * MIB, 40.0 * MIB, True)
        seen = estimate(run(truth, 5, 2.5, 2.0, 1.6))
        self.assertThat(seen.gentle.rate / MIB, near(40, 0.02))
        self.assertThat(seen.mid.dirtied(1.0) / MIB, near(40, 0.05))

    def test_a_writer_that_is_always_through_with_its_set(self):
        truth = Curve(128.0 * MIB, 4000.0 * MIB)
        seen = estimate(run(truth, 5, 2.5, 2.5))
        self.assertTrue(seen.saturated)
        # At least as fast as the shortest pass shows, and nobody knows how much faster.
        self.assertThat(seen.low.rate / MIB, near(128 / 2.5))
        self.assertThat(seen.mid.rate, matchers.GreaterThan(2 * seen.low.rate))

    def test_a_guest_that_is_still(self):
        seen = estimate([went(0, 5, 0), went(1, 0.1, 0)])
        self.assertEqual(0.0, seen.mid.dirtied(100))

    def test_the_low_curve_is_below_what_fits_best(self):
        seen = estimate(run(Curve(128.0 * MIB, 80.0 * MIB), 5, 2.5, 2.0))
        for seconds in (0.1, 0.5, 1.0):
            self.assertThat(seen.low.dirtied(seconds),
                            matchers.LessThan(seen.mid.dirtied(seconds)))
            self.assertThat(seen.mid.dirtied(seconds),
                            matchers.LessThan(seen.high.dirtied(seconds)))

    def test_pages_that_are_left_over_hide_what_was_dirtied_again(self):
        # A quarter of the set was not sent, and so a quarter of the writes went unseen.
        [point] = [dirtying.point(went(1, 2, 75, left=25, end=100), 100 * MIB)]
        self.assertThat(point.dirtied / MIB, near(100, 0.01))
        self.assertIsNone(dirtying.point(went(1, 2, 5, left=95, end=100), 100 * MIB))

    def test_a_throttled_guest_is_reckoned_as_if_awake(self):
        point = dirtying.point(went(1, 2, 40, throttle=75), 400 * MIB)
        self.assertEqual(0.5, point.seconds)

    def test_the_set_is_at_least_what_remained(self):
        seen = estimate([went(0, 5, 60), went(1, 0.3, 8, left=52, end=60),
                         went(2, 0.3, 8, left=52, end=60)])
        self.assertThat(seen.mid.set_bytes / MIB, matchers.GreaterThan(59.9))


class TestEvidence(testtools.TestCase):

    def test_passes_that_agree(self):
        seen = estimate(run(Curve(128.0 * MIB, 80.0 * MIB), 5, 2.5, 2.0, 1.8))
        self.assertEqual((3, False), (seen.evidence, seen.bursty))

    def test_old_ones_are_forgotten_when_they_are_contradicted(self):
        wild = run(Curve(128.0 * MIB, 80.0 * MIB), 5, 2.5, 2.0)
        calm = [went(3, 1.8, 20), went(4, 0.5, 6)]
        seen = estimate(wild + calm)
        self.assertEqual(2, seen.evidence)
        self.assertThat(seen.mid.dirtied(1.8) / MIB, near(20, 0.15))

    def test_a_restless_guest(self):
        seen = estimate([went(0, 5, 128), went(1, 2.5, 20), went(2, 0.5, 2), went(3, 1, 100)])
        self.assertEqual((1, True, 2 * MIB), (seen.evidence, seen.bursty, seen.low_bytes))
        # In its quiet time it does not count as one.
        seen = estimate([went(0, 5, 128), went(1, 2.5, 100), went(2, 2, 10)])
        self.assertFalse(seen.bursty)

    def test_shrinking_is_not_restless(self):
        seen = estimate(run(Curve(400.0 * MIB, 30.0 * MIB, True), 10, 6, 3.6, 2.2, 1.3, 0.8))
        self.assertEqual((5, False), (seen.evidence, seen.bursty))


class TestRate(testtools.TestCase):

    def test_it_is_what_the_last_passes_got_at_this_cap(self):
        seen = estimate([went(0, 5, 90, rate=10), went(1, 2, 90, rate=48),
                         went(2, 2, 90, rate=49), went(3, 2, 90, rate=20)])
        self.assertEqual((48, True), (seen.wire_rate / MIB, seen.measured))

    def test_a_pass_at_another_cap_says_nothing(self):
        seen = estimate([went(0, 5, 90), went(1, 2, 90, cap=50)], cap=95, expected=95)
        self.assertEqual((95, False), (seen.wire_rate / MIB, seen.measured))
        seen = estimate([went(0, 5, 90), went(1, 2, 90, steady=False)], expected=70)
        self.assertEqual((70, False), (seen.wire_rate / MIB, seen.measured))

    def test_nothing_is_known_before_there_is_a_pass(self):
        self.assertIsNone(estimate([]))
