# SPDX-License-Identifier: Apache-2.0
"""The contest's peer `nova` on the model against the real stock driver of Nova.

Nova's own timers are made as short as its options permit: with the shipped ones a step of the
ladder takes 150 s and more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json

import libvirt
import libvirt_qemu

from bench.contest import engines
from bench.contest import on_model
from bench.contest.peers import nova
from bench.contest import workloads
from lab import client as lab_client
from lab import domain as lab_domain
from lab import guests
from tests.stack.support import base

CAP_MIB_S = 40
OPTIONS = nova.Options(live_migration_downtime=500, live_migration_downtime_steps=3,
                       live_migration_downtime_delay=3, live_migration_completion_timeout=7)
MEMORY_MIB = 128
# Its disk of 1 MiB is mirrored, and Nova counts each device as 2 GiB: a step takes 12 s.
DISK_MIB = 1
# What Nova and libvirt do before QEMU begins and after it is done, and Nova's poll.
AROUND_S = 4.0
QUERY = json.dumps({'execute': 'query-migrate-parameters'})


class PeerTest(base.StackTest):

    driver = 'stock'
    nova_conf = {'libvirt': {'live_migration_bandwidth': CAP_MIB_S,
                             **dataclasses.asdict(OPTIONS)}}

    def limits(self, server, status):
        """Migrate a server with Nova's own driver; the limits that QEMU had, and the seconds."""
        domain = self.stack.hosts['n1'].another_connection().lookupByUUIDString(server)
        migration = self.admin.live_migrate(server)
        seen = []

        def look():
            # A domain leaves while it is looked at, and that is the end that is waited for.
            with contextlib.suppress(libvirt.libvirtError):
                stats = domain.jobStats()
                if stats.get('memory_iteration'):
                    limit = json.loads(libvirt_qemu.qemuMonitorCommand(
                        domain, QUERY, 0))['return']['downtime-limit']
                    if not seen or seen[-1][0] != limit:
                        seen.append((limit, stats['time_elapsed'] / 1000))
                    return None
            record = self.admin.migration(server, migration)
            return record if record['status'] in lab_client.FINAL else None

        record = lab_domain.wait_until(look, timeout=90, what='its end')
        self.assertIn(record['status'], status)
        return seen

    def on_model(self, **guest):
        [workload] = workloads.parse([{
            'name': 'guest', 'memory_mib': MEMORY_MIB, 'link_mib_s': 1000,
            'bandwidth_mib_s': CAP_MIB_S,
            'policy': {'max_downtime_ms': 500, 'timeout_seconds': 0,
                       'timeout_seconds_per_gib': 0}, **guest}], 'test')
        task = engines.Task(workload.task.policy, MEMORY_MIB, DISK_MIB)
        return on_model.play(dataclasses.replace(workload, task=task), nova.stock(task, OPTIONS))

    def check(self, kind, status, end, **guest):
        flavor = self.admin.flavor(f'peer-{guest["set_mib"]}', MEMORY_MIB, disk_gib=0)
        server = self.boot(guests.Guest(kind, MEMORY_MIB, **guest), flavor=flavor)
        real = self.limits(server, status)
        seen = self.on_model(pattern=kind, writable_set_mib=guest['set_mib'],
                             dirty_mib_s=guest['rate_mib_s'])
        self.assertEqual(end, seen.end)
        mine = [(action.limit_ms, at_s) for at_s, action in seen.applied
                if action.name == 'set_max_downtime']
        # QEMU may be seen with what it had before Nova's first poll, too.
        real = [one for one in real if one[0] in {limit for limit, _ in mine}]
        # A guest that gets little of a busy machine writes less, and may fit sooner.
        expected = [limit for limit, _ in mine]
        self.assertEqual(expected[:len(real)] if end == 'completed' else expected,
                         [limit for limit, _ in real])
        for (limit, at_s), (_, real_s) in zip(mine, real, strict=False):
            self.assertGreater(real_s, at_s - AROUND_S, limit)
        return seen, expected

    def test_a_guest_that_needs_a_higher_step(self):
        """What it has dirtied in a pass fits into the second step, and not into the first."""
        seen, expected = self.check(
            'sweep', ('completed',), 'completed', set_mib=14, rate_mib_s=70)
        self.assertEqual([166, 277], expected)
        self.assertLess(abs(seen.seconds - 12), AROUND_S)

    def test_a_guest_that_never_fits_is_aborted(self):
        # Nova 34 does not call an aborted migration cancelled.
        seen, expected = self.check('sweep', ('cancelled', 'error', 'failed'), 'aborted',
                                    set_mib=64, rate_mib_s=80)
        self.assertEqual([166, 277, 388], expected)
        self.assertLess(abs(seen.seconds - 28), AROUND_S)
