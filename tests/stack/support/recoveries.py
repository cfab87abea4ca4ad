# SPDX-License-Identifier: Apache-2.0
"""What tests of recovery share: nova-compute dies and comes back, and all has to agree."""

from __future__ import annotations

import functools
import signal

import libvirt

from lab import client as lab_client
from lab import guests
from lab import needs
from lab.openstack import services
from tests.stack.support import phases
from tests.stack.support import steering

# From the end of the fault until everything agrees.
AGREE_S = 60.0
QUIET = guests.Guest(kind='sweep', memory_mib=144, set_mib=8, rate_mib_s=4)


class RecoveryTest(phases.InPhase, steering.SteeringTest):
    """Kills nova-compute, and looks from outside whether all agrees afterwards."""

    def in_post_copy(self):
        """Start post-copy over a link so slow that it lasts."""
        run = self.in_passes(on_timeout='post_copy')
        self.stack.hosts.shape('n1', rate_mib_s=8)
        self.addCleanup(self.stack.hosts.shape, 'n1')
        self.admin.act(run.server, run.migration, 'post_copy')
        lab_client.wait(lambda: self.admin.forecast(run.server, run.migration)['phase'],
                        lambda phase: phase == 'post-copy', steering.MIGRATION_TIMEOUT_S,
                        'post-copy')
        return run

    def kill(self, host='n1'):
        self.stack.kill_compute(host)

    def tell_to_stop(self):
        """Tell n1 to stop, as systemd and containers do."""
        services.send(self.stack.hosts['n1'].machine, 'nova-compute', signal.SIGTERM)
        self.wait_logged('n1', 'nova-compute is being stopped')

    def wait_dead(self, host='n1'):
        """Wait until nova-compute has died by itself."""
        node = self.stack.hosts[host].machine
        lab_client.wait(lambda: services.find(node, 'nova-compute'), lambda pids: not pids,
                        steering.MIGRATION_TIMEOUT_S, f'nova-compute on {host} to die')

    def start_again(self, host='n1'):
        """Start a killed nova-compute, and wait until it serves."""
        log = self.stack.log(host)
        log.rename(log.with_suffix('.log.1'))
        self.stack.start_compute(host)
        self.stack.services.wait_logged(f'nova-{host}', 'Join ServiceGroup membership')
        self.stack.wait_computes()

    def wait_gone(self, run, host='n1'):
        """Wait until libvirt alone has brought the guest away from a host."""
        connection = self.stack.hosts[host].connect()
        lab_client.wait(lambda: [domain.UUIDString() for domain in connection.listAllDomains()],
                        lambda found: run.server not in found, steering.MIGRATION_TIMEOUT_S,
                        f'the guest to leave {host}')

    def wait_watched(self, run):
        """Wait until a new nova-compute watches it; return the sentences of its timeline."""
        return lab_client.wait(
            lambda: [one['text'] for one in run.records('event')],
            lambda texts: any('started again' in text for text in texts),
            steering.MIGRATION_TIMEOUT_S, 'the migration to be watched again')

    def assert_agree(self, run, host, status):
        """The guest beats on one host alone, and Nova, placement and the records say the same."""
        try:
            lab_client.wait(lambda: next(self.disagreements(run, host, status), ''),
                            lambda found: not found, AGREE_S, 'all to agree')
        except needs.LabError as error:
            self.fail(f'{error}; all of them: {list(self.disagreements(run, host, status))}')
        self.assertTrue(run.beats.wait_for_beats(20, log=steering.HOSTS.index(host)))
        self.assertEqual([], list(self.disagreements(run, host, status)))

    def disagreements(self, run, host, status):
        """Yield what is not as it has to be, in words; what costs least to see comes first."""
        server = functools.cache(lambda: self.admin.server(run.server))
        record = functools.cache(lambda: self.admin.migration(run.server, run.migration))
        other = next(name for name in steering.HOSTS if name != host)
        table = (
            ('running on', [host], lambda: [
                name for name in steering.HOSTS if run.server in self.running(name)]),
            ('defined on', [host], lambda: [
                name for name in steering.HOSTS if run.server in self.domains(name)]),
            ('records', [], lambda: [path.name for name in steering.HOSTS for path in sorted(
                self.stack.state_path(name).joinpath('migpolicy', 'recovery').glob('*.json'))]),
            ('files elsewhere', False,
             (self.stack.where.host_instances(other) / run.server).exists),
            ('migration', status, lambda: record()['status']),
            ('server', ('ACTIVE', None, host, False), lambda: (
                server()['status'], server()['OS-EXT-STS:task_state'],
                server()['OS-EXT-SRV-ATTR:host'], server()['locked'])),
            ('allocations', [host], lambda: self.admin.allocations(run.server)),
            ('of the migration', [], lambda: self.admin.allocations(record()['uuid'])),
            # Not its status: neutron leaves it DOWN where OVN does not let it go down first.
            ('ports', [(host, {host: 'ACTIVE'}, host)] if run.has_port else [], lambda: [
                (port['binding:host_id'], self.admin.bindings(port['id']),
                 self.stack.plugged_into(port['id'])) for port in self.admin.ports(run.server)]))
        for what, wanted, look in table:
            found = look()
            if found != wanted:
                yield f'{what}: {found} and not {wanted}'

    def running(self, host):
        connection = self.stack.hosts[host].connect()
        flags = libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING
        return [domain.UUIDString() for domain in connection.listAllDomains(flags)]


