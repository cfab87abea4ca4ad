# SPDX-License-Identifier: Apache-2.0
"""Refusals, promises, nonsense, and what is seen from outside."""

import dataclasses

import testtools
from testtools import matchers

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from tests.unit.engine import cases

ABORT, PAUSE, POST_COPY = remedies.Abort(), remedies.Pause(), remedies.StartPostCopy()


class TestRefusals(cases.ControllerBase):

    def test_an_action_is_tried_once_more_and_then_the_next_remedy(self):
        self.start(remedies=('bandwidth', 'pause'))
        seen = self.go(refuse=lambda a: 'no' if a.name == 'set_bandwidth' else None)
        self.assertEqual(['set_bandwidth', 'set_bandwidth', 'pause'],
                         [one.actions[0].name for one in seen.decisions])
        self.assertEqual('completed', seen.end)

    def test_one_refusal_is_forgiven(self):
        self.start(remedies=('bandwidth',))
        answers = ['no']
        seen = self.go(refuse=lambda _: answers.pop() if answers else None)
        self.assertEqual(('completed', [remedies.SetBandwidth(95)]),
                         (seen.end, list(seen.actions)))

    def test_a_remedy_that_ends_it_is_followed_by_on_stall(self):
        self.start(remedies=('pause',))
        seen = self.go(refuse=lambda a: 'no' if a == PAUSE else None)
        self.assertEqual([(PAUSE,), (PAUSE,), (), (ABORT,)],
                         [one.actions for one in seen.decisions])

    def test_post_copy_on_stall_is_followed_by_a_pause_where_one_is_permitted(self):
        for on_timeout, last in (('abort', ABORT), ('pause', PAUSE)):
            self.start(on_stall='post_copy', on_timeout=on_timeout,
                       facts={'can_post_copy': True})
            seen = self.go(refuse=lambda a: 'no' if a == POST_COPY else None)
            self.assertEqual([POST_COPY, POST_COPY, last],
                             [one.actions[0] for one in seen.decisions])

    def test_an_answer_is_waited_for(self):
        self.start(remedies=())
        while self.plant.now_s < 40:
            synced = self.plant.advance(self.plant.now_s + 1.0)
            if synced and self.controller.observe(samples.Sample.from_stats(
                    self.plant.now_s, self.plant.stats(), boundary=True)):
                break
        asked_s = self.plant.now_s
        while self.plant.now_s < asked_s + 25:
            synced = self.plant.advance(self.plant.now_s + 1.0)
            self.assertIsNone(self.controller.observe(samples.Sample.from_stats(
                self.plant.now_s, self.plant.stats(), boundary=synced)))


