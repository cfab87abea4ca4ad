# SPDX-License-Identifier: Apache-2.0
"""Cancelling before a migration runs, by the clients that people have; on more than one release.

In its queues and while it is prepared Nova alone, or nobody, can cancel a migration; from its
disks on see phases.
"""

from __future__ import annotations

import os
import signal

from keystoneauth1 import exceptions

from lab import client as lab_client
from lab import guests
from lab.openstack import services
from tests.stack import phases
from tests.stack import steering

QUIET = guests.Guest(kind='idle', memory_mib=96)


class Cancel(phases.InPhase):
    """Shorthands."""

    def stop(self, machine, program):
        """Stop the processes of a program; `go` is called in the end."""
        pids = services.find_all(machine, program)
        self.assertNotEqual([], pids)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self.addCleanup(self.go, pids)
        return pids

    @staticmethod
    def go(pids):
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    def abort(self, run, *words):
        self.stack.cli([*words, run.server, str(run.migration)])

    def openstack_abort(self, run):
        self.abort(run, 'openstack', '--os-compute-api-version', '2.90', 'server', 'migration',
                   'abort')

    def in_phase(self, run, phase):
        return lab_client.wait(
            lambda: self.admin.forecast(run.server, run.migration),
            lambda found: found['phase'] == phase, steering.MIGRATION_TIMEOUT_S,
            f'the phase {phase}')

    def assert_cancelled(self, run):
        run = self.finish(run)
        self.assert_stayed(run)
        self.assertEqual([], run.records('sample'))


class CancelTests(Cancel):
    """What must work everywhere."""

    def test_waiting_for_a_slot(self):
        before = self.in_passes()
        run = self.start(QUIET)
        found = self.in_phase(run, 'waiting for a slot')
        self.assertIn('max_concurrent_live_migrations', found['waits_for'])
        refused = self.assertRaises(exceptions.Conflict, self.admin.tune, run.server,
                                    run.migration, bandwidth_mib_s=60)
        self.assertIn('waiting for a slot', refused.response.text)
        self.abort(run, 'nova', 'live-migration-abort')
        self.assert_cancelled(run)
        self.admin.abort(before.server, before.migration)
        self.assert_stayed(self.finish(before))

    def test_cancelled_too_early_to_be_in_the_queue(self):
        before = self.in_passes()
        stopped = self.stop(self.stack.hosts['n2'].machine, 'nova-compute')
        run = self.start(QUIET)
        self.in_phase(run, 'queued')
        self.openstack_abort(run)
        self.go(stopped)
        # It does not wait for the slot, which the other one still has.
        self.assert_cancelled(run)
        self.assertEqual('passes', self.admin.forecast(
            before.server, before.migration)['phase'])
        self.admin.abort(before.server, before.migration)
        self.assert_stayed(self.finish(before))