class CopyTests(RecoveryTest):
    """It is killed in the middle of a migration, and comes back."""

    def test_in_the_copy_and_back_before_it_is_over(self):
        run = self.in_passes(max_downtime_ms=1000, max_bandwidth_mib_s=400)
        self.kill()
        self.start_again()
        self.assertIn('recovery: watch', ' '.join(self.wait_watched(run)))
        self.admin.tune(run.server, run.migration, bandwidth_mib_s=400)
        self.assert_agree(run, 'n2', 'completed')
        self.assert_promise(run, 1000)

    def test_in_the_copy_and_cancelled_after_it(self):
        run = self.in_passes()
        self.kill()
        self.start_again()
        lab_client.wait(lambda: self.admin.forecast(run.server, run.migration)['phase'],
                        lambda phase: phase == 'passes', steering.MIGRATION_TIMEOUT_S,
                        'the migration to be watched again')
        self.admin.abort(run.server, run.migration)
        self.assert_agree(run, 'n1', 'cancelled')

    def test_in_the_copy_and_back_when_it_is_over(self):
        self.stack.hosts.shape('n1', rate_mib_s=50)
        self.addCleanup(self.stack.hosts.shape, 'n1')
        run = self.start(QUIET)
        self.admin.wait_migration(run.server, run.migration, status={'running'})
        lab_client.wait(lambda: run.records('sample'), bool, steering.MIGRATION_TIMEOUT_S,
                        'memory to be copied')
        self.kill()
        self.wait_gone(run)
        self.start_again()
        self.assert_agree(run, 'n2', 'completed')

    def test_in_post_copy(self):
        run = self.in_post_copy()
        self.kill()
        self.start_again()
        self.stack.hosts.shape('n1')
        self.assert_agree(run, 'n2', 'completed')

    def test_post_copy_breaks_off_and_is_taken_up(self):
        run = self.in_post_copy()
        domain = self.stack.hosts['n1'].connect().lookupByUUIDString(run.server)
        # libvirt hears of it from QEMU later than its own call returns.
        lab_client.wait(lambda: tuple(domain.state()), lambda state: state == (
            libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY),
            steering.MIGRATION_TIMEOUT_S, 'libvirt to know of post-copy')
        # Broken off before it runs there, the destination's QEMU ends, and its half is lost.
        self.assertTrue(run.beats.wait_for_beats(20, log=1))
        domain.abortJobFlags(libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY)
        lab_client.wait(lambda: [one['text'] for one in run.records('event')],
                        lambda texts: any('being resumed' in text for text in texts),
                        steering.MIGRATION_TIMEOUT_S, 'post-copy to be resumed')
        self.stack.hosts.shape('n1')
        self.assert_agree(run, 'n2', 'completed')
