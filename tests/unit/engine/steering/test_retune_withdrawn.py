# SPDX-License-Identifier: Apache-2.0
"""When a change cannot be made, taking one back, and what a person wants at once."""

from nova_migpolicy.engine import remedies
from tests.unit.engine import cases

ABORT, PAUSE, POST_COPY = remedies.Abort(), remedies.Pause(), remedies.StartPostCopy()


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
        self.assertIn('taken back, for not all of it could be set: busy', back.reason)
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


class TestNow(cases.TuningBase):

    def test_post_copy_and_pause(self):
        for step, action in (('post_copy', POST_COPY), ('pause', PAUSE)):
            for at_s in (2.0, 8.0):
                self.start(facts={'can_post_copy': True})
                self.go(at_s)
                decision = self.do(getattr(self.controller, step)(at_s))
                self.assertEqual(((action,), 'operator', False),
                                 (decision.actions, decision.rule, decision.refused))
                seen = self.go()
                self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_not_before_the_memory_is_sent(self):
        for disk, phase in ((0, 'preparing'), (300, 'disks')):
            for step in ('post_copy', 'pause'):
                self.start(facts={'can_post_copy': True}, setup={'disk_mib': disk})
                if disk:
                    self.go(1.0)
                decision = getattr(self.controller, step)(1.0)
                self.assertEqual(((), True), (decision.actions, decision.refused))
                self.assertIn(f'in the phase {phase}: its memory is not being sent yet',
                              decision.reason)
                self.assertEqual((), self.go(0.5).actions)

    def test_post_copy_that_was_not_made_ready(self):
        self.start()
        self.go(6.0)
        decision = self.controller.post_copy(6.0)
        self.assertTrue(decision.refused)
        self.assertIn('in the phase passes: post-copy was not made ready', decision.reason)

    def test_not_after_an_end_has_begun(self):
        for step in ('post_copy', 'pause', 'force_complete'):
            self.start(facts={'can_post_copy': True})
            self.go(6.0)
            self.do(self.controller.abort(6.0, 'cancelled'))
            decision = getattr(self.controller, step)(6.1)
            self.assertEqual(((), True), (decision.actions, decision.refused))
            self.assertIn('in the phase aborting: ', decision.reason)

    def test_what_libvirt_refuses_is_not_tried_again(self):
        self.start(facts={'can_post_copy': True}, on_stall='continue')
        self.go(6.0)
        for step in ('post_copy', 'pause'):
            self.refuse(getattr(self.controller, step)(self.plant.now_s))
        self.assertEqual((), self.go(20.0).actions)
        self.assertEqual((PAUSE,), self.controller.pause(self.plant.now_s).actions)

    def test_a_pause_beats_an_end_that_waits(self):
        self.start(timeout_seconds=5, on_stall='continue')
        self.go(8.0, refuse=lambda action: 'no')
        self.do(self.controller.pause(self.plant.now_s))
        seen = self.go()
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))


class TestAbort(cases.TuningBase):

    def test_one_is_enough(self):
        self.start()
        self.go(6.0)
        first = self.controller.abort(6.0, 'cancelled')
        for at_s in (6.1, 6.2):
            again = self.controller.abort(at_s, 'cancelled')
            self.assertEqual(((), False), (again.actions, again.refused))
            self.assertIn('it is being aborted already', again.reason)
            self.controller.applied(first.actions[0], at_s)

    def test_in_post_copy_the_phase_is_named(self):
        self.start(facts={'can_post_copy': True})
        self.go(6.0)
        self.do(self.controller.post_copy(6.0))
        decision = self.controller.abort(6.1, 'cancelled')
        self.assertTrue(decision.refused)
        self.assertTrue(decision.to_dict()['refused'])
        self.assertIn('in the phase post-copy: ', decision.reason)
