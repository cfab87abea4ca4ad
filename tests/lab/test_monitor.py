# SPDX-License-Identifier: Apache-2.0
"""The plugin's monitor and plan on real hosts, without Nova between them and libvirt."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
import time
import types
import uuid

import libvirt

from lab import domain as lab_domain
from nova_migpolicy.compute import fits
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.monitor import events
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import resolve
from tests.lab import base
from tests.lab import steered

MIB = 1 << 20


class MonitoredTest(base.HostsTest):
    """Migrates the guest of `boot()` under a policy, as the driver does."""

    link_mib_s: float | None = None

    def session(self, *, versions=None, **policy):
        """Make a session for the guest; nothing has started yet."""
        connection = self.lab['n1'].connect()
        libvirt_version, qemu_version = versions or (
            connection.getLibVersion(), connection.getVersion())
        clock = inbox_mod.Inbox()
        made = session_mod.Session(
            session_mod.MigrationFacts(
                instance=types.SimpleNamespace(uuid=str(uuid.uuid4())),
                migration=str(uuid.uuid4()), destination='n2',
                resolved=resolve.resolve(resolve.Sources(flavor=policy)),
                resolver=lambda retune: resolve.resolve(
                    resolve.Sources(flavor=policy, retune=retune)),
                memory_bytes=self.guest.guest.memory_mib * MIB, link_mib_s=self.link_mib_s,
                circumstances=migrate_call.Circumstances(
                    paused=False, persistent_memory=False, tunnelled=False,
                    nova_post_copy=False, allow_qmp=True,
                    libvirt_version=libvirt_version, qemu_version=qemu_version)),
            guest_mod.MigratingGuest(lambda: self.guest.domain), clock,
            journal_mod.Journal(None, clock.clock(), 0), link_rates.LinkRates(None))
        made.prepare(None)
        return made

    def run_session(self, made, while_it_runs=None):
        """Migrate to n2; returns the outcome."""
        disks = len(self.guest.disks_mib)
        params, flags = self.guest.arguments('n2')

        def operate():
            error = None
            try:
                own = self.lab['n1'].another_connection()
                planned = made.planned_domain(own.lookupByName(self.guest.name), disks)
                planned.migrateToURI3(self.lab['n2'].uri, params=params, flags=flags)
            except Exception as failure:
                error = failure
            made.operation_over(error)

        connection = self.lab['n1'].connect()
        with events.subscribed(connection, self.guest.domain, made.inbox) as made.has_events:
            operation = threading.Thread(target=operate, daemon=True)
            operation.start()
            self.addCleanup(self.end, operation)
            watcher = threading.Thread(target=while_it_runs or (lambda: None), daemon=True)
            watcher.start()
            self.report = steered.Report()
            ended = made.watch(self.report, [f'vd{"bcdefg"[n]}' for n in range(disks)],
                               time.sleep)
            watcher.join()
        return ended

    def end(self, operation):
        """Stop a migration that a failed test has left."""
        if operation.is_alive():
            with contextlib.suppress(libvirt.libvirtError):
                self.guest.domain.abortJob()
        operation.join(120)

    def records(self, made, kind):
        return [record for record in made.journal.records() if record['kind'] == kind]

    def assert_arrived(self, ended):
        self.assertIs(outcome_mod.End.COMPLETED, ended.end, ended.reason)
        self.assert_beats('n2')


class TestDisks(MonitoredTest):

    def test_the_cap_is_for_all_disks_together_and_then_for_memory(self):
        self.boot(set_mib=8, rate_mib_s=5, disks_mib=(96, 96))
        made = self.session(bandwidth_mib_s='20', max_bandwidth_mib_s='20')
        seen = {}

        def look():
            domain = self.guest.domain
            seen['disks'] = lab_domain.wait_until(
                lambda: [domain.blockJobInfo(name, 0).get('bandwidth')
                         for name in ('vdb', 'vdc')] if domain.blockJobInfo('vdc', 0) else None,
                what='both disks to be copied')
            lab_domain.wait_until(
                lambda: [r for r in self.records(made, 'action')
                         if r['action'] == 'set_bandwidth'], what='the cap of the memory phase')
            seen['memory'] = self.qmp('query-migrate-parameters')[0]['max-bandwidth']

        self.assert_arrived(self.run_session(made, look))
        self.assertEqual([10, 10], seen['disks'])
        self.assertEqual(20 * MIB, seen['memory'])
        self.assertEqual(sorted(self.report.percents), self.report.percents)


class TestOlderDestination(MonitoredTest):

    link_mib_s = 80

    def test_a_libvirt_that_cannot_be_told_of_the_link(self):
        self.shape(rate_mib_s=self.link_mib_s)
        self.boot(set_mib=24)
        # Of a host too busy to send at its cap, the link is believed to be no faster than what
        # was sent, and all of the set in one blackout would take 1.3 s then.
        made = self.session(versions=(11_003_000, 10_000_000), bandwidth_mib_s='20',
                            max_bandwidth_mib_s='20', max_downtime_ms='2000')
        self.assert_arrived(self.run_session(made))
        self.assertEqual((fits.SWITCHOVER,), made.call.left_out)
        self.assert_promised(2000)


class TestPromise(MonitoredTest):
    """The real blackout under a cap, on a link whose rate is known."""

    link_mib_s = 80

    def test_the_promise_holds_under_a_cap(self):
        self.shape(rate_mib_s=self.link_mib_s)
        self.boot(set_mib=24)
        made = self.session(bandwidth_mib_s='20', max_bandwidth_mib_s='20',
                            max_downtime_ms='600', remedies='downtime')
        self.assert_arrived(self.run_session(made))
        self.assert_promised(600)
        self.assertEqual([True], [r['done'] for r in self.records(made, 'action')])


class TestPromiseTrixie(base.Trixie, TestPromise):
    """The same where QEMU is told of the link itself."""

    def test_qemu_is_told(self):
        self.shape(rate_mib_s=self.link_mib_s)
        self.boot(set_mib=24)
        made = self.session(bandwidth_mib_s='20', max_bandwidth_mib_s='20',
                            max_downtime_ms='600', remedies='downtime')
        told = []

        def look():
            lab_domain.wait_until(
                lambda: any(sample.get('memory_remaining_bytes')
                            for sample in self.records(made, 'sample')), what='the copy')
            told.append(self.qmp('query-migrate-parameters')[0]['avail-switchover-bandwidth'])

        self.assert_arrived(self.run_session(made, look))
        self.assertEqual([self.link_mib_s * MIB], told)
        [start] = self.records(made, 'start')
        self.assertEqual(self.link_mib_s, start['facts']['switchover_mib_s'])
        self.assertEqual((), made.call.left_out)


class TestKinds(MonitoredTest):
    """Guests that are not as regular as a sweep."""

    link_mib_s = 80

    def steer(self, kind, guest, **policy):
        self.shape(rate_mib_s=self.link_mib_s)
        self.boot(kind, **guest)
        made = self.session(bandwidth_mib_s='20', **{
            'max_bandwidth_mib_s': '20', 'max_downtime_ms': '400', 'timeout_seconds': '120',
            **policy})
        self.assert_arrived(self.run_session(made))
        self.assert_promised(400)
        return [record['action'] for record in self.records(made, 'action')]

    def test_bursts_end_in_a_quiet_time(self):
        # A pass takes at most two seconds: one of three lies in the quiet time, so there are no
        # two that both say that it does not converge.
        actions = self.steer(
            'bursts', {'memory_mib': 96, 'set_mib': 40, 'rate_mib_s': 60, 'on_ms': 1000,
                       'off_ms': 4000}, remedies='downtime')
        self.assertLessEqual(set(actions), {'set_max_downtime'})

    def test_a_change_for_the_better_needs_nothing(self):
        actions = self.steer(
            'phases', {'memory_mib': 96, 'set_mib': 40, 'rate_mib_s': 60, 'change_after_s': 12,
                       'then_set_mib': 4, 'then_rate_mib_s': 2},
            remedies='none', on_stall='continue')
        self.assertEqual([], actions)

    def test_a_hot_part(self):
        actions = self.steer(
            'hotcold', {'memory_mib': 96, 'set_mib': 60, 'rate_mib_s': 60, 'hot_mib': 6,
                        'hot_share': 0.9}, remedies='bandwidth,downtime',
            max_bandwidth_mib_s='60')
        self.assertLessEqual(set(actions), {'set_bandwidth', 'set_max_downtime'})

    def test_random_writes(self):
        actions = self.steer(
            'random', {'memory_mib': 96, 'set_mib': 50, 'rate_mib_s': 40},
            remedies='bandwidth,downtime', max_bandwidth_mib_s='60')
        self.assertIn('set_bandwidth', actions)


class TestBrokenPostCopy(MonitoredTest):

    def test_neither_copy_is_touched(self):
        """The destination's QEMU dies while memory is still at the source."""
        self.shape(rate_mib_s=8)
        self.boot(set_mib=40)
        made = self.session(remedies='post_copy', bandwidth_mib_s='40')

        def break_it():
            lab_domain.wait_until(
                lambda: self.guest.domain.state() == [
                    libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY],
                timeout=60, what='the guest to run on the destination')
            self.assert_beats('n2')
            for pid in self.lab['n2'].machine.processes():
                if b'qemu-system' in pathlib.Path(f'/proc/{pid}/cmdline').read_bytes():
                    os.kill(pid, signal.SIGKILL)

        ended = self.run_session(made, break_it)
        self.assertIs(outcome_mod.End.BROKEN, ended.end, ended.reason)
        self.assertEqual(
            [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED],
            self.lab['n1'].connect().lookupByName(self.guest.name).state())
        self.assertNotIn('abort', [r['action'] for r in self.records(made, 'action')])


class TestStreams(MonitoredTest):
    """How the stream is sent, as QEMU has it."""

    def capabilities(self, **policy):
        self.boot(set_mib=8, rate_mib_s=5)
        made = self.session(bandwidth_mib_s='20', max_bandwidth_mib_s='20', **policy)
        seen = {}

        def look():
            # There are samples before QEMU has been told how to send it.
            lab_domain.wait_until(lambda: any(
                sample.get('memory_remaining_bytes') for sample in self.records(made, 'sample')),
                what='the copy')
            seen.update((one['capability'], one['state'])
                        for one in self.qmp('query-migrate-capabilities')[0])

        self.assert_arrived(self.run_session(made, look))
        return seen

    def test_compression(self):
        self.assertTrue(self.capabilities(compression='xbzrle')['xbzrle'])

    def test_parallel_connections(self):
        self.assertTrue(self.capabilities(parallel_connections='2')['multifd'])

    def test_plain(self):
        seen = self.capabilities()
        self.assertFalse(seen['xbzrle'] or seen['multifd'] or seen['postcopy-ram']
                         or seen['auto-converge'])
