# SPDX-License-Identifier: Apache-2.0
"""Another policy while it runs: ceilings, the deadline, and an end that is due already."""

from testtools import matchers

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import terms
from tests.unit.engine import cases

ABORT, POST_COPY = remedies.Abort(), remedies.StartPostCopy()


class TestPolicy(cases.TuningBase):

    def test_lower_ceilings_count_at_once(self):
        self.start(remedies=('bandwidth', 'downtime'), facts={'can_throttle': True})
        self.go(2.0)
        self.do(self.tune(bandwidth_mib_s=90, max_downtime_ms=450, max_throttle_percent=50))
        self.do(self.tune(release=terms.HOLDABLE, policy={'remedies': ('auto_converge',)}))
        self.assertEqual(50, self.controller.settings.throttle_percent)
        decision = self.do(self.tune(policy={
            'max_bandwidth_mib_s': 70, 'max_downtime_ms': 200, 'max_throttle_percent': 40}))
        now = self.controller.settings
        self.assertEqual((70, 200, 40), (now.cap_mib_s, now.promised_ms, now.throttle_percent))
        self.assertIn('the transfer goes on with 70 MiB/s', decision.reason)

    def test_what_is_held_is_above_the_ceilings(self):
        self.start()
        self.go(2.0)
        self.do(self.tune(bandwidth_mib_s=90, max_downtime_ms=450))
        decision = self.tune(policy={'max_bandwidth_mib_s': 70, 'max_downtime_ms': 200})
        self.assertEqual((), decision.actions)

    def test_another_start_rate_is_applied_unless_it_is_held(self):
        self.start()
        self.go(2.0)
        self.assertEqual((remedies.SetBandwidth(80),),
                         self.do(self.tune(policy={'bandwidth_mib_s': 80})).actions)
        self.do(self.tune(bandwidth_mib_s=60))
        self.assertEqual((), self.tune(policy={'bandwidth_mib_s': 30}).actions)

    def test_a_rate_that_the_engine_raised_stays_when_something_else_is_changed(self):
        self.start(remedies=('bandwidth',))
        seen = self.go(12.0)
        self.assertEqual([remedies.SetBandwidth(95)], list(seen.actions))
        self.assertEqual((), self.tune(policy={'on_timeout': 'pause'}).actions)

    def test_a_longer_timeout_drops_an_abort_that_was_refused_once(self):
        self.start(timeout_seconds=20, on_stall='continue')
        rules = []
        while 'on_timeout' not in rules:
            seen = self.go(self.plant.now_s + 0.1, refuse=lambda action: 'no')
            rules.extend(one.rule for one in seen.decisions)
        self.assertEqual(1, rules.count('on_timeout'))
        decision = self.tune(policy={'timeout_seconds': 90}, deadline_s=90.0)
        self.assertIn('what on_timeout had asked for is dropped', decision.reason)
        self.assertIn('the deadline is in ', decision.reason)
        self.assertEqual(90.0, self.controller.facts.deadline_s)
        self.assertEqual((), self.go(85.0).actions)
        seen = self.go(200.0)
        self.assertEqual(('aborted', 'on_timeout'), (seen.end, seen.decisions[-1].rule))
        self.assertThat(seen.seconds, matchers.GreaterThan(90))

    def test_a_longer_timeout_drops_a_post_copy_that_waits_for_the_memory(self):
        self.start(timeout_seconds=2, on_timeout='post_copy', facts={'can_post_copy': True},
                   setup={'disk_mib': 300})
        seen = self.go(4.5)
        self.assertIn('as soon as the memory is being sent', seen.decisions[0].reason)
        self.tune(policy={'timeout_seconds': 300, 'remedies': ('bandwidth', 'downtime')},
                  deadline_s=300.0)
        seen = self.go()
        self.assertEqual('completed', seen.end)
        self.assertNotIn(POST_COPY, seen.actions)

    def test_a_change_of_settings_alone_does_not_drop_it(self):
        self.start(timeout_seconds=2, on_timeout='post_copy', facts={'can_post_copy': True},
                   setup={'disk_mib': 300})
        self.go(4.5)
        self.do(self.tune(bandwidth_mib_s=90))
        self.assertEqual([POST_COPY], list(self.go().actions))

    def test_what_a_person_asked_for_is_not_dropped(self):
        self.start(facts={'can_post_copy': True}, setup={'disk_mib': 300})
        self.go(1.0)
        self.assertEqual((), self.controller.force_complete(self.plant.now_s).actions)
        decision = self.tune(policy={'timeout_seconds': 900}, deadline_s=900.0)
        self.assertFalse(decision.refused)
        self.assertEqual([POST_COPY], list(self.go().actions))

    def test_a_deadline_that_is_past_already(self):
        self.start(on_stall='continue')
        self.go(20.0)
        decision = self.tune(policy={'timeout_seconds': 5}, deadline_s=5.0)
        self.assertIn('the deadline passed 15 s ago', decision.reason)
        decision = self.controller.observe(self.seen())
        self.assertEqual(((ABORT,), 'on_timeout'), (decision.actions, decision.rule))

    def test_no_deadline_any_more(self):
        self.start(timeout_seconds=20, on_stall='continue')
        self.go(10.0)
        decision = self.tune(policy={'timeout_seconds': 0, 'timeout_seconds_per_gib': 0})
        self.assertIn('there is no longer a deadline', decision.reason)
        self.assertEqual('running', self.go(60.0).end)

    def test_a_deadline_at_which_it_went_on_is_judged_anew(self):
        self.start(timeout_seconds=10, on_timeout='continue', on_stall='continue')
        self.go(20.0)
        self.tune(policy={'on_timeout': 'abort'}, deadline_s=30.0)
        self.assertEqual('aborted', self.go().end)

    def test_a_stall_is_judged_anew(self):
        self.start(on_stall='continue', timeout_seconds=0, timeout_seconds_per_gib=0)
        self.assertEqual(['on_stall'], [one.rule for one in self.go(40.0).decisions])
        self.tune(policy={'on_stall': 'abort'})
        seen = self.go()
        self.assertEqual(('aborted', ['on_stall']),
                         (seen.end, [one.rule for one in seen.decisions]))

    def test_more_remedies(self):
        self.start(on_stall='continue')
        self.go(20.0)
        self.tune(policy={'remedies': ('bandwidth',)}, deadline_s=self.controller.facts.deadline_s)
        seen = self.go()
        self.assertEqual(('completed', [remedies.SetBandwidth(95)]),
                         (seen.end, list(seen.actions)))

    def test_what_was_not_made_ready_is_accepted_but_said(self):
        self.start(on_stall='continue')
        self.go(6.0)
        decision = self.tune(policy={'remedies': ('auto_converge', 'post_copy')})
        self.assertFalse(decision.refused)
        self.assertIn('post_copy cannot be used in this migration', decision.reason)
        self.assertIn('auto_converge cannot be used in this migration', decision.reason)
        self.assertEqual((), self.go(60.0).actions)

    def test_many_keys_are_counted(self):
        self.start()
        self.go(6.0)
        decision = self.tune(policy={
            'profile': 'x', 'max_downtime_ms': 600, 'max_bandwidth_mib_s': 96,
            'timeout_seconds': 7, 'on_timeout': 'pause', 'remedies': ('pause',),
            'on_stall': 'pause', 'max_throttle_percent': 9}, deadline_s=100.0)
        self.assertIn('profile x, max_downtime_ms 600, ', decision.reason)
        self.assertIn('and 2 other keys', decision.reason)

    def test_nothing(self):
        self.start()
        decision = self.tune(1.0)
        self.assertEqual(((), False, 'Nothing was to be changed'),
                         (decision.actions, decision.refused, decision.reason))