class TestPromise(cases.ControllerBase):

    def test_a_link_that_turns_out_slower_lowers_the_limit(self):
        self.start(load=guests.sweep(256, 64, 20), facts={'link_mib_s': 190.0},
                   initial_downtime_ms=500)
        self.go(2.0)
        self.controller.update_link(100.0)
        seen = self.go()
        self.assertEqual(['keep_promise'], [one.rule for one in seen.decisions])
        self.assertEqual(settings_mod.limit_ms(500, 50, settings_mod.Link(100.0)),
                         seen.actions[0].limit_ms)

    def test_a_link_that_turns_out_faster_changes_nothing(self):
        self.start(load=guests.sweep(256, 64, 20), facts={'link_mib_s': 100.0})
        self.go(2.0)
        self.controller.update_link(190.0)
        self.assertEqual((), self.go().decisions)

    def test_qemu_that_was_not_told_of_the_link_after_all(self):
        self.start(remedies=('downtime',), max_downtime_ms=1000,
                   facts={'link_mib_s': 190.0, 'switchover_mib_s': 190.0})
        self.plant.setup = dataclasses.replace(self.plant.setup, switchover_mib_s=None)
        self.controller.leave_out(('switchover', 'compression'))
        seen = self.go()
        self.assertEqual('completed', seen.end)
        limit = seen.actions[-1]
        self.assertEqual(settings_mod.limit_ms(limit.promised_ms, 50, settings_mod.Link(190.0)),
                         limit.limit_ms)
        self.assertThat(seen.blackout_ms, matchers.LessThan(1000))

    def test_a_limit_that_could_not_be_set_before_the_start_is_set_at_the_first_look(self):
        for promise, load in ((150, guests.sweep(256, 64, 20)), (1500, cases.WILD)):
            controller = self.start(
                load=load, remedies=(), initial_downtime_ms=promise, max_downtime_ms=promise,
                facts={'link_mib_s': 190.0}, setup={'limit_is_refused': True})
            self.assertEqual(300, controller.settings.limit_ms)
            self.assertIsNone(controller.observe(samples.Sample(at_s=0.0)))
            seen = self.go()
            wanted = settings_mod.limit_ms(promise, 50, settings_mod.Link(190.0))
            self.assertEqual([(remedies.SetMaxDowntime(wanted, promise),)],
                             [one.actions for one in seen.decisions])
            self.assertThat(seen.applied[0][0], matchers.LessThan(1.0))
            self.assertIn('QEMU has 300 ms', seen.decisions[0].reason)
            self.assertEqual('completed', seen.end)
            self.assertThat(seen.blackout_ms, matchers.LessThan(promise))

    def test_what_qemu_has_is_reckoned_with_where_the_limit_is_refused_for_good(self):
        controller = self.start(remedies=(), initial_downtime_ms=1500, max_downtime_ms=1500,
                                facts={'link_mib_s': 190.0}, setup={'limit_is_refused': True})
        seen = self.go(refuse=lambda a: 'no' if a.name == 'set_max_downtime' else None)
        self.assertEqual(['keep_promise', 'keep_promise', 'on_stall'],
                         [one.rule for one in seen.decisions])
        self.assertEqual((300, False),
                         (controller.settings.limit_ms, seen.decisions[-1].forecast.converges))

    def test_what_is_left_out_is_never_used_and_said_to_be_missing(self):
        self.start(remedies=('auto_converge', 'post_copy'), on_stall='post_copy', load=cases.WILD,
                   facts={'can_post_copy': True, 'can_throttle': True})
        self.controller.leave_out(('post_copy', 'auto_converge', 'parallel_connections'))
        self.controller.leave_out(())
        facts = self.controller.facts
        self.assertEqual((False, False), (facts.can_post_copy, facts.can_throttle))
        refused = self.controller.post_copy(0.0)
        self.assertTrue(refused.refused)
        self.assertIn('was not made ready', refused.reason)
        seen = self.go()
        self.assertEqual(['abort'], [action.name for action in seen.actions])
        self.assertIn('post-copy was asked for but is not possible', seen.decisions[-1].reason)

    def test_what_is_left_out_late_is_not_taken_by_an_end_that_is_due(self):
        self.start(facts={'can_post_copy': True}, setup={'disk_mib': 300})
        self.controller.force_complete(0.0)
        self.controller.leave_out(('post_copy',))
        seen = self.go()
        self.assertEqual(['pause'], [action.name for action in seen.actions])

    def test_an_unknown_link_is_taken_for_the_cap(self):
        self.start(load=guests.sweep(256, 64, 20), facts={'link_mib_s': 190.0},
                   initial_downtime_ms=500)
        self.go(2.0)
        self.controller.update_link(None)
        seen = self.go()
        self.assertEqual([remedies.SetMaxDowntime(395, 500)], list(seen.actions))
        self.assertIn('unknown', seen.decisions[0].reason)


class TestNonsense(cases.ControllerBase):
    """One look whose statistics cannot be changes nothing."""

    def go_wrong(self, at_s, wrong):
        """Run to the end, with that much wrong in one look after a time."""
        spoilt = []

        def change(stats):
            if spoilt or self.plant.now_s < at_s:
                return stats
            spoilt.append({name: value(stats) if callable(value) else value
                           for name, value in wrong.items()})
            return {**stats, **spoilt[0]}

        seen = self.go(300.0, change=change)
        self.assertEqual(1, len(spoilt))
        return seen

    def test_it_raises_nothing_and_ends_nothing(self):
        for name in ('memory_remaining', 'disk_remaining', 'memory_total', 'disk_total'):
            for value in (2 ** 64 - 4096, -1, 0, lambda stats: 3 * stats['disk_total']):
                for at_s in (2.0, 8.0, 9.5, 12.1):
                    self.start(load=guests.sweep(256, 64, 30), remedies=('bandwidth',),
                               max_bandwidth_mib_s=400, setup={'disk_mib': 300},
                               facts={'can_hurry_disks': True})
                    seen = self.go_wrong(at_s, {name: value})
                    self.assertEqual(('completed', ()), (seen.end, seen.decisions),
                                     (name, value, at_s))


