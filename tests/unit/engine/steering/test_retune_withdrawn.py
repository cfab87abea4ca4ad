# SPDX-License-Identifier: Apache-2.0
"""When a change cannot be made, and taking one back."""

from nova_migpolicy.engine import remedies
from tests.unit.engine import cases

ABORT = remedies.Abort()


class TestWhenItCannotBe(cases.TuningBase):

    def check_refused(self, phase):
        held, policy = dict(self.controller.held), self.controller.policy
        decision = self.tune(bandwidth_mib_s=90, policy={'on_timeout': 'pause'})
        self.assertEqual(((), True), (decision.actions, decision.refused))
        self.assertIn(f'in the phase {phase}: ', decision.reason)
        self.assertEqual(phase, self.controller.state)
        self.assertEqual((held, policy), (dict(self.controller.held), self.controller.policy))

    def test_while_preparing_only_what_needs_nothing_set(self):
        self.start()
        self.check_refused('preparing')
        self.assertFalse(self.tune(policy={'on_timeout': 'pause'}).refused)
        self.assertEqual('pause', self.controller.policy.on_timeout)

    def test_after_a_pause_post_copy_and_an_abort(self):
        for step, phase in (('pause', 'paused'), ('post_copy', 'post-copy')):
            self.start(facts={'can_post_copy': True})
            self.go(6.0)
            self.do(getattr(self.controller, step)(6.0))
            self.check_refused(phase)
        self.start()
        self.go(6.0)
        self.do(self.controller.abort(6.0, 'cancelled'))
        self.check_refused('aborting')

    def test_after_the_engines_abort(self):
        self.start(timeout_seconds=5, on_stall='continue')
        self.assertEqual('aborted', self.go().end)
        self.check_refused('aborting')

    def test_while_an_abort_is_on_its_way(self):
        self.start()
        self.go(6.0)
        decision = self.controller.abort(6.0, 'cancelled')
        self.check_refused('aborting')
        # Refused once, it is still what a person wants.
        self.controller.failed(decision.actions[0], 6.0, 'no')
        self.check_refused('aborting')

    def test_no_answer_is_waited_for_longer(self):
        self.start(timeout_seconds=5)
        self.go(4.0)
        self.plant.now_s = 6.0
        self.assertEqual((ABORT,), self.controller.observe(self.seen()).actions)
        self.plant.now_s = 90.0
        self.check_refused('aborting')


class TestWithdraw(cases.TuningBase):

    def test_nothing_of_it_is_left(self):
        self.start(facts={'link_mib_s': 190.0}, remedies=('downtime',))
        self.go(2.0)
        self.do(self.tune(max_downtime_ms=300))
        before = (self.controller.settings, dict(self.controller.held), self.controller.policy,
                  self.controller.facts)
        decision = self.tune(bandwidth_mib_s=120, release=['max_downtime_ms'],
                             policy={'max_downtime_ms': 200}, deadline_s=77.0)
        self.assertEqual(['set_max_downtime', 'set_bandwidth'],
                         [one.name for one in decision.actions])
        self.refuse(decision)
        back = self.do(self.controller.withdraw(self.change, self.plant.now_s))
        self.assertIn('undone because not all of it could be set: busy', back.reason)
        self.assertEqual(before, (self.controller.settings, dict(self.controller.held),
                                  self.controller.policy, self.controller.facts))

    def test_nothing_to_set_back(self):
        self.start()
        self.go(2.0)
        self.refuse(self.tune(bandwidth_mib_s=40))
        self.assertIsNone(self.controller.withdraw(self.change))
        self.assertEqual({}, dict(self.controller.held))
        self.assertEqual(50, self.controller.settings.cap_mib_s)
        # Nor is it tried again by itself.
        self.assertEqual((), self.go(6.0).decisions)

    def test_an_end_that_was_dropped_is_due_again(self):
        self.start(timeout_seconds=20, on_stall='continue')
        self.go(22.0, refuse=lambda action: 'no')
        self.refuse(self.tune(bandwidth_mib_s=90, policy={'timeout_seconds': 900},
                              deadline_s=900.0))
        self.controller.withdraw(self.change, self.plant.now_s)
        self.assertEqual('aborted', self.go(40.0).end)

    def test_only_the_last_change_and_only_once(self):
        self.start()
        self.go(2.0)
        self.do(self.tune(bandwidth_mib_s=60))
        first = self.change
        self.do(self.tune(max_downtime_ms=300))
        self.assertIsNone(self.controller.withdraw(first))
        self.assertEqual(2, len(self.controller.held))
        self.do(self.tune(bandwidth_mib_s=70))
        self.do(self.controller.withdraw(self.change))
        self.assertEqual(60, self.controller.settings.cap_mib_s)
        self.assertIsNone(self.controller.withdraw(self.change))

    def test_a_refused_change_leaves_nothing_to_withdraw(self):
        self.start()
        decision = self.tune(0.5, bandwidth_mib_s=60)
        self.assertTrue(decision.refused)
        self.assertIsNone(self.controller.withdraw(self.change, 0.5))
        self.go(2.0)
        self.do(self.tune(bandwidth_mib_s=60))
        self.do(self.controller.pause(self.plant.now_s))
        self.assertTrue(self.tune(max_downtime_ms=60).refused)
        self.controller.withdraw(self.change, self.plant.now_s)
        self.assertEqual({'bandwidth_mib_s': 60}, dict(self.controller.held))

    def test_what_the_engine_has_changed_since_stays(self):
        self.start(remedies=('bandwidth', 'downtime'))
        self.go(2.0)
        self.do(self.tune(max_downtime_ms=60))
        self.controller.applied(remedies.SetBandwidth(90), 3.0)
        self.do(self.controller.withdraw(self.change, 3.0))
        now = self.controller.settings
        self.assertEqual((90, 50), (now.cap_mib_s, now.promised_ms))

    def test_after_the_end_has_begun_only_the_books_change(self):
        self.start()
        self.go(6.0)
        self.do(self.tune(bandwidth_mib_s=60))
        self.do(self.controller.pause(6.0))
        self.assertIsNone(self.controller.withdraw(self.change, 6.1))
        self.assertEqual({}, dict(self.controller.held))
