# SPDX-License-Identifier: Apache-2.0
"""A guest that writes to a disk while it is copied, faster than it may be sent, on real hosts."""

from __future__ import annotations

from lab import disk_writer
from nova_migpolicy.monitor import outcome as outcome_mod
from tests.lab import base
from tests.lab import steered

DISK_MIB = 256
WRITTEN_MIB_S = 48
MIB = 1 << 20


class TestBusyDisk(base.HostsTest):

    def move(self, deadline_s, **policy):
        # Its memory takes so long that the last write is over before the switchover.
        self.boot('idle', memory_mib=128, disks_mib=(DISK_MIB,))
        writer = disk_writer.DiskWriter(self.guest, DISK_MIB, WRITTEN_MIB_S)
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
        self.assertIs(outcome_mod.End.COMPLETED, ended.end, (ended.reason, self.reasons(moving)))
        rule, reason = self.reasons(moving)[0]
        self.assertEqual('raise_bandwidth', rule)
        self.assertIn('to which the guest writes', reason)
        self.assert_beats('n2')

    def test_at_the_highest_rate_that_is_permitted_it_ends(self):
        moving, ended = self.move(30, profile='evacuate', max_bandwidth_mib_s='20')
        self.assertIs(outcome_mod.End.CANCELLED, ended.end, self.reasons(moving))
        # That it will hardly arrive in time may have been said before.
        said = [one for one in self.reasons(moving) if one[0] != 'deadline']
        self.assertEqual(['on_timeout', 'on_timeout'], [rule for rule, _ in said])
        self.assertIn('aborted if the disks are not in sync', said[0][1])
        self.assertIn('which the guest dirties again', said[1][1])
        self.assertEqual(['abort'], moving.done)
        self.assert_beats('n1')
        # By then it was copied once over, and what is left does not fall any more.
        later = [record for record in moving.records('sample')
                 if record.get('disk_processed_bytes', 0) > 2 * DISK_MIB * MIB]
        self.assertGreater(len(later), 3)
        self.assertEqual([(False, None)] * len(later), [
            (record['forecast']['converges'], record['forecast'].get('eta_s'))
            for record in later])
