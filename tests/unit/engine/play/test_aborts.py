# SPDX-License-Identifier: Apache-2.0
"""An abort that is refused is tried until it works, whoever wants it, and said once."""

import itertools

from testtools import matchers

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from tests.unit.engine import cases

ABORT, PAUSE, POST_COPY = remedies.Abort(), remedies.Pause(), remedies.StartPostCopy()


class AbortsTest(cases.TuningBase):

    def refuse_until(self, until_s, *also):
        """Refuse aborts until a time, and others for ever; the times of the tries are kept."""
        self.tries = []

        def refuse(action):
            if action == ABORT:
                self.tries.append(self.plant.now_s)
            return 'busy' if action in also or (
                action == ABORT and self.plant.now_s < until_s) else None
        return refuse

    def assert_pauses(self, *expected):
        """The pauses between the tries; a look may be late by a moment."""
        pauses = [after - before for before, after in itertools.pairwise(self.tries)]
        self.assertEqual(len(expected), len(pauses), pauses)
        for pause, one in zip(expected, pauses, strict=True):
            self.assertThat(one - pause, matchers.MatchesAll(
                matchers.LessThan(0.5), matchers.Not(matchers.LessThan(0.0))), str(pauses))

    def rules(self, seen):
        return [one.rule for one in seen.decisions]

    def test_at_the_deadline(self):
        self.start(timeout_seconds=20, on_stall='continue')
        seen = self.go(600.0, refuse=self.refuse_until(100.0))
        self.assertEqual(('aborted', ['on_stall', 'on_timeout']), (seen.end, self.rules(seen)))
        self.assert_pauses(1, 5, 30, 30, 30)

    def test_for_a_stall_and_past_the_deadline(self):
        self.start(timeout_seconds=40, on_stall='abort')
        seen = self.go(600.0, refuse=self.refuse_until(150.0))
        self.assertEqual(('aborted', ['on_stall']), (seen.end, self.rules(seen)))
        self.assert_pauses(1, 5, 30, 30, 30, 30, 30)

    def test_after_other_ends_that_were_refused(self):
        for way, first in (('force_complete', POST_COPY), ('pause', PAUSE)):
            self.start(timeout_seconds=20, on_stall='continue', on_timeout=way,
                       facts={'can_post_copy': True})
            seen = self.go(600.0, refuse=self.refuse_until(60.0, POST_COPY, PAUSE))
            self.assertEqual(first, seen.decisions[1].actions[0])
            self.assertEqual(('aborted', 1), (seen.end, sum(
                ABORT in one.actions for one in seen.decisions)))

    def test_for_an_operator(self):
        self.start(on_stall='continue')
        self.go(6.0)
        self.refuse(self.controller.abort(self.plant.now_s, 'cancelled'))
        seen = self.go(600.0, refuse=self.refuse_until(100.0))
        self.assertEqual(('aborted', []), (seen.end, self.rules(seen)))
        self.assert_pauses(5, 30, 30, 30)

    def test_an_operator_who_asks_again_is_served_at_once(self):
        self.start(on_stall='abort')
        self.go(60.0, refuse=self.refuse_until(600.0))
        before = len(self.tries)
        self.assertThat(before, matchers.GreaterThan(3))
        decision = self.controller.abort(self.plant.now_s, 'cancelled')
        self.assertEqual(((ABORT,), 'cancelled', False),
                         (decision.actions, decision.reason, decision.again))
        # What was refused so often is not asked for more often for that.
        self.controller.failed(ABORT, self.plant.now_s, 'busy')
        asked_s = self.plant.now_s
        self.go(600.0, refuse=self.refuse_until(0.0))
        self.assertThat(self.tries[0] - asked_s, matchers.GreaterThan(29.9))

    def test_of_a_paused_guest(self):
        self.start(on_stall='continue', setup={'outages': ((6.0, 9000.0),)})
        self.go(6.0)
        self.do(self.controller.pause(self.plant.now_s))
        self.refuse(self.controller.abort(self.plant.now_s, 'cancelled'))
        seen = self.go(600.0, refuse=self.refuse_until(50.0))
        self.assertEqual(('aborted', 0), (seen.end, self.rules(seen).count('operator')))

    def test_not_once_post_copy_has_begun(self):
        self.start(on_stall='abort', timeout_seconds=20)
        self.go(15.0, refuse=self.refuse_until(600.0))
        for at_s in (60.0, 120.0):
            self.assertIsNone(self.controller.observe(samples.Sample(at_s=at_s, post_copy=True)))

    def test_a_deadline_holds_again_where_what_an_operator_wanted_was_refused(self):
        self.start(on_stall='continue', timeout_seconds=20)
        self.go(20.5, refuse=self.refuse_until(600.0))
        decision = self.controller.force_complete(self.plant.now_s)
        self.controller.failed(decision.actions[0], self.plant.now_s, 'busy')
        seen = self.go(600.0, refuse=self.refuse_until(0.0, PAUSE, POST_COPY))
        self.assertEqual(('aborted', ['operator', 'operator', 'on_timeout']),
                         (seen.end, self.rules(seen)))
