# SPDX-License-Identifier: Apache-2.0
"""What a promised blackout means to QEMU."""

import testtools
from testtools import matchers

from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys

Link = settings_mod.Link
Settings = settings_mod.Settings
MIB = 1 << 20


class TestLimit(testtools.TestCase):

    def test_part_of_the_promise_is_held_back(self):
        for promised in (10, 50, 100, 500, 5000):
            usable = settings_mod.usable_ms(promised)
            self.assertThat(usable, matchers.GreaterThan(0))
            self.assertThat(usable, matchers.LessThan(0.86 * promised))
        self.assertEqual(395, settings_mod.usable_ms(500))

    def test_a_cap_scales_it_by_the_link(self):
        self.assertEqual(4 * 395, settings_mod.limit_ms(500, 50, Link(200.0)))
        # What may remain is then the same under each cap.
        for cap in (50, 100, 200):
            limit = settings_mod.limit_ms(500, cap, Link(200.0))
            self.assertEqual(79, settings_mod.threshold_bytes(limit, cap * MIB, Link(200.0)) / MIB)

    def test_nothing_is_scaled_where_nothing_is_known(self):
        self.assertEqual(395, settings_mod.limit_ms(500, 50, Link()))

    def test_nothing_is_scaled_without_a_cap(self):
        for link in (Link(), Link(200.0)):
            self.assertEqual(395, settings_mod.limit_ms(500, 0, link))

    def test_a_cap_above_the_link_is_not_scaled_down(self):
        self.assertEqual(395, settings_mod.limit_ms(500, 400, Link(200.0)))

    def test_qemu_that_knows_the_link_needs_no_scaling(self):
        link = Link(200.0, 200.0)
        self.assertEqual(395, settings_mod.limit_ms(500, 50, link))
        self.assertEqual(79, settings_mod.threshold_bytes(395, 50 * MIB, link) / MIB)

    def test_qemu_that_was_told_another_rate_than_the_links(self):
        for told, limit in ((400.0, 197), (100.0, 790)):
            link = Link(200.0, told)
            self.assertEqual(limit, settings_mod.limit_ms(500, 50, link))
            self.assertThat(settings_mod.threshold_bytes(limit, 50 * MIB, link) / MIB,
                            testtools.matchers.MatchesPredicate(lambda mib: 78 < mib < 80, '%s'))

    def test_what_qemu_is_told(self):
        # Without a cap it sees for itself, and under one it sends at least that.
        for cap, link, told in ((0, 200.0, None), (50, None, None), (50, 0.5, None),
                                (50, 190.7, 190), (50, 20.0, 50)):
            self.assertEqual(told, settings_mod.told_mib_s(cap, link))

    def test_it_is_never_zero(self):
        self.assertEqual(1, settings_mod.limit_ms(1, 0, Link()))

    def test_it_is_never_above_what_qemu_takes(self):
        # A long promise under a low cap; and a short one under a very low cap on a fast link.
        for promised, cap, link in ((120_000, 50, 1100.0), (2000, 10, 12_500.0)):
            self.assertEqual(2_000_000, settings_mod.limit_ms(promised, cap, Link(link)))
        self.assertEqual(1_700_000 - 30, settings_mod.limit_ms(2_000_000, 0, Link()))

    def test_the_blackout_is_that_of_the_link(self):
        self.assertEqual(530, settings_mod.blackout_ms(100 * MIB, 50 * MIB, Link(200.0)))
        # Not known: it is at least as fast as what was seen.
        self.assertEqual(2030, settings_mod.blackout_ms(100 * MIB, 50 * MIB, Link()))

    def test_the_start(self):
        facts = record.Facts(1 << 30, 0, 0.0, link_mib_s=200.0, bandwidth_mib_s=50)
        policy = keys.Policy(initial_downtime_ms=200, max_downtime_ms=500)
        self.assertEqual(settings_mod.limit_ms(200, 50, Link(200.0)),
                         settings_mod.initial_limit_ms(policy, facts))
        policy = keys.Policy(initial_downtime_ms=200, max_downtime_ms=100)
        self.assertEqual(settings_mod.limit_ms(100, 50, Link(200.0)),
                         settings_mod.initial_limit_ms(policy, facts))


class TestChanges(testtools.TestCase):

    def test_a_limit_goes_down_before_the_cap_goes_up(self):
        actions = settings_mod.changes(Settings(50, 1600, 500), Settings(100, 800, 500))
        self.assertEqual((remedies.SetMaxDowntime(800, 500), remedies.SetBandwidth(100)),
                         actions)

    def test_a_limit_goes_up_after_everything_else(self):
        actions = settings_mod.changes(Settings(50, 100, 100), Settings(100, 800, 500, 40))
        self.assertEqual((remedies.SetBandwidth(100), remedies.SetThrottle(40),
                          remedies.SetMaxDowntime(800, 500)), actions)

    def test_what_stays_is_left_alone(self):
        self.assertEqual((), settings_mod.changes(Settings(50, 100, 100), Settings(50, 100, 100)))


class TestActions(testtools.TestCase):

    def test_they_are_data(self):
        self.assertEqual({'action': 'set_max_downtime', 'limit_ms': 8, 'promised_ms': 5},
                         remedies.SetMaxDowntime(8, 5).to_dict())
        for action in (remedies.SetBandwidth(1), remedies.SetThrottle(2),
                       remedies.StartPostCopy(), remedies.Pause(), remedies.Abort()):
            self.assertEqual(action.name, action.to_dict()['action'])

    def test_records_are_plain(self):
        decision = record.Decision(1.23456, (remedies.Pause(),), 'pause', 'because',
                                   record.Forecast(True, eta_s=2.00012))
        self.assertEqual({
            'at_s': 1.235, 'actions': [{'action': 'pause'}], 'rule': 'pause',
            'reason': 'because',
            'forecast': {'converges': True, 'eta_s': 2.0, 'pass_number': 0}},
            decision.to_dict())
