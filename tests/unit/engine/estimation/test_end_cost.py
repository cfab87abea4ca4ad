# SPDX-License-Identifier: Apache-2.0
"""Ends that stop the guest: when they wait, what they take first, and what they say they cost."""

from __future__ import annotations

import dataclasses

import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from tests import announced
from tests.unit.engine import cases

PAUSE, POST_COPY = remedies.Pause(), remedies.StartPostCopy()
POLICY = keys.Policy(
    bandwidth_mib_s=50, max_bandwidth_mib_s=400, initial_downtime_ms=50, max_downtime_ms=100,
    remedies=('bandwidth', 'downtime'), on_stall='continue', timeout_seconds=0,
    timeout_seconds_per_gib=0)


class EndsBase(testtools.TestCase):

    def play(self, load, order=None, at_s=0.0, until_s=5000.0, link=1000.0, facts=None,
             policy=POLICY, more=(), **changes):
        """Steer a migration in which an operator orders something at a time."""
        self.controller, plant = run.start(
            dataclasses.replace(policy, **changes), precopy.Setup(load, link_mib_s=link),
            **(facts or {}))
        orders = [(at_s, lambda pilot, now_s: getattr(pilot, order)(now_s))] if order else []
        return run.steer(self.controller, plant, until_s=until_s, commands=[*orders, *more])


class TestWaiting(EndsBase):

    def test_a_guest_that_would_end_by_itself_is_not_paused_for_its_bulk_copy(self):
        load = guests.idle(8192)
        alone = self.play(load)
        for at_s in (0.0, 1.0, 60.0):
            seen = self.play(load, 'force_complete', at_s)
            self.assertEqual('completed', seen.end)
            self.assertNotIn(PAUSE, seen.actions)
            self.assertLessEqual(seen.blackout_ms, alone.blackout_ms + 20)

    def test_what_is_permitted_is_taken_at_once(self):
        seen = self.play(guests.idle(8192), 'force_complete', 1.0)
        self.assertEqual(remedies.SetBandwidth(400), seen.actions[0])
        self.assertIn('all of the memory has been sent once', seen.decisions[0].reason)
        self.assertLess(seen.seconds, 30)

    def test_one_that_never_ends_is_paused_after_its_bulk_copy(self):
        for order_at_s in (0.0, 2.0):
            seen = self.play(guests.sweep(512, 300, 600), 'force_complete', order_at_s)
            self.assertEqual(('completed', True), (seen.end, PAUSE in seen.actions))
            [paused_s] = [at_s for at_s, action in seen.applied if action == PAUSE]
            self.assertGreaterEqual(paused_s, seen.bulk_end_s)

    def test_post_copy_waits_likewise(self):
        seen = self.play(guests.sweep(512, 300, 600), 'force_complete', 1.0,
                         facts={'can_post_copy': True})
        [begun_s] = [at_s for at_s, action in seen.applied if action == POST_COPY]
        self.assertGreaterEqual(begun_s, seen.bulk_end_s)
        seen = self.play(guests.idle(2048), 'force_complete', 1.0, facts={'can_post_copy': True})
        self.assertNotIn(POST_COPY, seen.actions)

    def test_a_deadline_in_the_bulk_copy_hurries_it_first(self):
        for way in ('pause', 'force_complete', 'post_copy'):
            seen = self.play(guests.idle(8192), timeout_seconds=20, on_timeout=way,
                             remedies=('bandwidth',), max_bandwidth_mib_s=200,
                             facts={'can_post_copy': way == 'post_copy'})
            self.assertEqual(('completed', True), (seen.end, seen.blackout_ms < 100))
            self.assertEqual({remedies.SetBandwidth}, {type(one) for one in seen.actions})

    def test_an_abort_does_not_wait(self):
        seen = self.play(guests.idle(8192), timeout_seconds=20, on_timeout='abort', remedies=())
        self.assertEqual(('aborted', True), (seen.end, seen.seconds < 21))


