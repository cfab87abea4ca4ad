# SPDX-License-Identifier: Apache-2.0
"""The same facts with Debian 13's libvirt 11.3 and QEMU 10.0, and what is new there."""

from __future__ import annotations

from tests.lab import base
from tests.lab import facts

MIB = 1 << 20


class TestHosts(base.Trixie, base.HostsTest):

    def test_they_are_newer(self):
        connection = self.lab['n1'].connect()
        self.assertGreaterEqual(connection.getLibVersion(), 11_001_000)
        self.assertGreaterEqual(connection.getVersion(), 10_000_000)

    def test_the_link_rate_can_be_told(self):
        # In MiB/s. QEMU then knows what the limit means at the switchover, whatever the cap is.
        self.shape(rate_mib_s=80)
        self.boot(set_mib=24)
        self.guest.domain.migrateSetMaxDowntime(500)
        migration = self.migrate(params={'bandwidth': 10, 'bandwidth.avail.switchover': 80})
        migration.wait_for(base.in_passes(1))
        told = self.qmp('query-migrate-parameters')[0]['avail-switchover-bandwidth']
        self.assertEqual(80 * MIB, told)
        migration.wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')
        # Some 24 MiB were left at the switchover; at the cap they would be too much for it.
        self.assertGreater(self.beats.blackout_ms, 250)


class TestEvents(base.Trixie, facts.EventFacts):
    pass


class TestDowntime(base.Trixie, facts.DowntimeFacts):
    pass


class TestDisks(base.Trixie, base.HostsTest):

    _facts = facts.DiskFacts
    test_ready_is_told = _facts.test_libvirt_tells_when_a_disk_is_in_sync
    test_in_sync = _facts.test_a_disk_in_sync_follows_what_is_written_whatever_its_cap


class TestThrottle(base.Trixie, facts.ThrottleFacts):
    pass


class TestAbort(base.Trixie, facts.AbortFacts):
    pass


class TestSuspend(base.Trixie, facts.SuspendFacts):
    pass


class TestPostCopy(base.Trixie, facts.PostCopyFacts):
    pass
