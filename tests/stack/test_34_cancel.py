# SPDX-License-Identifier: Apache-2.0
"""Cancelling before a migration runs, on Nova 34 with native threads: the whole of it."""

from __future__ import annotations

from tests.stack.support import cancels
from tests.stack.support import steering

QUIET = cancels.QUIET


class CancelTest(cancels.CancelTests, steering.SteeringTest):

    def test_queued_while_the_conductor_asks_the_destination(self):
        self.assert_cancelled(self.abort_queued())

    def test_preparing(self):
        before = self.in_passes()
        run = self.start(QUIET)
        self.in_phase(run, 'waiting for a slot')
        # The next step is the destination's.
        stopped = self.stop(self.stack.hosts['n2'].machine, 'nova-compute')
        self.admin.abort(before.server, before.migration)
        self.in_phase(run, 'preparing')
        self.openstack_abort(run)
        self.go(stopped)
        self.assert_cancelled(run)
        self.assert_stayed(self.finish(before))

    def test_one_whose_host_is_silent(self):
        run = self.in_passes()
        stopped = self.stop(self.stack.hosts['n1'].machine, 'nova-compute')
        answer = self.admin.answer('DELETE', f'/servers/{run.server}/migrations/{run.migration}')
        self.assertEqual(503, answer.status_code, answer.text)
        [fault] = answer.json().values()
        self.assertIn('Nova has accepted it, but its outcome is not known: ', fault['message'])
        self.assertIn(' n1 did not answer within', fault['message'])
        self.go(stopped)
        # What Nova has sent has only to be read.
        self.assert_stayed(self.finish(run))

    def test_a_completion_that_comes_too_early_is_remembered(self):
        before = self.in_passes()
        run = self.start(remedies='none', on_stall='continue')
        self.in_phase(run, 'waiting for a slot')
        self.admin.force_complete(run.server, run.migration)
        self.admin.abort(before.server, before.migration)
        self.assert_stayed(self.finish(before))
        self.assert_moved(self.finish(run))
        self.assertEqual(['pause'], run.actions)
