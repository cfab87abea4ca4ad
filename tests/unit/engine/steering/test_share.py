# SPDX-License-Identifier: Apache-2.0
"""Migrations that share a link: who goes first, and what is not done to a guest for it."""

from __future__ import annotations

import dataclasses

import testtools

from nova_migpolicy.engine.estimation import link_rate
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine.steering import share
from nova_migpolicy.policy import resolve
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from nova_migpolicy.sim import together
from tests import announced
from tests.unit.engine import cases

MIB = 1 << 20
LINK_MIB_S = 48.0
# As eight guests of a trial on real QEMU, each of which arrives alone in four seconds.
SIZES_MIB = (96, 100, 104, 108, 112, 116, 120, 128)
HARSH = (remedies.SetThrottle, remedies.StartPostCopy, remedies.Pause, remedies.Abort)


def policy(profile, **more):
    return resolve.resolve(resolve.Sources(flavor={'profile': profile, **more})).policy


class ShareBase(testtools.TestCase):

    def crowd(self, loads, *, profile='balanced', link=LINK_MIB_S, facts=None, first=None,
              **more):
        """Migrations with one policy; first: what the oldest one's has of its own."""
        chosen = [policy(profile, **{**more, **(first or {})}), *(
            policy(profile, **more) for _ in loads[1:])]
        return together.Crowd([run.start(
            one, precopy.Setup(load, link_mib_s=link), can_throttle=one.may_throttle,
            can_post_copy=one.may_post_copy, **(facts or {}))
            for one, load in zip(chosen, loads, strict=True)], link)

    def eight(self, **more):
        return self.crowd([guests.sweep(size, 32, 20) for size in SIZES_MIB], **more)

    def assert_all_arrive(self, seen, promised_ms):
        self.assertEqual({'completed'}, {one.end for one in seen})
        for one in seen:
            self.assertLessEqual(one.blackout_ms, promised_ms)
            self.assertEqual([], [action for action in one.actions if isinstance(action, HARSH)])


