# SPDX-License-Identifier: Apache-2.0
"""What an operator wants at once."""

from nova_migpolicy.engine import remedies
from tests.unit.engine import cases

PAUSE, POST_COPY = remedies.Pause(), remedies.StartPostCopy()


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
