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
from nova_migpolicy.osc import cancel
from nova_migpolicy.osc import http
from tests.stack.support import phases
from tests.stack.support import steering

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

    def abort_queued(self):
        """Cancel a migration while the conductor waits for its destination, which then answers."""
        stopped = self.stop(self.stack.hosts['n2'].machine, 'nova-compute')
        run = self.start(QUIET)
        self.in_phase(run, 'queued')
        self.openstack_abort(run)
        self.go(stopped)
        return run

    def test_cancelled_too_early_to_be_in_the_queue(self):
        before = self.in_passes()
        run = self.abort_queued()
        # It does not wait for the slot, which the other one still has.
        self.assert_cancelled(run)
        self.assertEqual('passes', self.admin.forecast(
            before.server, before.migration)['phase'])
        self.admin.abort(before.server, before.migration)
        self.assert_stayed(self.finish(before))

    def test_all_of_a_host_while_another_is_silent(self):
        runs = [self.in_passes(), self.start(QUIET), self.start(QUIET)]
        for run in runs[1:]:
            self.in_phase(run, 'waiting for a slot')
        silent = self.start(host='n2', **phases.ENDLESS)
        self.in_phase(silent, 'passes')
        stopped = self.stop(self.stack.hosts['n2'].machine, 'nova-compute')
        told = self.admin.cancel_all(host='n1', servers=[silent.server])
        self.assertEqual(([], []), (told['cancelled'], told['failed']))
        [left] = told['remaining']
        self.assertEqual((silent.server, silent.migration, True),
                         (left['server_id'], left['migration_id'], left['begun']))
        # A busy machine may be done with waiting before the bus is.
        self.assertRegex(left['message'], 'n2 did not answer within|has not been answered after')
        # The others do not wait for it. The host is back when the command asks again: at once,
        # for libvirt drops a client that is silent for half a minute, and what it migrates.
        said = []

        def say(line):
            said.append(line)
            self.go(stopped)

        asking = cancel.Asking(http.Api(self.admin.adapter), {'host': 'n1'}, say)
        asking.run()
        self.assertIn('remain: asking again', said[0])
        results = {row[0]: row[2] for row in asking.rows()}
        self.assertEqual({run.server for run in (*runs, silent)}, set(results))
        # The silent one may have ended between two of its requests.
        self.assertEqual(['cancelled'] * len(runs), [results[run.server] for run in runs], said)
        self.assertIn(results[silent.server], ('cancelled', 'over'), said)
        for run in (*runs, silent):
            self.assert_stayed(self.finish(run))