class TestTogether(ShareBase):

    def test_all_eight_arrive_and_nothing_is_done_to_a_guest(self):
        for profile, promised_ms in (('balanced', 500), ('evacuate', 2000)):
            seen = self.eight(profile=profile).go(600)
            self.assert_all_arrive(seen, promised_ms)
            # One after the other takes 34 s.
            self.assertLess(max(one.seconds for one in seen), 60)

    def test_less_than_the_permitted_blackout_is_used_beside_others(self):
        seen = self.eight(profile='evacuate').go(600)
        raised = [[action.promised_ms for action in one.actions
                   if isinstance(action, remedies.SetMaxDowntime)][:1] for one in seen]
        # The last one may be alone by then.
        self.assertEqual([[1400]] * 7, raised[:-1])

    def test_under_caps_that_the_link_does_not_give_to_all(self):
        self.assert_all_arrive(self.eight(
            bandwidth_mib_s=40, max_bandwidth_mib_s=40).go(600), 500)

    def test_caps_that_the_link_gives_to_all_leave_each_alone(self):
        loads = [guests.sweep(size, 64, 80) for size in SIZES_MIB[:3]]
        seen = self.crowd(loads, link=1000, bandwidth_mib_s=40, max_bandwidth_mib_s=40,
                          remedies=[]).go(600)
        self.assertEqual([['on_stall']] * 3, [cases.names(one.decisions) for one in seen])
        self.assertEqual({'aborted'}, {one.end for one in seen})

    def test_one_that_cannot_end_alone_either_is_given_up_and_the_others_arrive(self):
        loads = [guests.sweep(128, 100, 400), *(guests.sweep(96, 32, 20) for _ in range(3))]
        seen = self.crowd(loads, max_downtime_ms=300).go(600)
        self.assertEqual(['aborted', 'completed', 'completed', 'completed'],
                         [one.end for one in seen])
        self.assertIn(share.RULE, cases.names(seen[0].decisions))

    def test_for_one_that_goes_on_although_it_cannot_end_nobody_gives_way_for_ever(self):
        loads = [guests.sweep(128, 100, 400), *(guests.sweep(96, 32, 20) for _ in range(3))]
        seen = self.crowd(loads, max_downtime_ms=300, first={
            'on_stall': 'continue', 'timeout_seconds': 3000}).go(600)
        self.assertEqual(['running', 'completed', 'completed', 'completed'],
                         [one.end for one in seen])
        self.assertEqual(1, cases.names(seen[0].decisions).count('on_stall'))

    def test_for_one_over_whose_link_nothing_moves_nobody_gives_way(self):
        crowd = self.eight(on_stall='continue')
        crowd.go(28.0)
        pilot, plant = next((one.pilot, one.plant) for one in crowd.courses if not one.plant.over)
        self.assertTrue(pilot.in_need)
        for tick in range(9):
            pilot.observe(samples.Sample(
                plant.now_s + 5.0 * tick, memory_total_bytes=128 * MIB, memory_processed_bytes=MIB,
                memory_remaining_bytes=32 * MIB))
        self.assertTrue(pilot.stands_still)
        self.assertFalse(pilot.in_need)

    def test_nothing_is_learnt_of_a_link_that_was_shared(self):
        crowd = self.eight()
        crowd.go(600)
        alone = []
        for course in crowd.courses:
            for one in course.pilot.passes:
                rate = link_rate.from_pass(one)
                if rate:
                    alone.append(rate)
        self.assertEqual([], [rate for rate in alone if rate < 0.6 * LINK_MIB_S])

    def test_the_sentence_names_the_rate_that_was_sent_and_who_goes_first(self):
        seen = self.eight().go(600)
        [first] = seen[0].decisions[:1]
        self.assertRegex(first.reason, r' at \d(\.\d)? MiB/s .*, beside 7 other migrations of '
                                       r'this host; those that began after it give way')
        said = [one.reason for one in seen[-1].decisions]
        self.assertTrue(any('cannot end while others use the link' in one for one in said), said)

    def test_a_pause_of_one_that_gives_way_takes_its_own_rate(self):
        [crowd] = [self.eight(bandwidth_mib_s=40, max_bandwidth_mib_s=40)]
        crowd.go(28.0)
        waiting = [one for one in crowd.courses if one.pilot.has_given_way]
        self.assertNotEqual([], waiting)
        decision = waiting[-1].pilot.pause(waiting[-1].plant.now_s)
        self.assertIn(remedies.SetBandwidth(40), decision.actions)

    def test_for_one_that_is_paused_the_others_give_way_at_once(self):
        crowd = self.eight()
        crowd.go(16.0)
        first = crowd.courses[0]
        self.assertFalse(first.pilot.in_need)
        first.order(lambda pilot, at_s: pilot.pause(at_s))
        self.assertTrue(first.pilot.in_need)
        seen = crowd.go(600)
        self.assertEqual({'completed'}, {one.end for one in seen})
        _, most_s = announced.blackout_s(seen[0].decisions[-1].reason)
        self.assertIn('at most', seen[0].decisions[-1].reason)
        self.assertLess(seen[0].blackout_ms, 500 * most_s)

    def test_a_rate_that_an_operator_holds_stays(self):
        crowd = self.eight()
        crowd.go(1.0)
        held = crowd.courses[3]
        held.order(lambda pilot, at_s: pilot.retune(cases.change(bandwidth_mib_s=30), at_s))
        crowd.go(600)
        caps = [one.mib_s for one in held.told().actions if isinstance(one, remedies.SetBandwidth)]
        self.assertNotIn(share.TRICKLE_MIB_S, caps)


class TestDisks(testtools.TestCase):

    def test_the_rate_of_disks_is_lowered_only_where_it_can_be(self):
        for can_be, caps in ((True, [share.TRICKLE_MIB_S]), (False, [])):
            pilot, _ = run.start(policy('balanced'), precopy.Setup(
                guests.idle(256), disk_mib=1024), can_hurry_disks=can_be)
            decision = pilot.observe(samples.Sample(
                1.0, disk_total_bytes=1024 * MIB, disk_processed_bytes=MIB,
                disk_remaining_bytes=1023 * MIB, needed_by=1))
            self.assertEqual(caps, [one.mib_s for one in (decision.actions if decision else ())])


