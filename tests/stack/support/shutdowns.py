# SPDX-License-Identifier: Apache-2.0
"""nova-compute is stopped in the middle of migrations, and comes back."""

from __future__ import annotations

import libvirt

from lab import client as lab_client
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import leaving
from nova_migpolicy import vocabulary
from tests.stack.support import recoveries
from tests.stack.support import steering


def conf(on_shutdown):
    """Return nova.conf of the computes, with what is to happen when they are stopped."""
    novas = recoveries.RecoveryTest.nova_conf
    return {**novas, 'migpolicy': {**novas['migpolicy'], 'on_shutdown': on_shutdown}}


class ShutdownTest(recoveries.RecoveryTest):
    """It is told to stop (SIGTERM), and comes back."""

    # Nova 34 waits for two threads of its driver that never end, until its time is up.
    ends_itself = True

    def stop(self):
        self.tell_to_stop()
        self.wait_stopped()

    def wait_stopped(self):
        """Wait until the process has ended, or nothing of ours keeps it; then it is killed."""
        if not self.ends_itself:
            self.wait_logged('n1', 'Graceful shutdown: no in-progress tasks',
                             steering.MIGRATION_TIMEOUT_S)
            self.wait_logged('n1', 'thread pool MainProcess.default is shutting down')
            self.kill()
        self.wait_dead()

    def status(self, run):
        return self.admin.migration(run.server, run.migration)['status']

    def wait_in_passes(self, run):
        lab_client.wait(lambda: self.admin.forecast(run.server, run.migration)['phase'],
                        lambda phase: phase == 'passes', steering.MIGRATION_TIMEOUT_S,
                        'the migration to be watched again')

    def assert_goes_on(self, run):
        """libvirt's job runs, and Nova believes the same."""
        domain = self.stack.hosts['n1'].connect().lookupByUUIDString(run.server)
        self.assertEqual(libvirt.VIR_DOMAIN_JOB_UNBOUNDED, domain.jobStats()['type'])
        self.assertEqual('running', self.status(run))
        self.assertEqual([], run.records('end'))
        self.assertIn(leaving.LEFT, [one['text'] for one in run.records('event')])


class LeaveTests(ShutdownTest):

    # What was taken over is left in the same way.
    times = 1

    def test_left_in_the_passes(self):
        """And one that waits in Nova's queue is cancelled."""
        run = self.in_passes()
        parked = self.start(recoveries.QUIET)
        self.admin.wait_migration(parked.server, parked.migration, status={'queued'})
        for _ in range(self.times):
            self.stop()
            self.assert_goes_on(run)
            self.assertEqual('cancelled', self.status(parked))
            self.start_again()
            self.wait_in_passes(run)
        self.admin.abort(run.server, run.migration)
        self.assert_agree(run, 'n1', 'cancelled')
        self.assert_agree(parked, 'n1', 'cancelled')


class AbortTests(ShutdownTest):

    nova_conf = conf(vocabulary.ABORT_ALL)

    def test_aborted_in_the_passes(self):
        run = self.in_passes()
        self.stop()
        self.assertEqual('cancelled', self.status(run))
        self.assertEqual([commands.STOPPED], [one['reason'] for one in run.records('end')])
        self.assert_agree(run, 'n1', 'cancelled')
        self.start_again()
        self.assert_agree(run, 'n1', 'cancelled')

    def test_post_copy_is_not_aborted(self):
        run = self.in_post_copy()
        self.tell_to_stop()
        self.assertEqual('post-copy', self.admin.forecast(run.server, run.migration)['phase'])
        self.stack.hosts.shape('n1')
        self.wait_stopped()
        self.assert_agree(run, 'n2', 'completed')
        self.start_again()
        self.assert_agree(run, 'n2', 'completed')


class FinishTests(ShutdownTest):

    nova_conf = conf(vocabulary.FINISH)

    def test_finished(self):
        """It is steered, and takes orders, while nova-compute waits for its end."""
        run = self.in_passes(max_downtime_ms=1000, max_bandwidth_mib_s=400)
        self.tell_to_stop()
        self.assertEqual('passes', self.admin.forecast(run.server, run.migration)['phase'])
        self.admin.tune(run.server, run.migration, bandwidth_mib_s=400)
        self.wait_stopped()
        self.assert_agree(run, 'n2', 'completed')
        self.assert_promise(run, 1000)
        self.start_again()
        self.assert_agree(run, 'n2', 'completed')
