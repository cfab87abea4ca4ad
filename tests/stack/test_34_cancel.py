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

    def test_a_completion_that_comes_too_early_is_remembered(self):
        before = self.in_passes()
        run = self.start(remedies='none', on_stall='continue')
        self.in_phase(run, 'waiting for a slot')
        self.admin.force_complete(run.server, run.migration)
        self.admin.abort(before.server, before.migration)
        self.assert_stayed(self.finish(before))
        self.assert_moved(self.finish(run))
        self.assertEqual(['pause'], run.actions)