class TestGivingWay(testtools.TestCase):

    def see(self, at_s, needed_by, **stats):
        """Let it see a sample of its bulk copy; the caps that it wants, which it then has."""
        decision = self.pilot.observe(samples.Sample(at_s, needed_by=needed_by, **{
            'memory_total_bytes': 256 * MIB, 'memory_processed_bytes': int(at_s * MIB),
            'memory_remaining_bytes': int((256 - at_s) * MIB), **stats}))
        actions = decision.actions if decision else ()
        for action in actions:
            self.pilot.applied(action, at_s)
        return [one.mib_s for one in actions]

    def start(self, **more):
        self.pilot, _ = run.start(policy('balanced', **more), precopy.Setup(guests.idle(256)))

    def test_as_long_as_it_is_needed_and_then_with_the_rate_from_before(self):
        self.start(bandwidth_mib_s=40)
        self.assertEqual([[1], [], [40], []], [
            self.see(at_s, needed_by) for at_s, needed_by in ((1, 1), (2, 2), (3, 0), (4, 0))])

    def test_not_before_it_sends_nor_where_it_goes_no_faster(self):
        self.start(bandwidth_mib_s=40)
        self.assertEqual([], self.see(1, 1, memory_total_bytes=None, memory_remaining_bytes=None))
        self.start(bandwidth_mib_s=1)
        self.assertEqual([[], []], [self.see(1, 1), self.see(2, 0)])

    def test_what_is_refused_is_not_tried_for_ever(self):
        self.start(bandwidth_mib_s=40)
        for at_s, tried in ((1.0, 1), (2.0, 1), (3.0, 0)):
            decision = self.pilot.observe(samples.Sample(
                at_s, needed_by=1, memory_total_bytes=256 * MIB, memory_processed_bytes=MIB,
                memory_remaining_bytes=255 * MIB))
            actions = decision.actions if decision else ()
            self.assertEqual(tried, len(actions))
            for action in actions:
                self.pilot.failed(action, at_s, 'not now')
        self.assertFalse(self.pilot.has_given_way)

    def test_its_own_rate_is_asked_for_until_it_has_it(self):
        self.start(bandwidth_mib_s=40)
        self.assertEqual([1], self.see(1, 1))
        tried = []
        for at_s in range(2, 100):
            decision = self.pilot.observe(samples.Sample(
                at_s, needed_by=0, memory_total_bytes=256 * MIB, memory_processed_bytes=at_s * MIB,
                memory_remaining_bytes=(256 - at_s) * MIB))
            for action in decision.actions if decision else ():
                tried.append((at_s, action.mib_s, decision.again))
                if at_s < 30:
                    self.pilot.failed(action, at_s, 'not now')
                else:
                    self.pilot.applied(action, at_s)
        # It is said once, and after growing pauses it is tried again.
        self.assertEqual([(3, 40, False), (4, 40, True), (9, 40, True), (39, 40, True)], tried)
        self.assertEqual(40, self.pilot.settings.cap_mib_s)

    def test_what_an_operator_sets_meanwhile_stays(self):
        for rate_mib_s in (30, 1):
            self.start(bandwidth_mib_s=40)
            self.assertEqual([1], self.see(1, 1))
            for action in self.pilot.retune(
                    cases.change(bandwidth_mib_s=rate_mib_s), 2.0).actions:
                self.pilot.applied(action, 2.0)
            self.assertEqual([[], []], [self.see(3, 1), self.see(4, 0)])
            self.assertEqual(rate_mib_s, self.pilot.settings.cap_mib_s)


