# SPDX-License-Identifier: Apache-2.0
"""The passes reckoned ahead."""

import testtools
from testtools import matchers

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import forecast
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine import settings as settings_mod
from tests.unit.engine.estimation import curves

MIB = 1 << 20


def predict(set_mib, rate, left, drain, threshold, sweep=False, overlap=False, horizon_s=1000.0):
    return forecast.predict(
        dirtying.Curve(set_mib * MIB, rate * MIB, sweep), left * MIB, drain * MIB,
        threshold * MIB, horizon_s=horizon_s, overlap=overlap)


class TestPredict(testtools.TestCase):

    def test_a_threshold_above_the_set_is_the_end_at_once(self):
        got = predict(128, 4000, 128, 50, 140)
        self.assertEqual((True, 0.0, 0), (got.converges, got.seconds, got.passes))

    def test_what_is_dirtied_more_slowly_than_sent_shrinks(self):
        got = predict(1000, 25, 100, 50, 5, sweep=True)
        self.assertTrue(got.converges)
        # 100, 50, 25 ... MiB at 50 MiB/s: four seconds at most.
        self.assertThat(got.seconds, curves.near(3.8, 0.1))

    def test_a_saturating_guest_levels_off_at_the_fixed_point(self):
        got = predict(128, 80, 128, 50, 1)
        self.assertFalse(got.converges)
        # R = 128 (1 - exp(-80 R / (50 * 128)))
        self.assertThat(got.remaining / MIB, curves.near(82, 0.04))

    def test_a_threshold_above_the_fixed_point_is_enough(self):
        self.assertTrue(predict(128, 80, 83, 50, 90).converges)
        self.assertFalse(predict(128, 80, 83, 50, 60).converges)

    def test_a_small_set_far_above_the_bandwidth_converges(self):
        self.assertTrue(predict(8, 5000, 200, 50, 10).converges)

    def test_bandwidth_above_the_rate_converges(self):
        self.assertTrue(predict(128, 80, 128, 95, 4).converges)
        self.assertFalse(predict(128, 80, 128, 75, 4).converges)

    def test_what_is_left_over_may_be_dirtied_again(self):
        self.assertFalse(predict(128, 80, 128, 50, 55).converges)
        self.assertTrue(predict(128, 80, 128, 50, 55, overlap=True).converges)

    def test_later_than_the_horizon_is_never(self):
        self.assertTrue(predict(1000, 25, 100, 50, 5).converges)
        self.assertFalse(predict(1000, 25, 100, 50, 5, horizon_s=3.0).converges)

    def test_nothing_is_sent(self):
        self.assertFalse(predict(128, 80, 128, 0, 5).converges)


class TestOutlook(testtools.TestCase):

    def look(self, curve, *times, limit=100, since_s=0.0, left_s=None, cap=50):
        seen = curves.estimate(curves.run(curve, *times), cap=cap)
        link = settings_mod.Link(200.0)
        ends = outlook.ends(seen, settings_mod.Settings(cap, limit, limit), link, 0)
        return outlook.passing(seen, ends, link, len(times), since_s, left_s)

    def test_fine(self):
        curve = dirtying.Curve(400.0 * MIB, 25.0 * MIB, True)
        got, verdict = self.look(curve, 10, 5, 2.5)
        self.assertIs(outlook.Verdict.FINE, verdict)
        self.assertTrue(got.converges)
        self.assertThat(got.eta_s, matchers.GreaterThan(1.0))
        self.assertThat(got.eta_high_s, matchers.GreaterThan(got.eta_s))
        self.assertThat(got.blackout_ms, matchers.LessThan(100))
        later, _ = self.look(curve, 10, 5, 2.5, since_s=1.0)
        self.assertThat(got.eta_s - later.eta_s, curves.near(1.0, 0.01))

    def test_late(self):
        curve = dirtying.Curve(400.0 * MIB, 25.0 * MIB, True)
        got, verdict = self.look(curve, 10, 5, 2.5, left_s=1.0)
        self.assertIs(outlook.Verdict.LATE, verdict)
        self.assertIs(False, got.makes_deadline)
        _, verdict = self.look(curve, 10, 5, 2.5, left_s=60.0)
        self.assertIs(outlook.Verdict.FINE, verdict)

    def test_stalled(self):
        got, verdict = self.look(dirtying.Curve(128.0 * MIB, 4000.0 * MIB), 5, 2.5, 2.5)
        self.assertIs(outlook.Verdict.STALLED, verdict)
        self.assertFalse(got.converges)
        self.assertIsNone(got.eta_s)
        self.assertThat(got.plateau_bytes / MIB, curves.near(128))
        self.assertThat(got.dirty_mib_s, matchers.GreaterThan(50))

    def test_unsure(self):
        _, verdict = self.look(dirtying.Curve(128.0 * MIB, 60.0 * MIB), 5, 2.5, 1.8)
        self.assertIs(outlook.Verdict.UNSURE, verdict)

    def test_the_bulk_copy(self):
        got = outlook.copying(1000 * MIB, 50.0 * MIB, 60.0)
        self.assertEqual((20.0, 50.0, True), (got.eta_s, got.bandwidth_mib_s,
                                              got.makes_deadline))
        self.assertIs(False, outlook.copying(1000 * MIB, 50.0 * MIB, 10.0).makes_deadline)
        self.assertIsNone(outlook.copying(1000 * MIB, None, 10.0).makes_deadline)
