# SPDX-License-Identifier: Apache-2.0
"""What breaks in the middle of a migration: the guest runs on exactly one host, and Nova knows.

Real faults on the real thing: QEMU killed at the destination, libvirtd killed on either side, a
link that is cut, a guest that goes down, a database that does not answer.
"""

from __future__ import annotations

import os
import pathlib
import signal

import libvirt
import testtools

from lab import client as lab_client
from lab import guests
from lab import libvirtd
from lab.openstack import services
from tests.stack.support import phases
from tests.stack.support import steering

TIMEOUT_S = 60.0


class FaultTest(phases.InPhase, steering.SteeringTest):

    def kill(self, host, program):
        """Kill a host's process of that name, and wait until it is gone."""
        node = self.stack.hosts[host].machine
        for pid in services.find(node, program):
            os.kill(pid, signal.SIGKILL)
        lab_client.wait(lambda: services.find(node, program), lambda pids: not pids, TIMEOUT_S,
                        f'{program} on {host} to be gone')

    def restart_libvirtd(self, host):
        """A libvirtd that crashes and comes back; QEMU runs on."""
        self.kill(host, 'libvirtd')
        # Nova takes the host out of service meanwhile; the next test needs it.
        self.addCleanup(self.wait_enabled, host)
        libvirtd.start(self.stack.hosts[host].machine)
        self.stack.hosts[host].connect()

    def wait_enabled(self, host):
        lab_client.wait(
            lambda: [one['status'] for one in self.admin.services()
                     if (one['binary'], one['host']) == ('nova-compute', host)],
            lambda found: found == ['enabled'], TIMEOUT_S, f'{host} to be in service again')

    @staticmethod
    def parent(pid):
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
        return int(stat.rsplit(')', 1)[1].split()[1])

    def settle(self, run):
        """Wait for the end of the migration and of what Nova does after it."""
        found = self.admin.wait_migration(run.server, run.migration, timeout=TIMEOUT_S)
        run.status = str(found['status'])
        lab_client.wait(lambda: self.admin.server(run.server),
                        lambda server: not server['OS-EXT-STS:task_state'], TIMEOUT_S,
                        'Nova to settle')
        return run

    def assert_only_on(self, run, host):
        """One host's libvirt has it, running; Nova says the same."""
        running = [name for name in steering.HOSTS if run.server in self.running(name)]
        self.assertEqual([host], running)
        self.assert_on(run, host, *(name for name in steering.HOSTS if name != host))
        self.assertTrue(run.beats.wait_for_beats(20, log=steering.HOSTS.index(host)))

    def running(self, host):
        connection = self.stack.hosts[host].connect()
        flags = libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING
        return [domain.UUIDString() for domain in connection.listAllDomains(flags)]

    def test_qemu_dies_at_the_destination(self):
        run = self.in_passes()
        self.kill('n2', 'qemu-system-x86_64')
        self.settle(run)
        self.assertEqual('failed', run.status)
        self.assert_only_on(run, 'n1')
        self.assertEqual('failed', run.records('end')[0]['outcome'])

    def test_libvirtd_dies_at_the_source(self):
        run = self.in_passes()
        self.restart_libvirtd('n1')
        self.settle(run)
        self.assertEqual('failed', run.status)
        self.assertEqual('failed', run.records('end')[0]['outcome'])
        self.assert_only_on(run, 'n1')

    def test_libvirtd_dies_at_the_destination(self):
        run = self.in_passes()
        self.restart_libvirtd('n2')
        self.settle(run)
        self.assertEqual('failed', run.status)
        self.assertEqual('failed', run.records('end')[0]['outcome'])
        self.assert_only_on(run, 'n1')

    def test_the_guest_is_destroyed_while_it_migrates(self):
        """Nobody has it: it must not be looked for on the destination."""
        run = self.in_passes()
        connection = self.stack.hosts['n1'].connect()
        connection.lookupByUUIDString(run.server).destroy()
        self.settle(run)
        self.assertEqual('failed', run.status)
        self.assertEqual('n1', self.admin.host(run.server))
        self.assertIn(run.server, self.domains('n1'))
        self.assertNotIn(run.server, self.domains('n2'))

    def test_a_link_that_stalls_and_comes_back(self):
        guest = guests.Guest(kind='sweep', memory_mib=256, set_mib=32, rate_mib_s=10)
        run = self.in_bulk_copy(guest, on_stall='abort', bandwidth_mib_s=steering.CAP_MIB_S,
                                remedies='auto_converge,post_copy,pause')
        before = run.records('sample')[-1]['memory_processed_bytes']
        self.stack.hosts.cut('n1')
        self.addCleanup(self.stack.hosts.mend, 'n1')
        # Two watchdog looks that saw nothing move.
        lab_client.wait(
            lambda: [s['memory_processed_bytes'] for s in run.records('sample')
                     if (s.get('memory_processed_bytes') or 0) > before],
            lambda seen: any(seen.count(value) >= 3 for value in seen), TIMEOUT_S,
            'the link to stand still')
        self.stack.hosts.mend('n1')
        self.assert_moved(self.finish(run))
        self.assertEqual([], run.actions)

    def test_a_switchover_that_hangs_is_cancelled(self):
        """QEMU waits for a dead link then, and libvirt for QEMU."""
        self.stack.hosts.shape('n1', rate_mib_s=6)
        self.addCleanup(self.stack.hosts.shape, 'n1')
        # The operator's word for the link is far too high, so the switchover takes seconds.
        run = self.start(guests.Guest(kind='sweep', memory_mib=96, set_mib=32, rate_mib_s=80),
                         bandwidth_mib_s=6, max_bandwidth_mib_s=6, max_downtime_ms=500,
                         initial_downtime_ms=500, **phases.ENDLESS)
        domain = self.stack.hosts['n1'].connect().lookupByUUIDString(run.server)
        lab_client.wait(lambda: domain.state()[0], lambda state: state == (
            libvirt.VIR_DOMAIN_PAUSED), steering.MIGRATION_TIMEOUT_S, 'the switchover')
        self.addCleanup(self.stack.hosts.deliver, 'n1')
        self.stack.hosts.drop('n1')
        self.admin.abort(run.server, run.migration)
        self.settle(run)
        self.assertEqual('cancelled', run.status)
        self.assert_only_on(run, 'n1')
        [end] = run.records('end')
        # The cancel may come just before QEMU hangs or after it: how the guest is said to be then
        # differs, the end does not.
        self.assertThat(end['reason'], testtools.matchers.MatchesRegex(
            r'cancelled through the API; .*libvirt has not answered \w+ for \d+ s'))
        self.assertIn('unsent', ' '.join(one['text'] for one in run.records('event')))

    def test_a_database_that_does_not_answer_for_a_while(self):
        run = self.in_passes(max_downtime_ms=2000, remedies='downtime')
        [pid] = services.find(self.stack.hosts.ctl, 'mariadbd')
        os.kill(pid, signal.SIGSTOP)
        try:
            lab_client.wait(lambda: run.actions, bool, TIMEOUT_S, 'the remedy, all the same')
        finally:
            os.kill(pid, signal.SIGCONT)
            # What waits for it outside of the machine stopped together with it.
            os.kill(self.parent(pid), signal.SIGCONT)
        self.assert_moved(self.finish(run))
