# SPDX-License-Identifier: Apache-2.0
"""What holds for every guest, link and policy: steered over the model of pre-copy."""

import dataclasses

import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.sim import guests
from tests.property import drawn


class TestHarm(testtools.TestCase):

    @hypothesis.given(drawn.worlds(beliefs=drawn.ANY), drawn.policies(), drawn.outages())
    def test_never_more_than_the_policy_allows(self, world, policy, outage):
        _, seen = drawn.play(world, policy, outage=outage)
        allowed = set(policy.remedies)
        for decision in seen.decisions:
            self.assertTrue(decision.reason)
            for action in decision.actions:
                if isinstance(action, remedies.SetBandwidth):
                    self.assertIn('bandwidth', allowed)
                    self.assertGreater(action.mib_s or 1 << 30, policy.bandwidth_mib_s)
                    if policy.max_bandwidth_mib_s:
                        self.assertLessEqual(action.mib_s, policy.max_bandwidth_mib_s)
                        self.assertGreater(action.mib_s, 0)
                elif isinstance(action, remedies.SetMaxDowntime):
                    self.assertLessEqual(action.promised_ms, policy.max_downtime_ms)
                    if 'downtime' not in allowed:
                        self.assertLessEqual(action.promised_ms, policy.initial_downtime_ms)
                elif isinstance(action, remedies.SetThrottle):
                    self.assertIn('auto_converge', allowed)
                    self.assertTrue(world[1]['can_throttle'])
                    self.assertLessEqual(action.percent, policy.max_throttle_percent)
                elif isinstance(action, remedies.StartPostCopy):
                    self.assertTrue(world[1]['can_post_copy'])
                    self.assertTrue('post_copy' in allowed
                                    or policy.on_stall == 'post_copy'
                                    or policy.on_timeout in ('post_copy', 'force_complete'))
                elif isinstance(action, remedies.Pause):
                    self.assertTrue(policy.may_pause)
                else:
                    self.assertIn(decision.rule, ('on_stall', 'on_timeout'))

    @hypothesis.given(drawn.worlds(beliefs=drawn.ANY), drawn.policies())
    def test_nothing_after_an_end_has_begun(self, world, policy):
        _, seen = drawn.play(world, policy)
        for position, action in enumerate(seen.actions):
            if isinstance(action, drawn.ENDS):
                self.assertEqual(len(seen.actions) - 1, position)
                self.assertEqual(action, seen.decisions[-1].actions[-1])

    @hypothesis.given(drawn.worlds(100), drawn.policies())
    def test_the_blackout_is_within_the_promise(self, world, policy):
        _, seen = drawn.play(world, policy)
        if seen.end != 'completed' or remedies.Pause() in seen.actions:
            return
        # The model counts in cells, 2.5 % of a window of 0.1 s at 100 MiB/s, and a few ms are
        # too short to promise.
        self.assertLessEqual(seen.blackout_ms, 1.03 * policy.max_downtime_ms + 25)

    @hypothesis.given(drawn.worlds(), drawn.policies())
    def test_a_guest_that_would_finish_by_itself_in_time_is_never_ended(self, world, policy):
        policy = dataclasses.replace(policy, timeout_seconds=0)
        setup, _ = world
        writers = setup.load.writers
        hypothesis.assume(all(len(stretches) == 1 for stretches in writers))
        total = sum(stretches[0].rate_mib_s for stretches in writers)
        hypothesis.assume(total < 0.8 * min(policy.bandwidth_mib_s or 1 << 30,
                                            setup.link_mib_s))
        # A cell of 1 MiB is too coarse for a smaller threshold.
        limit = max(policy.initial_downtime_ms, 100)
        policy = dataclasses.replace(
            policy, initial_downtime_ms=limit, max_downtime_ms=max(limit, policy.max_downtime_ms),
            bandwidth_mib_s=max(policy.bandwidth_mib_s, 50) if policy.bandwidth_mib_s else 0)
        _, seen = drawn.play(world, policy)
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))


