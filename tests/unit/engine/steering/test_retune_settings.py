# SPDX-License-Identifier: Apache-2.0
"""Settings that a person holds and releases while it runs."""

import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import terms
from nova_migpolicy.sim import guests
from tests.unit.engine import cases

ABORT, PAUSE, POST_COPY = remedies.Abort(), remedies.Pause(), remedies.StartPostCopy()


class TestHold(cases.TuningBase):

    def test_what_is_held_is_not_steered(self):
        self.start(remedies=('bandwidth', 'downtime'), max_downtime_ms=1000,
                   facts={'link_mib_s': 190.0})
        self.go(2.0)
        decision = self.do(self.tune(bandwidth_mib_s=40))
        self.assertIn(remedies.SetBandwidth(40), decision.actions)
        self.assertEqual({'bandwidth_mib_s': 40}, dict(self.controller.held))
        seen = self.go()
        self.assertEqual(('completed', {'set_max_downtime'}),
                         (seen.end, {action.name for action in seen.actions}))

    def test_the_limit_follows_a_held_cap(self):
        self.start(facts={'link_mib_s': 190.0})
        self.go(2.0)
        decision = self.tune(bandwidth_mib_s=100)
        limit = settings_mod.limit_ms(50, 100, settings_mod.Link(190.0))
        self.assertEqual((remedies.SetMaxDowntime(limit, 50), remedies.SetBandwidth(100)),
                         decision.actions)
        self.assertIn(f"QEMU's own limit goes from 76 to {limit} ms", decision.reason)

    def test_the_promise_is_told_though_the_limit_stays(self):
        self.start(facts={'link_mib_s': 190.0})
        self.go(2.0)
        decision = self.do(self.tune(bandwidth_mib_s=100, max_downtime_ms=100))
        limit = settings_mod.limit_ms(100, 100, settings_mod.Link(190.0))
        self.assertEqual((remedies.SetBandwidth(100), remedies.SetMaxDowntime(limit, 100)),
                         decision.actions)
        self.assertEqual(settings_mod.Settings(100, limit, 100), self.controller.settings)

    def test_the_limit_follows_the_link_both_ways_while_one_is_held(self):
        for held in ({'max_downtime_ms': 300}, {'bandwidth_mib_s': 50}):
            self.start(load=guests.sweep(256, 100, 20), facts={'link_mib_s': 150.0})
            self.go(2.0)
            self.do(self.tune(**held))
            promised = self.controller.settings.promised_ms
            # A slower link alone is no reason as long as the policy's promise is kept.
            for link in (100.0, 190.0) if 'max_downtime_ms' in held else (190.0,):
                self.controller.update_link(link)
                decision = self.do(self.controller.observe(self.seen()))
                limit = settings_mod.limit_ms(promised, 50, settings_mod.Link(link))
                self.assertEqual((remedies.SetMaxDowntime(limit, promised),), decision.actions)

    def test_a_held_blackout_is_the_promise(self):
        self.start(load=guests.sweep(256, 64, 20), facts={'link_mib_s': 190.0},
                   initial_downtime_ms=500)
        self.go(2.0)
        self.do(self.tune(max_downtime_ms=200))
        self.controller.update_link(100.0)
        seen = self.go()
        self.assertEqual([remedies.SetMaxDowntime(
            settings_mod.limit_ms(200, 50, settings_mod.Link(100.0)), 200)], list(seen.actions))
        self.assertIn('200 ms blackout', seen.decisions[0].reason)

    def test_a_person_may_go_further_than_the_policy(self):
        self.start(remedies=('bandwidth',), max_bandwidth_mib_s=60)
        self.go(2.0)
        self.do(self.tune(max_downtime_ms=4000))
        seen = self.go()
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_in_the_disks_the_bulk_copy_and_the_passes(self):
        for at_s, disk, phase in ((1.0, 200, 'disks'), (2.0, 0, 'bulk copy'), (8.0, 0, 'passes')):
            self.start(setup={'disk_mib': disk})
            self.go(at_s)
            self.assertEqual(phase, self.controller.state)
            self.assertEqual((remedies.SetBandwidth(90),),
                             self.do(self.tune(bandwidth_mib_s=90)).actions)

    def test_what_is_in_force_already_is_held_all_the_same(self):
        self.start(remedies=('bandwidth',))
        self.go(2.0)
        decision = self.tune(bandwidth_mib_s=50)
        self.assertEqual(((), False), (decision.actions, decision.refused))
        self.assertEqual({'bandwidth_mib_s': 50}, dict(self.controller.held))
        self.assertFalse([one for one in self.go(30.0).actions
                          if isinstance(one, remedies.SetBandwidth)])

    def test_a_throttle_needs_auto_converge(self):
        self.start()
        self.go(2.0)
        decision = self.tune(max_throttle_percent=50)
        self.assertEqual(((), True), (decision.actions, decision.refused))
        self.assertIn('in the phase bulk copy', decision.reason)
        self.start(facts={'can_throttle': True})
        self.go(2.0)
        self.assertEqual((remedies.SetThrottle(50),),
                         self.tune(max_throttle_percent=50).actions)

    def test_nothing_can_be_held_that_is_not_a_setting(self):
        self.start()
        self.assertRaises(KeyError, self.tune, 1.0, on_timeout=5)
        self.assertEqual({'bandwidth_mib_s', 'max_downtime_ms', 'max_throttle_percent'},
                         terms.HOLDABLE)

    def test_a_remedy_that_was_refused_twice_is_tried_for_a_person(self):
        self.start(remedies=('bandwidth',), on_stall='continue')
        self.go(30.0, refuse=lambda action: 'no')
        decision = self.do(self.tune(bandwidth_mib_s=90))
        self.assertEqual((remedies.SetBandwidth(90),), decision.actions)


