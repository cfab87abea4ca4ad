# SPDX-License-Identifier: Apache-2.0
"""The search for the least harmful remedy."""

import dataclasses

import testtools
from testtools import matchers

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import planner as planner_mod
from tests.unit.engine.estimation import curves

MIB = 1 << 20
LINK = settings_mod.Link(200.0)
# R levels off at 82 MiB at 50 MiB/s.
CURVE = dirtying.Curve(128.0 * MIB, 80.0 * MIB)
WILD = dirtying.Curve(128.0 * MIB, 4000.0 * MIB)


class TestPlan(testtools.TestCase):

    def planner(self, curve=CURVE, cap=50, now=None, throttle=0, **means):
        times = (5, 2.56, 2.04, 1.8, 1.7) if curve is CURVE else (5, 2.56, 2.56)
        seen = curves.estimate(curves.run(curve, *times), cap=cap)
        now = now or settings_mod.Settings(cap, settings_mod.limit_ms(50, cap, LINK), 50)
        return planner_mod.Planner(seen, now, planner_mod.Permitted(**{
            'remedies': ('bandwidth', 'downtime'), 'max_bandwidth_mib_s': 0,
            'max_downtime_ms': 500, 'max_throttle_percent': 60,
            'link': settings_mod.Link(200.0), 'highest_cap_mib_s': cap, **means}), throttle)

    def choose(self, pass_s=2.0, **means):
        return self.planner(**means).choose(pass_s)

    def test_bandwidth_straight_to_what_is_needed(self):
        got = self.choose(remedies=('bandwidth',))
        self.assertEqual((('bandwidth',), True), (got.used, got.certain))
        self.assertThat(got.settings.cap_mib_s, matchers.GreaterThan(80))
        self.assertThat(got.settings.cap_mib_s, matchers.LessThan(115))
        # The promise is the same, and so QEMU's limit is lower.
        self.assertEqual(50, got.settings.promised_ms)
        self.assertEqual(settings_mod.limit_ms(50, got.settings.cap_mib_s, LINK),
                         got.settings.limit_ms)

    def test_bandwidth_under_a_ceiling(self):
        got = self.choose(remedies=('bandwidth',), max_bandwidth_mib_s=60)
        self.assertThat(got, matchers.Is(None))
        got = self.choose(remedies=('bandwidth',), max_bandwidth_mib_s=82)
        self.assertEqual((82, False), (got.settings.cap_mib_s, got.certain))

    def test_bandwidth_that_nobody_knows_to_suffice(self):
        planner = self.planner(dirtying.Curve(128.0 * MIB, 9e5 * MIB), remedies=('bandwidth',),
                               link=settings_mod.Link())
        self.assertEqual(0, planner.caps()[-1])
        self.assertFalse(planner.choose(2.0).certain)

    def test_no_cap_means_no_more_bandwidth(self):
        self.assertEqual([], self.planner(cap=0).caps())
        self.assertEqual([], self.planner(max_bandwidth_mib_s=50).caps())
        self.assertEqual([], self.planner(link_bound=True).caps())
        self.assertEqual(200, self.planner(max_bandwidth_mib_s=900).caps()[-1])

    def test_downtime_straight_to_what_is_needed(self):
        got = self.choose(remedies=('downtime',), max_downtime_ms=5000)
        self.assertEqual((('downtime',), True, 50), (got.used, got.certain,
                                                     got.settings.cap_mib_s))
        # About 85 MiB at 200 MiB/s, and what is held back.
        self.assertThat(got.settings.promised_ms, curves.near(570, 0.15))
        self.assertThat(got.blackout_ms, matchers.LessThan(got.settings.promised_ms))

    def test_downtime_that_is_not_enough(self):
        self.assertIsNone(self.choose(remedies=('downtime',), max_downtime_ms=150))
        self.assertEqual([], self.planner(max_downtime_ms=50).promises())

    def test_both_where_one_is_not_enough(self):
        got = self.choose(curve=WILD, max_bandwidth_mib_s=52, max_downtime_ms=900)
        self.assertEqual(('downtime',), got.used)
        got = self.choose(max_bandwidth_mib_s=66, max_downtime_ms=220)
        self.assertEqual(('bandwidth', 'downtime'), got.used)
        self.assertTrue(got.settings.cap_mib_s > 50 and got.settings.promised_ms > 50)

    def test_the_order_is_the_policys(self):
        for order in (('bandwidth', 'downtime'), ('downtime', 'bandwidth')):
            got = self.choose(remedies=order, max_downtime_ms=5000)
            self.assertEqual(order[:1], got.used)

    def test_auto_converge(self):
        got = self.choose(remedies=('auto_converge',))
        self.assertEqual((('auto_converge',), True), (got.used, got.certain))
        # 80 (1 - p) < 50
        self.assertThat(got.settings.throttle_percent, matchers.GreaterThan(38))
        self.assertThat(got.settings.throttle_percent, matchers.LessThan(61))
        self.assertIsNone(self.choose(remedies=('auto_converge',), max_throttle_percent=5))

    def test_post_copy_and_pause_always_do(self):
        got = self.choose(remedies=('post_copy',))
        self.assertEqual((remedies.StartPostCopy(), True), (got.step, got.certain))
        got = self.choose(remedies=('pause',))
        self.assertEqual(remedies.Pause(), got.step)
        self.assertThat(got.blackout_ms, curves.near(1000 * 83 / 50, 0.1))
        # A guest that stands still is sent with all that is permitted.
        got = self.choose(remedies=('pause',), highest_cap_mib_s=150)
        self.assertThat(got.blackout_ms, curves.near(1000 * 83 / 150, 0.1))
        self.assertEqual((150, False), (got.settings.cap_mib_s, got.at_most))

    def test_a_pause_with_a_cap_that_may_not_be_reached(self):
        # What is slower than the cap of today may be so no more once the guest stands still.
        for means in ({'highest_cap_mib_s': 150, 'link_bound': True},
                      {'highest_cap_mib_s': 0, 'link': settings_mod.Link()}):
            got = self.choose(remedies=('pause',), **means)
            self.assertThat(got.blackout_ms, curves.near(1000 * 83 / 50, 0.1))
            self.assertTrue(got.at_most)
        self.assertFalse(self.choose(remedies=('pause',), link_bound=True).at_most)

    def test_the_mild_that_may_do_is_tried_before_the_harsh_that_will(self):
        more = {'remedies': ('bandwidth', 'post_copy'), 'max_bandwidth_mib_s': 82}
        self.assertEqual(('bandwidth',), self.choose(**more).used)
        self.assertEqual(('post_copy',), self.choose(time_left_s=5.0, **more).used)

    def test_only_what_makes_the_deadline(self):
        self.assertEqual(('bandwidth',), self.choose(
            remedies=('bandwidth', 'post_copy'), time_left_s=60.0).used)
        self.assertEqual(('post_copy',), self.choose(
            remedies=('bandwidth', 'post_copy'), time_left_s=0.5).used)

    def test_a_limit_that_cannot_be_lowered_forbids_a_higher_cap(self):
        self.assertIsNone(self.choose(remedies=('bandwidth',), can_rescale=False))

    def test_nothing_permitted(self):
        self.assertIsNone(self.choose(remedies=()))

    def test_a_quiet_moment(self):
        planner = self.planner()
        self.assertIsNone(planner.await_lull())
        planner.seen = dataclasses.replace(planner.seen, low_bytes=20 * MIB)
        got = planner.await_lull()
        self.assertThat(settings_mod.threshold_bytes(
            got.settings.limit_ms, 50 * MIB, settings_mod.Link(200.0)) / MIB,
            curves.near(23, 0.1))