class TestEnd(testtools.TestCase):

    @hypothesis.given(drawn.worlds(beliefs=drawn.ANY), drawn.policies(timeout_seconds=60),
                      drawn.outages())
    def test_there_is_always_one_when_there_is_a_deadline(self, world, policy, outage):
        hypothesis.assume(policy.on_timeout != 'continue')
        _, seen = drawn.play(world, policy, outage=outage)
        self.assertIn(seen.end, ('completed', 'aborted'))

    @hypothesis.given(drawn.worlds(beliefs=drawn.ANY), drawn.policies(timeout_seconds=60),
                      strategies.sets(strategies.sampled_from(
                          [*remedies.HARM_ORDER])), strategies.integers(1, 3))
    def test_there_is_one_though_actions_are_refused(self, world, policy, refused, times):
        hypothesis.assume(policy.on_timeout != 'continue')
        count = dict.fromkeys(refused, times)
        tried = {}

        def refuse(action):
            tried[action.remedy] = tried.get(action.remedy, 0) + 1
            if count.get(action.remedy, 0) > 0:
                count[action.remedy] -= 1
                return 'libvirt says no'
            return None
        _, seen = drawn.play(world, policy, refuse=refuse)
        self.assertIn(seen.end, ('completed', 'aborted'))
        for remedy in refused:
            if times > 1 and remedy in tried:
                self.assertLessEqual(tried[remedy], 2)

    @hypothesis.given(drawn.worlds(beliefs=drawn.ANY), drawn.policies(
        timeout_seconds=0, on_stall='abort'))
    def test_a_steady_guest_does_not_go_on_for_ever_without_one(self, world, policy):
        setup, _ = world
        hypothesis.assume(all(len(stretches) == 1 for stretches in setup.load.writers))
        policy = dataclasses.replace(
            policy, bandwidth_mib_s=max(policy.bandwidth_mib_s, 30))
        _, seen = drawn.play(world, policy)
        self.assertIn(seen.end, ('completed', 'aborted'))


class TestSameness(testtools.TestCase):

    @hypothesis.given(drawn.worlds(beliefs=drawn.ANY), drawn.policies(), drawn.outages())
    @hypothesis.settings(max_examples=40)
    def test_the_same_input_gives_the_same_decisions(self, world, policy, outage):
        _, first = drawn.play(world, policy, outage=outage)
        _, second = drawn.play(world, policy, outage=outage)
        self.assertEqual([one.to_dict() for one in first.decisions],
                         [one.to_dict() for one in second.decisions])


numbers = strategies.one_of(
    strategies.none(), strategies.integers(-5, 1 << 62), strategies.integers(0, 1 << 30),
    strategies.floats(), strategies.text(max_size=3), strategies.booleans())
junk = strategies.dictionaries(strategies.sampled_from([
    'memory_total', 'memory_remaining', 'memory_processed', 'memory_normal', 'memory_constant',
    'memory_iteration', 'memory_dirty_rate', 'memory_page_size', 'disk_total', 'disk_remaining',
    'disk_processed', 'auto_converge_throttle', 'downtime', 'memory_bps']), numbers)


class TestJunk(testtools.TestCase):

    @hypothesis.given(drawn.policies(), strategies.lists(strategies.tuples(
        strategies.floats(-10, 400), strategies.booleans(), junk), max_size=40))
    def test_statistics_never_raise(self, policy, stream):
        controller = controller_mod.Controller(policy, controller_mod.Facts(
            1 << 30, 0, 0.0, can_post_copy=True, can_throttle=True,
            bandwidth_mib_s=policy.bandwidth_mib_s,
            deadline_s=policy.deadline_seconds(1, 0)))
        ended = None
        for at_s, boundary, stats in stream:
            decision = controller.observe(samples.Sample.from_stats(
                at_s, stats, boundary=boundary))
            if decision is None:
                continue
            self.assertIsNone(ended)
            for action in decision.actions:
                controller.applied(action, at_s)
                ended = action if isinstance(action, drawn.ENDS) else ended

    @hypothesis.given(drawn.worlds(), drawn.policies(), strategies.lists(
        strategies.tuples(strategies.integers(0, 200), junk), max_size=20))
    @hypothesis.settings(max_examples=60)
    def test_statistics_that_jump_never_end_what_would_finish(self, world, policy, jumps):
        setup, _ = world
        policy = dataclasses.replace(
            policy, timeout_seconds=0, bandwidth_mib_s=0, initial_downtime_ms=300,
            max_downtime_ms=400)
        setup = dataclasses.replace(setup, load=guests.sweep(
            setup.load.memory_mib, 30, 10))
        plan = dict(jumps)
        calls = []

        def change(stats):
            calls.append(1)
            return {**stats, **plan.get(len(calls), {})}
        _, seen = drawn.play((setup, world[1]), policy, change=change)
        self.assertEqual('completed', seen.end)
        self.assertFalse([one for one in seen.actions if isinstance(one, drawn.ENDS)])