class TestTurns(ShareBase):
    """Who goes first does so for as long as that helps it, and the deadlines of others permit."""

    WITHOUT_END = {'on_stall': 'continue', 'on_timeout': 'continue'}

    def among(self, first, loads, setup=None, **more):
        """A crowd whose first has a policy of its own."""
        chosen = policy('balanced', **first)
        rest = self.crowd(loads, **more)
        pair = run.start(chosen, precopy.Setup(link_mib_s=LINK_MIB_S, **(setup or {})),
                         can_throttle=chosen.may_throttle)
        return together.Crowd(
            [pair, *((one.pilot, one.plant) for one in rest.courses)], LINK_MIB_S)

    def assert_rest_arrives(self, seen):
        self.assertEqual([('completed', [])] * len(seen[1:]), [
            (one.end, [action for action in one.actions if isinstance(action, HARSH)])
            for one in seen[1:]])

    def small(self, count=3):
        return [guests.sweep(96, 32, 20) for _ in range(count)]

    def test_one_that_never_ends_and_goes_on_holds_nobody_for_ever(self):
        crowd = self.among(self.WITHOUT_END, self.small(), setup={
            'load': guests.sweep(128, 100, 400)})
        seen = crowd.go(600)
        self.assertIn('on_stall', cases.names(seen[0].decisions))
        self.assert_rest_arrives(seen)

    def test_one_over_which_nothing_moves_holds_nobody(self):
        crowd = self.among(self.WITHOUT_END, self.small(), setup={
            'load': guests.sweep(128, 100, 30)})
        plant = crowd.courses[0].plant
        share_link = plant.share_link
        crowd.go(33.5)
        self.assertTrue(crowd.courses[0].pilot.in_need)
        plant.share_link = lambda mib_s: share_link(1e-6)
        seen = crowd.go(600)
        self.assertEqual('running', seen[0].end)
        self.assert_rest_arrives(seen)

    def test_one_whose_deadline_is_near_goes_first(self):
        # The first one takes two minutes alone, and cannot end beside another.
        crowd = self.among(
            {'on_timeout': 'continue'}, [guests.sweep(6000, 32, 20)], timeout_seconds=260,
            timeout_seconds_per_gib=0, setup={'load': guests.sweep(1100, 1024, 40)})
        seen = crowd.go(1500)
        self.assertEqual('completed', seen[0].end)
        self.assertIn(share.RULE, cases.names(seen[0].decisions))
        self.assert_rest_arrives(seen)


class TestOthersElsewhere(cases.CaseBase):

    def steer_beside(self, until_s, **more):
        """A link of 200 of which others leave 20 until a time."""
        return self.steer(guests.sweep(256, 64, 40), link=200.0, bandwidth_mib_s=0, remedies=(),
                          setup={'link_steps': ((0.0, 20.0), (until_s, 200.0))}, **more)

    def test_they_are_seen_by_what_they_take_and_waited_for(self):
        known = {'link_mib_s': 180.0, 'reach_mib_s': 200.0}
        seen = self.steer_beside(60.0, facts=known)
        self.assertEqual(('completed', [share.RULE]), (seen.end, cases.names(seen.decisions)))
        self.assertIn('others seem to use it', seen.decisions[0].reason)

    def test_but_not_for_long(self):
        seen = self.steer_beside(1e9, facts={'link_mib_s': 180.0, 'reach_mib_s': 200.0})
        self.assertEqual(('aborted', [share.RULE, 'on_stall']),
                         (seen.end, cases.names(seen.decisions)))
        self.assertLess(seen.seconds, 150)

    def test_a_link_that_is_as_it_was_known_is_nobody_elses(self):
        seen = self.steer_beside(1e9, facts={'link_mib_s': 18.0, 'reach_mib_s': 20.0})
        self.assertEqual(['on_stall'], cases.names(seen.decisions))


class TestShares(testtools.TestCase):

    def test_it_is_divided_evenly(self):
        self.assertEqual([25.0] * 4, together.shares([float('inf')] * 4, 100.0))

    def test_what_a_cap_leaves_goes_to_the_others(self):
        self.assertEqual([10.0, 45.0, 45.0], together.shares([10.0, 90.0, float('inf')], 100.0))

    def test_who_is_over_takes_nothing(self):
        self.assertEqual([0.0, 100.0], together.shares([0.0, float('inf')], 100.0))


class TestPass(testtools.TestCase):

    def test_a_shared_pass_shows_no_link(self):
        crowd = together.Crowd([run.start(policy('balanced'), precopy.Setup(
            guests.sweep(2048, 100, 30), link_mib_s=1000)) for _ in range(2)], 1000)
        crowd.go(600)
        [bulk] = {one.pilot.passes[0].shared for one in crowd.courses}
        self.assertTrue(bulk)
        one = crowd.courses[0].pilot.passes[0]
        self.assertIsNone(link_rate.from_pass(one))
        self.assertIsNotNone(link_rate.from_pass(dataclasses.replace(one, shared=False)))
