# SPDX-License-Identifier: Apache-2.0
"""A guest that writes to a disk while it is copied, faster than it may be sent, on real hosts."""

from __future__ import annotations

import contextlib
import json
import random
import threading

import libvirt
import libvirt_qemu

from nova_migpolicy.monitor import outcome
from tests.lab import base
from tests.lab import steered

DISK_MIB = 256
WRITE_MIB = 2
WRITES_A_SECOND = 24
MIB = 1 << 20


class Writer:
    """Writes all over the guest's only data disk, through QEMU's own qemu-io, until it is stopped.

    On the source, where the guest runs, and until the copy is in sync: unlike a guest's, such a
    write would also come in the switchover, when QEMU has given up its disks and dies of it.

    :ivar writes: how often it was done
    """

    def __init__(self, guest):
        self._connection = guest.host.another_connection()
        self._domain = self._connection.lookupByName(guest.name)
        self._chance = random.Random(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.writes = 0
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _ask(self, command, **arguments):
        return json.loads(libvirt_qemu.qemuMonitorCommand(self._domain, json.dumps({
            'execute': command, 'arguments': arguments}), 0))['return']

    def _is_in_sync(self):
        return any(job['ready'] for job in self._ask('query-block-jobs'))

    def _run(self):
        # The guest leaves this host in the end.
        with contextlib.suppress(libvirt.libvirtError):
            while not self._stop.wait(1 / WRITES_A_SECOND) and not self._is_in_sync():
                place = self._chance.randrange(DISK_MIB // WRITE_MIB) * WRITE_MIB
                line = (f'qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend '
                        f'"write -P {self.writes % 250 + 1} {place}M {WRITE_MIB}M"')
                self._ask('human-monitor-command', **{'command-line': line})
                self.writes += 1


class TestBusyDisk(base.HostsTest):

    def move(self, deadline_s, **policy):
        # Its memory takes so long that the last write is over before the switchover.
        self.boot('idle', memory_mib=128, disks_mib=(DISK_MIB,))
        writer = Writer(self.guest)
        self.addCleanup(writer.stop)
        moving = steered.Move(
            self.guest, bandwidth_mib_s='20', timeout_seconds=str(deadline_s),
            timeout_seconds_per_gib='0', **policy)
        ended = moving.wait(deadline_s + 120)
        self.assertGreater(writer.writes, 100)
        return moving, ended

    def reasons(self, moving):
        return [(record['rule'], record['reason']) for record in moving.records('decision')]

    def test_it_is_raised_and_arrives(self):
        moving, ended = self.move(75, profile='balanced', max_bandwidth_mib_s='100')
        self.assertIs(outcome.End.COMPLETED, ended.end, (ended.reason, self.reasons(moving)))
        rule, reason = self.reasons(moving)[0]
        self.assertEqual('raise_bandwidth', rule)
        self.assertIn('to which the guest writes', reason)
        self.assert_beats('n2')

    def test_at_the_highest_rate_that_is_permitted_it_ends(self):
        moving, ended = self.move(30, profile='evacuate', max_bandwidth_mib_s='20')
        self.assertIs(outcome.End.CANCELLED, ended.end, self.reasons(moving))
        # That it will hardly arrive in time may have been said before.
        said = [one for one in self.reasons(moving) if one[0] != 'deadline']
        self.assertEqual(['on_timeout', 'on_timeout'], [rule for rule, _ in said])
        self.assertIn('aborted where the disks are not in sync', said[0][1])
        self.assertIn('to which the guest writes', said[1][1])
        self.assertEqual(['abort'], moving.done)
        self.assert_beats('n1')
        # By then it was copied once over, and what is left does not fall any more.
        later = [record for record in moving.records('sample')
                 if record.get('disk_processed_bytes', 0) > 2 * DISK_MIB * MIB]
        self.assertGreater(len(later), 3)
        self.assertEqual([(False, None)] * len(later), [
            (record['forecast']['converges'], record['forecast'].get('eta_s'))
            for record in later])
