# SPDX-License-Identifier: Apache-2.0
"""Abort and force-complete through Nova's API, in each phase; on more than one release of Nova."""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import steering

# Something that keeps a migration in its passes for as long as the test wants.
ENDLESS = {'remedies': 'none', 'on_stall': 'continue', 'timeout_seconds': 600}
# With a higher cap on a link of a known rate, the same blackout is another limit of QEMU's.
HURRIED = ('set_max_downtime', 'set_bandwidth')


class InPhase:
    """Brings a migration into a phase, where it stays for a while."""

    def in_disks(self, **policy):
        run = self.start(disk_gib=1, **ENDLESS | policy)
        lab_client.wait(
            lambda: [s for s in run.records('sample')
                     if s.get('disk_remaining_bytes') and not s.get('memory_total_bytes')], bool,
            steering.MIGRATION_TIMEOUT_S, 'disks to be copied')
        return run

    def in_bulk_copy(self, guest=steering.BUSY, **policy):
        # Slowly, so that it lasts until a command has come through.
        run = self.start(guest, **ENDLESS | {'bandwidth_mib_s': 5} | policy)
        lab_client.wait(
            lambda: [s for s in run.records('sample') if s.get('memory_remaining_bytes')], bool,
            steering.MIGRATION_TIMEOUT_S, 'memory to be copied')
        return run

    def in_passes(self, **policy):
        run = self.start(**ENDLESS | policy)
        lab_client.wait(
            lambda: [s for s in run.records('sample') if (s.get('iteration') or 0) > 2], bool,
            steering.MIGRATION_TIMEOUT_S, 'the passes')
        return run

    def tune(self, run, **changes):
        """Retune it; what a busy libvirt keeps from being answered is told by the timeline."""
        before = len(run.records('retune'))
        told = self.admin.tune(run.server, run.migration, **changes)
        if not told.get('pending'):
            return told
        record = lab_client.wait(
            lambda: run.records('retune')[before:], bool, steering.MIGRATION_TIMEOUT_S,
            'the retune to be carried out')[0]
        return {'held': record['held'], 'applied': {
            name: record['held'].get(name, record['policy'].get(name))
            for name in record['values']}}


class PhaseTests(InPhase):
    """In the disk phase, the bulk copy, the passes and post-copy."""

    def assert_phase(self, run, phase):
        """The command came in the phase that it was meant for."""
        decision = next(d for d in run.records('decision') if d['rule'] == 'operator')
        last = [s for s in run.records('sample') if s['at'] <= decision['at']][-1]
        if phase == 'disks':
            self.assertTrue(last['disk_remaining_bytes'])
            self.assertFalse(last.get('memory_total_bytes'))
        elif phase == 'bulk copy':
            self.assertEqual(1, last['iteration'])
        else:
            self.assertGreater(last['iteration'], 2)
        return decision

    def cancel(self, run):
        self.admin.abort(run.server, run.migration)

    def abort(self, run, phase):
        self.admin.wait_migration(run.server, run.migration, status={'running'})
        self.cancel(run)
        self.assert_stayed(self.finish(run))
        self.assertEqual(['abort'], run.actions)
        [end] = run.records('end')
        self.assertIn('API', end['reason'])
        self.assert_phase(run, phase)

    def force(self, run, phase, action, cost):
        self.admin.wait_migration(run.server, run.migration, status={'running'})
        self.admin.force_complete(run.server, run.migration)
        self.assert_moved(self.finish(run))
        self.assertEqual([action], [one for one in run.actions if one not in HURRIED])
        self.assertIn('operator', self.assert_phase(run, phase)['reason'])
        # It says what it costs when it is done, which may be later than it was asked for.
        done = [d for d in run.records('decision') if d['actions']][-1]
        self.assertIn(cost, done['reason'])

    def test_abort_in_disks(self):
        # So slowly that they are still copied when the cancel has come through.
        self.abort(self.in_disks(bandwidth_mib_s=8), 'disks')

    def test_abort_in_bulk_copy(self):
        self.abort(self.in_bulk_copy(), 'bulk copy')

    def test_force_complete_in_bulk_copy(self):
        run = self.in_bulk_copy(on_timeout='post_copy', remedies='bandwidth',
                                max_bandwidth_mib_s=50)
        self.force(run, 'bulk copy', 'start_post_copy', 'fetches')
        # All of it has to be sent once, whether the guest runs meanwhile or not: that is hurried.
        self.assertEqual([*HURRIED, 'start_post_copy'], run.actions)

    def test_force_complete_in_passes_by_pause(self):
        self.force(self.in_passes(), 'passes', 'pause', 'blackout')


class EachPhaseTests(PhaseTests):
    """All of them, cancelled by the command; the rest is the engine's, whatever Nova it is in."""

    def cancel(self, run):
        self.stack.cli(['openstack', '--os-compute-api-version', '2.90', 'server', 'migration',
                        'abort', run.server, str(run.migration)])

    def test_abort_in_passes(self):
        self.abort(self.in_passes(), 'passes')

    def test_force_complete_in_disks(self):
        self.force(self.in_disks(on_timeout='post_copy'), 'disks', 'start_post_copy', 'fetches')

    def test_force_complete_in_passes_by_post_copy(self):
        self.force(self.in_passes(on_timeout='post_copy'), 'passes', 'start_post_copy', 'fetches')
