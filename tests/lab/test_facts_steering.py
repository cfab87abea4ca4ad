# SPDX-License-Identifier: Apache-2.0
"""Facts: what may be changed while a migration runs, and what is heard of it."""

from __future__ import annotations

import subprocess

import libvirt

from lab import domain
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from tests.lab import base
from tests.lab import facts

MIB = 1 << 20


class TestMeasuring(base.HostsTest):
    """What QEMU finds out of a guest before its migration."""

    def measure(self, **guest):
        self.boot(memory_mib=256, **guest)
        hands = guest_mod.MigratingGuest(lambda: self.guest.domain)
        hands.start_measuring()
        [found] = domain.wait_until(
            lambda: [value for value in [hands.measured()] if value is not None],
            what='QEMU to have measured')
        return found / MIB

    def test_a_second_of_what_a_guest_dirties(self):
        # 128 pages are looked at: one of them is 2 MiB.
        found = self.measure(set_mib=200, rate_mib_s=100)
        self.assertGreater(found, 60)
        self.assertLess(found, 160)
        self.assert_beats('n1')

    def test_no_more_than_its_set(self):
        self.assertLess(self.measure(set_mib=32, rate_mib_s=100), 60)

    def test_a_migrating_guest_is_not_measured(self):
        self.boot(memory_mib=256, set_mib=200, rate_mib_s=100)
        migration = self.endless()
        migration.wait_for(base.in_passes(1))
        hands = guest_mod.MigratingGuest(lambda: self.guest.domain)
        self.assertRaises(exception.GuestError, hands.start_measuring)
        self.assertTrue(migration.running)


class TestEvents(facts.EventFacts):
    pass


class TestDowntime(facts.DowntimeFacts):
    pass


class TestBandwidth(facts.DiskFacts):

    def test_a_raised_bandwidth_acts_on_the_running_pass(self):
        self.boot(memory_mib=128)
        migration = self.endless(10)
        before = migration.wait_for(lambda stats: stats.get('memory_bps'))
        self.assertAlmostEqual(10, before['memory_bps'] / MIB, delta=3)
        migration.domain.migrateSetMaxSpeed(50)
        after = migration.wait_for(lambda stats: stats.get('memory_bps', 0) > 40 * MIB)
        self.assertEqual(1, after['memory_iteration'])

    def test_the_dirty_rate_told_never_exceeds_the_send_rate(self):
        self.boot(rate_mib_s=200)
        migration = self.endless(20)
        stats = migration.wait_for(base.in_passes(4))
        told = stats['memory_dirty_rate'] * stats['memory_page_size'] / MIB
        self.assertLess(told, 30)

    def test_with_disks_the_cap_is_per_disk_and_memory_has_its_own(self):
        self.boot('idle', disks_mib=(64, 64))
        migration = self.endless(16)
        copying = migration.wait_for(lambda stats: stats.get('disk_processed', 0) > 0)
        self.assertEqual(128 * MIB, copying['disk_total'])
        self.assertFalse(copying['memory_total'])
        # This is for the memory: the disks keep their cap.
        migration.domain.migrateSetMaxSpeed(30)
        speeds = {job['speed'] for job in self.qmp('query-block-jobs')[0]}
        self.assertEqual({16 * MIB}, speeds)
        self.assertEqual(16, migration.domain.blockJobInfo('vdb', 0)['bandwidth'])
        migration.wait_for(base.in_passes(1))
        self.assertEqual(30 * MIB, self.qmp('query-migrate-parameters')[0]['max-bandwidth'])

    def test_a_disks_cap_can_be_changed_past_libvirt(self):
        self.boot('idle', disks_mib=(64,))
        migration = self.endless(2)
        migration.wait_for(lambda stats: stats.get('disk_processed', 0) > 0)
        [job] = self.qmp('query-block-jobs')[0]
        self.qmp('block-job-set-speed', device=job['device'], speed=200 * MIB)
        migration.wait_for(base.in_passes(1), timeout=15)

    def test_libvirt_tells_the_limit_that_qemu_has(self):
        self.boot('idle')
        hands = guest_mod.MigratingGuest(lambda: self.guest.domain)
        self.assertEqual(settings_mod.QEMU_LIMIT_MS, hands.max_downtime())
        hands.set_max_downtime(1234)
        self.assertEqual(1234, hands.max_downtime())

    def test_of_a_sparse_disk_libvirt_tells_what_is_allocated_and_qemu_what_is_copied(self):
        self.boot('idle', disks_mib=(64,))
        hands = guest_mod.MigratingGuest(lambda: self.guest.domain)
        self.assertEqual(64 * MIB, hands.disk_bytes(['vdb']))
        [image] = self.lab['n1'].images.glob('guest.0')
        subprocess.run(['fallocate', '--punch-hole', '--offset', '16MiB', '--length', '48MiB',
                        image], check=True)
        self.assertAlmostEqual(16 * MIB, hands.disk_bytes(['vdb']), delta=MIB)
        migration = self.endless(4)
        # A raw image has no backing file: QEMU goes through the holes, too.
        copying = migration.wait_for(lambda stats: stats.get('disk_processed', 0) > 0)
        self.assertEqual(64 * MIB, copying['disk_total'])

    def test_the_link_rate_cannot_be_told_before_libvirt_11(self):
        self.boot('idle')
        migration = self.migrate(params={'bandwidth.avail.switchover': 1000 * MIB}).wait()
        self.assertEqual(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
                         migration.error.get_error_code())


class TestThrottle(facts.ThrottleFacts):
    pass
