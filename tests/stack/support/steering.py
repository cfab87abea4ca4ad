# SPDX-License-Identifier: Apache-2.0
"""What the policy tests of the running OpenStack have in common; the tests are in test_*.

Guests boot from a small image (no disk phase to speak of) under a bandwidth cap, on a link whose
rate the operator has given. The journal is read where nova-compute writes it.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from typing import Any

from lab import client as lab_client
from lab import guests
from lab import heartbeat
from nova_migpolicy.monitor import journal as journal_mod
from tests.stack.support import base

CAP_MIB_S = 50
# Far below what two lab hosts reach, so that a busy machine does not break the promise.
LINK_MIB_S = 100
# Never finishes under stock Nova at that cap.
BUSY = guests.Guest(kind='sweep', memory_mib=144, set_mib=128, rate_mib_s=80)
MIGRATION_TIMEOUT_S = 120.0
SETTLE_S = 20.0
HOSTS = ('n1', 'n2')


@dataclasses.dataclass
class Run:
    """One migration and what it left."""

    server: str
    source: str
    destination: str
    migration: int
    beats: heartbeat.Recorder
    path: Any
    status: str = ''
    has_port: bool = False

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The journal's records of a kind, so far."""
        if not self.path.exists():
            return []
        return [dict(record) for record in journal_mod.read(self.path) if record['kind'] == kind]

    @property
    def actions(self) -> list[str]:
        """The names of the actions that were carried out, in order."""
        return [record['action'] for record in self.records('action') if record['done']]


class SteeringTest(base.StackTest):
    """Runs migrations of guests whose flavor has a policy."""

    nova_conf = {'libvirt': {'live_migration_bandwidth': CAP_MIB_S},
                 'migpolicy': {'link_mib_s': LINK_MIB_S}}
    disk_gib = 0

    def start(self, guest: guests.Guest = BUSY, *, image: str | None = None, host: str = 'n1',
              disk_gib: int | None = None, owner: lab_client.Client | None = None,
              beats_first: int = 100, before: Callable[[str], object] = lambda server: None,
              port: bool = False,
              migpolicy: dict[str, object] | None = None, **policy: object) -> Run:
        """Boot a guest, wait until it works, and ask for its migration to the other host.

        :param host: where it is booted
        :param owner: whose server it is; only an admin may choose its host
        :param migpolicy: a policy for this request alone
        :param before: called with the server when it works, before its migration is asked for
        :param port: it has a port; its class has `ports`
        """
        base.SHARED.count += 1
        flavor = self.admin.flavor(
            f'policy-{base.SHARED.count}', guest.memory_mib,
            disk_gib=self.disk_gib if disk_gib is None else disk_gib,
            extra_specs={f'migpolicy:{key}': value for key, value in policy.items()})
        self.addCleanup(self.admin.compute, 'DELETE', f'/flavors/{flavor}')
        server = self.boot(guest, image=image, flavor=flavor, host=host, owner=owner, port=port)
        beats = heartbeat.Recorder(*(
            self.stack.where.host_instances(host) / server / 'console.log'
            for host in HOSTS))
        self.addCleanup(beats.stop)
        self.assertTrue(beats.wait_for_beats(beats_first), 'the guest does not beat')
        source = self.admin.host(server)
        destination = 'n2' if source == 'n1' else 'n1'
        before(server)
        migration = self.admin.live_migrate(server, destination, migpolicy=migpolicy)
        uuid = self.admin.migration(server, migration)['uuid']
        path = self.stack.state_path(source) / 'migpolicy' / 'journal' / f'{uuid}.jsonl'
        return Run(server, source, destination, migration, beats, path, has_port=port)

    def finish(self, run: Run) -> Run:
        """Wait for the end, and until Nova has settled."""
        found = self.admin.wait_migration(
            run.server, run.migration, timeout=MIGRATION_TIMEOUT_S)
        run.status = str(found['status'])
        self.admin.wait_server(run.server)
        return run

    def assert_moved(self, run: Run) -> None:
        """It runs on the destination, only there, and Nova knows."""
        self.assertEqual('completed', run.status)
        self.assert_on(run, run.destination, run.source)
        there = HOSTS.index(run.destination)
        self.assertTrue(run.beats.wait_for_beats(20, log=there), 'silent on the destination')
        switches = run.beats.switches()
        self.assertEqual([(HOSTS.index(run.source), there, True)], [
            (switch.source, switch.destination, switch.same_guest) for switch in switches])

    def assert_stayed(self, run: Run) -> None:
        """It runs on the source, only there, and Nova knows."""
        self.assertEqual('cancelled', run.status)
        self.assert_on(run, run.source, run.destination)
        self.assertTrue(run.beats.wait_for_beats(20, log=HOSTS.index(run.source)),
                        'silent on the source')
        self.assertEqual([], run.beats.switches())

    def assert_on(self, run: Run, here: str, not_here: str) -> None:
        """Nova and libvirt agree on where it is."""
        server = self.admin.server(run.server)
        self.assertEqual(('ACTIVE', None, here), (
            server['status'], server['OS-EXT-STS:task_state'], server['OS-EXT-SRV-ATTR:host']))
        self.assertIn(run.server, self.domains(here))
        self.assertNotIn(run.server, self.domains(not_here))
        self.assert_nothing_left(run, here, not_here)

    def assert_nothing_left(self, run: Run, here: str, not_here: str) -> None:
        """Placement knows of one host, and the other one has no files of the server."""
        self.assertEqual([here], self.admin.allocations(run.server))
        record = self.admin.migration(run.server, run.migration)
        self.assertEqual([], self.admin.allocations(record['uuid']))
        files = self.stack.where.host_instances(not_here) / run.server
        lab_client.wait(files.exists, lambda left: not left, SETTLE_S,
                        f'{not_here} to remove the files of the server')
        self.assertEqual(0, self.admin.server(run.server).get('progress', 0))

    def domains(self, host: str) -> list[str]:
        """The UUIDs of all domains that a host's libvirt knows."""
        connection = self.stack.hosts[host].connect()
        return [domain.UUIDString() for domain in connection.listAllDomains()]

    def assert_promise(self, run: Run, max_downtime_ms: int) -> None:
        """The blackout that the heartbeat shows is within the policy's."""
        blackout_ms = run.beats.blackout_ms
        self.assertIsNotNone(blackout_ms)
        # A beat comes each 10 ms, and may be seen late by as much on either side.
        self.assertLessEqual(blackout_ms, max_downtime_ms + 20)
