# SPDX-License-Identifier: Apache-2.0
"""A link that dies without a word: it is said, no end is forecast, and it is acted on."""

from testtools import matchers

from nova_migpolicy.engine import remedies
from nova_migpolicy.sim import guests
from tests.unit.engine import cases

ABORT, PAUSE, POST_COPY = remedies.Abort(), remedies.Pause(), remedies.StartPostCopy()
# For ever, as far as these migrations go.
DEAD_S = 20_000.0
IDLE = guests.idle(4096)
# Converges by itself: dead in its first pass.
CALM = guests.sweep(256, 64, 20)


class StandstillTest(cases.CaseBase):

    def dead(self, load, from_s, back_s=DEAD_S, setup=None, **more):
        return self.steer(load, setup={'outages': ((from_s, back_s),), **(setup or {})}, **{
            'timeout_seconds': 900, 'timeout_seconds_per_gib': 0, 'until_s': 3000.0,
            'remedies': (), **more})

    def between(self, low, high, value):
        self.assertThat(value, matchers.MatchesAll(
            matchers.Not(matchers.LessThan(low)), matchers.LessThan(high)))

    def check_ended(self, seen, from_s, acted_s=120.0):
        self.assertEqual(('aborted', ['standstill', 'on_stall']),
                         (seen.end, cases.names(seen.decisions)))
        said, acted = seen.decisions
        self.between(from_s + 30, from_s + 45, said.at_s)
        self.between(from_s + acted_s, from_s + acted_s + 15, acted.at_s)
        for one in (said, acted):
            self.assertThat(one.reason.lower(), matchers.Contains(
                'nothing has moved over the link to the destination for '))
            self.assertEqual((False, None, False), (
                one.forecast.converges, one.forecast.eta_s, one.forecast.makes_deadline))
        self.assertIn('the guest stays where it is', acted.reason)

    def test_in_the_bulk_copy_under_a_cap_and_without_one(self):
        self.check_ended(self.dead(IDLE, 20.0), 20.0)
        self.check_ended(self.dead(IDLE, 5.0, bandwidth_mib_s=0, max_bandwidth_mib_s=0), 5.0)

    def test_in_the_passes(self):
        self.check_ended(self.dead(CALM, 5.5), 5.5)

    def test_in_the_disks_it_is_given_longer(self):
        self.check_ended(self.dead(IDLE, 20.0, setup={'disk_mib': 4000}), 20.0, 600.0)

    def test_without_a_deadline_none_is_missed(self):
        seen = self.dead(IDLE, 20.0, timeout_seconds=0)
        self.assertIsNone(seen.decisions[0].forecast.makes_deadline)
        self.assertEqual('aborted', seen.end)

    def test_a_policy_that_goes_on_only_says_so(self):
        seen = self.dead(IDLE, 20.0, on_stall='continue', until_s=800.0)
        self.assertEqual(('running', ['standstill']), (seen.end, cases.names(seen.decisions)))
        self.assertIn('goes on as the policy says', seen.decisions[0].reason)

    def test_nor_does_its_deadline_end_it_where_that_goes_on_too(self):
        seen = self.dead(IDLE, 20.0, on_stall='continue', on_timeout='continue',
                         timeout_seconds=300, until_s=800.0)
        self.assertEqual(('running', ['standstill', 'on_timeout'], ()),
                         (seen.end, cases.names(seen.decisions), seen.actions))

    def test_no_way_out_that_needs_a_link(self):
        for way in ('post_copy', 'pause'):
            seen = self.dead(CALM, 5.5, on_stall=way, facts={'can_post_copy': True})
            self.check_ended(seen, 5.5)
        for way in ('post_copy', 'pause', 'force_complete'):
            seen = self.dead(CALM, 5.5, on_timeout=way, timeout_seconds=60,
                             facts={'can_post_copy': True})
            self.assertEqual(('aborted', ['standstill', 'on_timeout'], [ABORT]), (
                seen.end, cases.names(seen.decisions), list(seen.actions)))
            self.assertIn('nothing has moved', seen.decisions[-1].reason)

    def test_at_the_deadline_the_reason_names_the_link(self):
        seen = self.dead(IDLE, 20.0, timeout_seconds=90)
        self.assertEqual('aborted', seen.end)
        self.assertThat(seen.decisions[-1].reason, matchers.MatchesRegex(
            '^The deadline of 90 s has passed with .* still to be sent, and nothing has moved '
            'over the link to the destination for '))

    def test_when_it_moves_again_that_is_said(self):
        for load, from_s, setup in ((IDLE, 20.0, {}), (CALM, 5.5, {}),
                                    (IDLE, 20.0, {'disk_mib': 2000})):
            seen = self.dead(load, from_s, from_s + 60, setup=setup)
            self.assertEqual(('completed', ['standstill', 'standstill']),
                             (seen.end, cases.names(seen.decisions)))
            self.assertIn('moves again', seen.decisions[1].reason)
            self.between(from_s + 60, from_s + 75, seen.decisions[1].at_s)

    def test_a_short_one_is_not_worth_a_word(self):
        for load, from_s in ((IDLE, 20.0), (CALM, 5.5)):
            seen = self.dead(load, from_s, from_s + 15)
            self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_a_trickle_is_as_good_as_nothing(self):
        for load, from_s in ((IDLE, 20.0), (guests.sweep(256, 150, 20), 6.0)):
            seen = self.dead(load, DEAD_S, DEAD_S + 1, setup={'link_steps': ((from_s, 0.6),)})
            self.assertEqual(('aborted', ['standstill', 'on_stall']),
                             (seen.end, cases.names(seen.decisions)))
            self.assertThat(seen.decisions[0].reason, matchers.MatchesRegex(
                r'^Only \d+ MiB have moved over the link'))

    def test_a_slow_link_and_one_that_gets_slower_and_slower_are_none(self):
        seen = self.dead(IDLE, DEAD_S, DEAD_S + 1, link=4.0, bandwidth_mib_s=100,
                         max_bandwidth_mib_s=100, timeout_seconds=0)
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))
        steps = tuple((60.0 * number, 800 / 3 ** number) for number in range(1, 6))
        seen = self.dead(guests.idle(65_536), DEAD_S, DEAD_S + 1, link=800.0, bandwidth_mib_s=0,
                         max_bandwidth_mib_s=0, timeout_seconds=0,
                         setup={'link_steps': (*steps, (400.0, 800.0))})
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_a_fast_link_that_becomes_an_ordinary_one_is_none(self):
        seen = self.dead(guests.idle(65_536), DEAD_S, DEAD_S + 1, link=10_000.0, bandwidth_mib_s=0,
                         max_bandwidth_mib_s=0, setup={'link_steps': ((4.0, 110.0),)})
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_memory_that_was_never_touched_is_looked_through(self):
        seen = self.dead(guests.idle(524_288, zero_mib=520_000), DEAD_S, DEAD_S + 1, link=1000.0,
                         bandwidth_mib_s=0, max_bandwidth_mib_s=0)
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))