class TestRelease(cases.TuningBase):

    def test_released_it_is_steered_again(self):
        self.start(remedies=('bandwidth',), timeout_seconds=0, timeout_seconds_per_gib=0,
                   on_stall='continue')
        self.go(2.0)
        self.do(self.tune(bandwidth_mib_s=60))
        seen = self.go(30.0)
        self.assertEqual((), seen.actions)
        decision = self.tune(release=['bandwidth_mib_s'])
        self.assertEqual(((), 'The policy steers bandwidth_mib_s again'),
                         (decision.actions, decision.reason))
        self.assertEqual({}, dict(self.controller.held))
        seen = self.go()
        self.assertEqual('completed', seen.end)
        self.assertEqual({'set_bandwidth'}, {action.name for action in seen.actions})

    def test_what_was_never_held(self):
        self.start()
        decision = self.tune(1.0, release=['bandwidth_mib_s', 'on_timeout'])
        self.assertEqual(((), False, 'Nobody held bandwidth_mib_s and on_timeout'),
                         (decision.actions, decision.refused, decision.reason))

    def test_what_is_above_the_policy_comes_down_and_what_is_below_its_start_comes_up(self):
        self.start(facts={'can_throttle': True})
        self.go(2.0)
        for held, wanted in (
                ({'bandwidth_mib_s': 200, 'max_downtime_ms': 900}, (95, 500)),
                ({'bandwidth_mib_s': 10, 'max_downtime_ms': 9}, (50, 50)),
                ({'bandwidth_mib_s': 70, 'max_downtime_ms': 70}, (70, 70))):
            self.do(self.tune(**held))
            self.do(self.tune(release=held))
            now = self.controller.settings
            self.assertEqual(wanted, (now.cap_mib_s, now.promised_ms))

    def test_a_throttle_that_the_policy_does_not_have_ends(self):
        for permitted, percent in (((), 1), (('auto_converge',), 60)):
            self.start(remedies=permitted, facts={'can_throttle': True})
            self.go(2.0)
            self.do(self.tune(max_throttle_percent=90))
            self.assertEqual((remedies.SetThrottle(percent),),
                             self.tune(release=['max_throttle_percent']).actions)

    def test_one_is_released_and_the_other_stays(self):
        self.start()
        self.go(2.0)
        self.do(self.tune(bandwidth_mib_s=60, max_downtime_ms=300))
        self.do(self.tune(release=['bandwidth_mib_s'], max_downtime_ms=400))
        self.assertEqual({'max_downtime_ms': 400}, dict(self.controller.held))


class TestChange(testtools.TestCase):

    def test_defaults_change_nothing(self):
        change = terms.Change()
        self.assertEqual(({}, frozenset(), None, None), (
            dict(change.hold), change.release, change.policy, change.deadline_s))