class TestBandwidth(EndsBase):

    def test_a_pause_takes_all_that_is_permitted_first(self):
        seen = self.play(guests.sweep(1024, 800, 900), 'pause', 30.0, on_stall='continue',
                         remedies=('downtime', 'bandwidth'), max_bandwidth_mib_s=300)
        actions = [one for one in seen.actions if not isinstance(one, remedies.SetMaxDowntime)]
        self.assertEqual([remedies.SetBandwidth(300), PAUSE], actions[-2:])
        self.assertLess(seen.blackout_ms, 4000)

    def test_the_engines_own_does_so_too(self):
        for more in ({'remedies': ('pause', 'bandwidth')},
                     {'remedies': ('bandwidth',), 'on_stall': 'pause', 'timeout_seconds': 30,
                      'on_timeout': 'pause'}):
            seen = self.play(guests.sweep(1024, 800, 900), **more)
            self.assertEqual(('completed', PAUSE), (seen.end, seen.actions[-1]))
            self.assertIn(remedies.SetBandwidth(400), seen.actions)
            self.assertLess(seen.blackout_ms, 3000)

    def test_not_what_is_not_permitted_or_is_held(self):
        seen = self.play(guests.sweep(256, 128, 80), 'pause', 10.0, remedies=())
        self.assertEqual([PAUSE], list(seen.actions))

    def test_it_is_paused_all_the_same_where_that_is_refused(self):
        self.controller, plant = run.start(dataclasses.replace(
            POLICY, remedies=('bandwidth',), on_stall='pause'), precopy.Setup(
                guests.sweep(1024, 800, 900), link_mib_s=1000))
        seen = run.steer(self.controller, plant, until_s=500.0, refuse=lambda action: (
            'no' if isinstance(action, remedies.SetBandwidth) else None))
        self.assertEqual(('completed', [PAUSE]), (seen.end, list(seen.actions)))

    def test_a_paused_guest_can_be_hurried(self):
        load = guests.sweep(1024, 800, 900)
        slow = self.play(load, 'pause', 30.0, remedies=())

        def tune(pilot, now_s):
            return pilot.retune(cases.change(bandwidth_mib_s=400), now_s)

        fast = self.play(load, 'pause', 30.0, remedies=(), more=[(31.0, tune)])
        self.assertFalse(fast.decisions[-1].refused, fast.decisions[-1].reason)
        self.assertLess(fast.blackout_ms, slow.blackout_ms / 2)

    def test_nothing_else_of_a_paused_guest_can_be_changed(self):
        def tune(pilot, now_s):
            return pilot.retune(cases.change(max_downtime_ms=400), now_s)

        seen = self.play(guests.sweep(1024, 800, 900), 'pause', 30.0, remedies=(),
                         more=[(31.0, tune)])
        self.assertTrue(seen.decisions[-1].refused)
        self.assertIn('bandwidth_mib_s', seen.decisions[-1].reason)


class TestAnnounced(EndsBase):
    """What is said is what it costs, within a quarter; where that is not known, a range."""

    LOADS = (guests.sweep(2048, 1500, 300), guests.uniform(2048, 1500, 300),
             guests.sweep(1024, 800, 3000), guests.uniform(1024, 200, 90),
             guests.hot_cold(2048, 200, 1200, 400))
    FREE = (guests.sweep(8192, 4000, 2000), guests.uniform(8192, 4000, 3000))

    @staticmethod
    def measured(load):
        """What is measured of a guest before the start."""
        return {'dirtied_bytes': int(load.unique_mib(1.0)) << 20, 'dirtied_seconds': 1.0}

    def check(self, seen):
        self.assertEqual('completed', seen.end)
        said = [one for one in seen.decisions if PAUSE in one.actions][-1]
        real_s = seen.blackout_ms / 1000
        least_s, most_s = announced.blackout_s(said.reason)
        self.assertThat(real_s, testtools.matchers.MatchesAll(
            testtools.matchers.GreaterThan(least_s / 1.25 - 0.06),
            testtools.matchers.LessThan(most_s / 0.75 + 0.06)), said.reason)
        return most_s / least_s

    def check_all(self, **more):
        return [self.check(self.play(load, facts=facts, **more)) for load in self.LOADS
                for facts in ({}, self.measured(load))]

    def test_by_an_operator_at_any_time_between_two_syncs(self):
        for at_s in (48.0, 55.0, 63.0, 71.0, 79.0):
            self.check_all(order='pause', at_s=at_s, remedies=())

    def test_at_all_the_bandwidth_that_is_permitted(self):
        for at_s in (48.0, 63.0):
            self.check_all(order='pause', at_s=at_s, remedies=('bandwidth',), bandwidth_mib_s=50,
                           max_bandwidth_mib_s=51)

    def test_without_a_cap(self):
        for load in self.FREE:
            for at_s in (11.0, 13.0, 17.5):
                self.check(self.play(load, 'pause', at_s, remedies=(), bandwidth_mib_s=0,
                                     facts=self.measured(load)))

    def test_at_a_deadline(self):
        self.check_all(remedies=(), timeout_seconds=66, on_timeout='pause')

    def test_what_the_engine_decides_when_a_pass_is_over_is_known(self):
        self.assertEqual({1.0}, set(self.check_all(remedies=('pause',))))
        self.assertEqual({1.0}, set(self.check_all(remedies=(), on_stall='pause')))

    def test_many_passes_make_it_known(self):
        for load in (guests.uniform(1024, 200, 90), guests.sweep(256, 64, 3000)):
            seen = self.play(load, 'pause', 60.0, remedies=(), facts=self.measured(load))
            self.assertLess(self.check(seen), 1.5)

    def test_before_anything_is_known_it_is_a_bound(self):
        seen = self.play(guests.sweep(2048, 1500, 300), 'pause', 20.0, remedies=())
        self.assertIn('or more can be sent in no less than', seen.decisions[0].reason)