class OperatorsTest(cases.TuningBase):

    def dead(self, load=CALM, from_s=5.5, **more):
        self.start(load, setup={'outages': ((from_s, DEAD_S),)},
                   facts={'can_post_copy': True}, on_stall='continue', **more)
        return self.go(60.0)

    def test_a_retune_is_told_of_it(self):
        self.dead()
        decision = self.do(self.tune(bandwidth_mib_s=90))
        self.assertThat(decision.reason, matchers.MatchesRegex(
            '.*; nothing has moved over the link to the destination for [45].* s, so this has no '
            'effect until something does$'))

    def test_it_is_shown_while_it_lasts(self):
        self.assertFalse(self.start().stands_still)
        self.dead()
        self.assertTrue(self.controller.stands_still)
        self.do(self.controller.abort(self.plant.now_s, 'cancelled'))
        self.assertFalse(self.controller.stands_still)

    def test_nothing_that_needs_the_link_is_begun(self):
        self.dead()
        for order in ('post_copy', 'pause', 'force_complete'):
            decision = getattr(self.controller, order)(self.plant.now_s)
            self.assertTrue(decision.refused, order)
            self.assertIn('in the phase passes: nothing has moved', decision.reason)
        self.assertEqual((ABORT,), self.controller.abort(self.plant.now_s, 'cancelled').actions)

    def test_an_end_that_waits_for_the_memory_does_not_wait_for_ever(self):
        for ends, policy in (
                (['aborted', 'on_stall'], {'on_stall': 'abort'}),
                (['aborted', 'on_timeout'], {'on_stall': 'continue'}),
                (['running', 'standstill'], {'on_stall': 'continue', 'timeout_seconds': 0})):
            self.start(IDLE, setup={'disk_mib': 4000, 'outages': ((20.0, DEAD_S),)}, **policy)
            self.go(5.0)
            self.assertIn('as soon as the memory', self.controller.force_complete(5.0).reason)
            seen = self.go(2000.0)
            self.assertEqual(ends, [seen.end, seen.decisions[-1].rule])

    def test_a_rate_that_was_lowered_is_none(self):
        self.start(IDLE, on_stall='continue', bandwidth_mib_s=100,
                   max_bandwidth_mib_s=100)
        self.go(20.0)
        self.do(self.tune(bandwidth_mib_s=1))
        self.assertNotIn('standstill', [one.rule for one in self.go(400.0).decisions])

    def test_in_post_copy_it_is_only_said(self):
        self.start(guests.uniform(2048, 1024, 200), facts={'can_post_copy': True},
                   setup={'outages': ((50.0, DEAD_S),), 'link_steps': ((0.0, 10.0),)})
        self.go(30.0)
        self.do(self.controller.post_copy(self.plant.now_s))
        # The guest is stopped for it.
        self.controller.switched_over(self.plant.now_s)
        seen = self.go(600.0)
        self.assertEqual([('standstill', ())],
                         [(one.rule, one.actions) for one in seen.decisions])
        self.assertIn('nothing can be taken back', seen.decisions[0].reason)
