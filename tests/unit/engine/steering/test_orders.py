# SPDX-License-Identifier: Apache-2.0
"""To complete it, and to abort it."""

from testtools import matchers

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from tests.unit.engine import cases

ABORT, PAUSE, POST_COPY = remedies.Abort(), remedies.Pause(), remedies.StartPostCopy()


class TestForceComplete(cases.ControllerBase):

    def test_in_the_passes(self):
        self.start(facts={'can_post_copy': True})
        self.go(9.5)
        decision = self.do(self.controller.force_complete(9.5))
        self.assertEqual(((POST_COPY,), 'operator'), (decision.actions, decision.rule))
        self.assertTrue(self.controller.over)
        self.assertIs(samples.Phase.POST_COPY, self.controller.phase)
        seen = self.go()
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_in_the_bulk_copy(self):
        self.start(facts={'can_post_copy': True})
        self.go(2.0)
        decision = self.do(self.controller.force_complete(2.0))
        self.assertEqual(((), 'operator'), (decision.actions, decision.rule))
        again = self.controller.force_complete(2.5)
        self.assertEqual((decision.reason, ()), (again.reason, again.actions))
        seen = self.go()
        self.assertEqual(('completed', [POST_COPY]), (seen.end, list(seen.actions)))

    def test_a_pause_where_post_copy_is_not_possible(self):
        self.start()
        self.go(9.5)
        decision = self.do(self.controller.force_complete(9.5))
        self.assertEqual((PAUSE,), decision.actions)
        self.assertIn('all of which is blackout', decision.reason)
        seen = self.go()
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_it_waits_for_the_memory(self):
        for facts, action in (({'can_post_copy': True}, POST_COPY), ({}, PAUSE)):
            self.start(facts=facts, setup={'disk_mib': 200})
            self.go(1.0)
            decision = self.controller.force_complete(1.0)
            self.assertEqual((), decision.actions)
            self.assertIn('as soon as the memory is being sent', decision.reason)
            seen = self.go()
            self.assertEqual(('completed', [action]), (seen.end, list(seen.actions)))
            self.assertThat(seen.applied[0][0], matchers.LessThan(9.5))

    def test_a_refused_post_copy_is_tried_again_and_then_paused(self):
        self.start(facts={'can_post_copy': True}, timeout_seconds=0, timeout_seconds_per_gib=0)
        self.go(9.5)
        decision = self.controller.force_complete(9.5)
        self.controller.failed(decision.actions[0], 9.5, 'no')
        seen = self.go(refuse=lambda action: 'no' if action == POST_COPY else None)
        self.assertEqual([(POST_COPY,), (PAUSE,)], [one.actions for one in seen.decisions])
        self.assertIn('refused before: no', seen.decisions[-1].reason)
        self.assertEqual('completed', seen.end)

    def test_once_is_enough(self):
        self.start()
        self.go(9.5)
        self.do(self.controller.force_complete(9.5))
        again = self.controller.force_complete(9.6)
        self.assertEqual((), again.actions)
        self.assertTrue(again.refused)
        self.assertIn('in the phase paused', again.reason)


class TestAbort(cases.ControllerBase):

    def test_in_each_phase_but_post_copy(self):
        for at_s, disk in ((1.0, 200), (2.0, 0), (6.0, 0)):
            self.start(setup={'disk_mib': disk})
            self.go(at_s)
            decision = self.do(self.controller.abort(at_s, 'cancelled through the API'))
            self.assertEqual(((ABORT,), 'cancelled through the API'),
                             (decision.actions, decision.reason))
            self.assertIsNone(self.controller.observe(samples.Sample(at_s=at_s + 1)))

    def test_it_is_refused_in_post_copy(self):
        self.start(facts={'can_post_copy': True})
        self.go(9.5)
        self.do(self.controller.force_complete(9.5))
        decision = self.controller.abort(9.6, 'cancelled')
        self.assertEqual((), decision.actions)
        self.assertIn('cannot be aborted', decision.reason)

    def test_a_paused_one_can_be_aborted(self):
        self.start()
        self.go(9.5)
        self.do(self.controller.force_complete(9.5))
        self.assertEqual((ABORT,), self.controller.abort(9.6, 'cancelled').actions)
