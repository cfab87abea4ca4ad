# SPDX-License-Identifier: Apache-2.0
"""Migrations with events and commands, on each release with each kind of threads it supports.

They are few: what depends on neither is tested on Nova 34 with native threads.
"""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import qmp
from tests.stack.support import steering


class CommandTests(qmp.Monitor):
    """Events, progress, a retune, a cancel and a remedy."""

    #: as nova-compute says at its start
    mode: str

    def test_its_threads(self):
        log = self.stack.log('n1').read_text()
        self.assertIn(f'Starting compute node (version {self.nova}.', log)
        self.assertEqual([self.mode], [line.rsplit('; ')[-1] for line in log.splitlines()
                                       if 'migrations are steered by policy' in line])

    def test_passes_are_told_progress_is_shown_and_a_retune_ends_it(self):
        run = self.in_passes(max_bandwidth_mib_s=400, max_downtime_ms=1000)
        found = self.admin.forecast(run.server, run.migration)
        self.assertEqual(('passes', 'running', None), (
            found['phase'], found['status'], found['outcome']))
        self.assertGreater(found['pass_number'], 1)
        told = self.tune(run, bandwidth_mib_s=400)
        self.assertEqual({'bandwidth_mib_s': 400}, told['applied'])
        self.assert_moved(self.finish(run))
        self.assert_promise(run, 1000)
        # By libvirt's events, none of which was lost.
        seen = [s['iteration'] for s in run.records('sample') if s['boundary']]
        first = [number for number in seen if number <= 3]
        self.assertEqual([1, 2, 3], first)
        self.assertEqual('completed', self.admin.forecast(run.server, run.migration)['outcome'])

    def test_novas_delete_cancels_it(self):
        run = self.in_passes()
        self.admin.wait_migration(run.server, run.migration, status={'running'})
        self.admin.abort(run.server, run.migration)
        self.assert_stayed(self.finish(run))
        self.assertEqual(['abort'], run.actions)
        self.assertIn('API', run.records('end')[0]['reason'])

    def test_a_remedy_by_a_monitor_command(self):
        run = self.start(remedies='auto_converge', max_throttle_percent=90,
                         max_downtime_ms=1000)
        lab_client.wait(lambda: run.actions, bool, steering.MIGRATION_TIMEOUT_S, 'the remedy')
        self.assert_moved(self.finish(run))
        self.assertEqual({'set_throttle'}, set(run.actions))
        self.assert_promise(run, 1000)