class TestXbzrle(testtools.TestCase):

    def test_a_guest_that_writes_the_same_again_is_judged(self):
        """Most of what is dirty at each sync is found unchanged, and counted nowhere."""
        mib = 1 << 20
        for unchanged in (0.5, 0.8, 0.95, 0.99):
            policy = keys.Policy(bandwidth_mib_s=50, max_bandwidth_mib_s=95, timeout_seconds=540,
                                 timeout_seconds_per_gib=0, remedies=('bandwidth', 'downtime'))
            controller = controller_mod.Controller(policy, run.facts_for(
                policy, precopy.Setup(guests.idle(1024))))
            at_s, sent, rules = 0.0, 0.0, []
            for number in range(1, 12):
                found = controller.observe(samples.Sample.from_stats(at_s, {
                    'memory_total': 1024 * mib, 'memory_remaining': 1024 * mib,
                    'memory_processed': int(sent * mib), 'memory_constant': 0,
                    'memory_normal': int(sent * mib) // 4096, 'compression_pages': 0},
                    boundary=True, iteration=number))
                cap = controller.settings.cap_mib_s
                for action in found.actions if found else ():
                    controller.applied(action, at_s)
                rules += [found.rule] if found else []
                new = 1024 * (1 - unchanged if number > 1 else 1)
                sent, at_s = sent + new, at_s + new / cap
            self.assertEqual(['on_stall'], rules[-1:], (unchanged, rules))


class TestSeen(cases.ControllerBase):

    def test_forecast_phase_passes_and_settings(self):
        controller = self.start(remedies=('bandwidth',), setup={'disk_mib': 300})
        self.assertIsNone(controller.forecast)
        self.assertIs(samples.Phase.SETUP, controller.phase)
        self.go(5.0)
        self.assertIs(samples.Phase.DISKS, controller.phase)
        self.assertThat(controller.forecast.eta_s, matchers.GreaterThan(5.0))
        self.go(11.05)
        self.assertIs(samples.Phase.BULK, controller.phase)
        # As of the last tick, at 11 s.
        self.assertThat(controller.forecast.eta_s, matchers.LessThan(1.0))
        self.go(16.0)
        self.assertIs(samples.Phase.PASSES, controller.phase)
        self.assertEqual([0, 1], [one.number for one in controller.passes])
        self.assertEqual(50, controller.settings.cap_mib_s)
        self.go()
        self.assertEqual(95, controller.settings.cap_mib_s)
        self.assertThat(controller.forecast.eta_s, matchers.LessThan(1.0))

    def test_time_that_runs_backwards_is_ignored(self):
        controller = self.start()
        self.go(6.0)
        self.assertIsNone(controller.observe(samples.Sample(at_s=1.0, post_copy=True)))
        self.assertFalse(controller.over)

    def test_post_copy_that_somebody_else_began(self):
        controller = self.start()
        self.go(6.0)
        self.assertIsNone(controller.observe(samples.Sample(at_s=7.0, post_copy=True)))
        self.assertTrue(controller.over)
        self.assertEqual((), controller.abort(8.0, 'cancelled').actions)

    def test_the_start(self):
        facts = controller_mod.Facts(1 << 30, 0, 0.0, link_mib_s=200.0, bandwidth_mib_s=50)
        self.assertEqual(
            settings_mod.limit_ms(100, 50, settings_mod.Link(200.0)),
            controller_mod.initial_limit_ms(keys.Policy(), facts))


class TestTakeOver(cases.ControllerBase):

    def take_over(self, held=None, done=(), **policy):
        self.start(**policy)
        taken = settings_mod.Settings(7, 250, 340, 30)
        self.controller.take_over(taken, held or {}, done, 50.0)
        return taken

    def test_the_settings_are_those_in_force(self):
        taken = self.take_over()
        self.assertEqual((taken, {}, False),
                         (self.controller.settings, self.controller.held, self.controller.over))

    def test_what_an_operator_holds_stays_held(self):
        self.take_over({'bandwidth_mib_s': 7}, remedies=('bandwidth',))
        self.assertEqual({'bandwidth_mib_s': 7}, self.controller.held)
        seen = self.go()
        self.assertNotIn('set_bandwidth', [action.name for action in seen.actions])

    def test_what_was_done_is_not_done_again(self):
        for action, phase in ((POST_COPY, 'post-copy'), (PAUSE, None)):
            self.take_over(done=(action,), facts={'can_post_copy': True})
            self.assertTrue(self.controller.over)
            if phase is not None:
                self.assertEqual(phase, self.controller.phase.value)
