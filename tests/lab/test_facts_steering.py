# SPDX-License-Identifier: Apache-2.0
"""Facts: what may be changed while a migration runs, and what is heard of it."""

from __future__ import annotations

import subprocess
import time

import libvirt

from lab import domain
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from tests.lab import base

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


class TestEvents(base.HostsTest):

    def test_each_pass_and_the_end_are_told(self):
        self.boot(rate_mib_s=20)
        migration = self.migrate(params={'bandwidth': 40}).wait()
        self.assertIsNone(migration.error)
        numbers = [number for _, number in migration.iterations]
        self.assertEqual(list(range(1, len(numbers) + 1)), numbers)
        self.assertGreater(len(numbers), 2)
        completed = migration.completed
        self.assertEqual(numbers[-1], completed['memory_iteration'])
        self.assertGreaterEqual(completed['memory_processed'], 64 * MIB)
        self.assertGreaterEqual(completed['downtime'], completed['downtime_net'])

    def test_the_downtime_told_is_what_the_guest_felt(self):
        self.boot(rate_mib_s=20)
        migration = self.migrate(params={'bandwidth': 40}).wait()
        self.assert_beats('n2')
        [switch] = self.beats.switches()
        self.assertTrue(switch.same_guest)
        # Beats come every 10 ms, and the guest's clock runs on for a moment at both ends.
        self.assertAlmostEqual(migration.completed['downtime'], switch.blackout_ms, delta=80)

    def test_the_counter_begins_again_after_an_aborted_attempt(self):
        self.boot()
        first = self.endless()
        first.wait_for(base.in_passes(3))
        first.domain.abortJob()
        first.wait()
        second = self.endless()
        second.wait_for(base.in_passes(1))
        stats = second.wait_for(lambda _: len(second.iterations) >= 2)
        self.assertGreater(first.iterations[-1][1], 2)
        self.assertEqual(1, second.iterations[0][1])
        self.assertLessEqual(stats['memory_iteration'], 3)


class TestDowntime(base.HostsTest):

    def test_a_limit_set_before_the_start_holds_until_it_is_raised(self):
        self.boot()
        self.guest.domain.migrateSetMaxDowntime(1)
        migration = self.endless()
        migration.wait_for(base.in_passes(4))
        self.assertEqual(1, self.qmp('query-migrate-parameters')[0]['downtime-limit'])
        migration.domain.migrateSetMaxDowntime(3000)
        migration.wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')

    def test_the_highest_limit(self):
        self.boot('idle')
        highest = settings_mod.HIGHEST_LIMIT_MS
        self.guest.domain.migrateSetMaxDowntime(highest)
        self.assertRaises(libvirt.libvirtError, self.guest.domain.migrateSetMaxDowntime,
                          highest + 1)
        self.assertEqual(highest, self.qmp('query-migrate-parameters')[0]['downtime-limit'])

    def test_the_cap_does_not_bind_the_switchover(self):
        self.boot()
        migration = self.endless(20)
        stats = migration.wait_for(base.in_passes(3))
        self.assertGreater(stats['downtime'], 1000)
        migration.domain.migrateSetMaxDowntime(3000)
        migration.wait()
        self.assert_beats('n2')
        self.assertLess(self.beats.blackout_ms, 32 / 20 * 1000 / 2)

    def test_a_limit_scaled_by_link_and_cap_keeps_the_promise(self):
        link, cap, promise_ms = 80, 20, 700
        self.shape(rate_mib_s=link)
        self.boot()
        self.guest.domain.migrateSetMaxDowntime(promise_ms)
        migration = self.endless(cap)
        # 32 MiB take 1600 ms under the cap: QEMU would never switch within the promise ...
        migration.wait_for(base.in_passes(3))
        # ... although the link could do it in 400 ms.
        migration.domain.migrateSetMaxDowntime(promise_ms * link // cap)
        migration.wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')
        self.assertLess(self.beats.blackout_ms, promise_ms)
        self.assertGreater(self.beats.blackout_ms, 32 / link * 1000 / 2)


class TestBandwidth(base.HostsTest):

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

    def test_a_disk_in_sync_follows_what_is_written_whatever_its_cap(self):
        self.boot('idle', disks_mib=(8, 256))
        migration = self.endless(8)

        def small():
            return min(self.qmp('query-block-jobs')[0], key=lambda job: job['len'], default={})

        job = domain.wait_until(lambda: small() if small().get('ready') else None,
                                what='the small disk to be in sync')
        # 8 MiB at this rate take two hours.
        self.qmp('block-job-set-speed', device=job['device'], speed=1024)
        self.qmp('human-monitor-command', **{'command-line': (
            'qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "write -P 7 0 8M"')})
        domain.wait_until(lambda: small()['len'] >= 16 * MIB
                          and small()['offset'] == small()['len'],
                          what='what was written to be mirrored', still=lambda: migration.running)
        self.assertEqual(1024, small()['speed'])

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

    def test_libvirt_tells_when_a_disk_is_in_sync(self):
        self.boot('idle', disks_mib=(8, 256))
        seen = []
        connection = self.lab['n1'].connect()
        told = connection.domainEventRegisterAny(
            self.guest.domain, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
            lambda _conn, _domain, disk, kind, status, _opaque: seen.append((disk, status)),
            None)
        self.addCleanup(connection.domainEventDeregisterAny, told)
        migration = self.endless(8)
        domain.wait_until(lambda: ('vdb', libvirt.VIR_DOMAIN_BLOCK_JOB_READY) in seen,
                          what='the small disk to be in sync', still=lambda: migration.running)
        self.assertEqual([False, True], sorted(
            job['ready'] for job in self.qmp('query-block-jobs')[0]))

    def test_the_link_rate_cannot_be_told_before_libvirt_11(self):
        self.boot('idle')
        migration = self.migrate(params={'bandwidth.avail.switchover': 1000 * MIB}).wait()
        self.assertEqual(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
                         migration.error.get_error_code())


class TestThrottle(base.HostsTest):

    def limits(self, **values):
        arguments = {name.replace('_', '-'): value for name, value in values.items()}
        _, seconds = self.qmp('migrate-set-parameters', **arguments)
        self.assertLess(seconds, 1)

    def throttle(self, stats):
        return stats.get('auto_converge_throttle') or 0

    def armed(self, cap_mib_s=40):
        self.boot(set_mib=48)
        return self.endless(
            cap_mib_s,
            flags=libvirt.VIR_MIGRATE_AUTO_CONVERGE,
            params={libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL: 1,
                    libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT: 1})

    def test_it_is_held_off_then_set_then_lowered(self):
        # At a half it still writes twice the cap, so it does not end before it is looked at; and a
        # pass takes longer than a look on a busy machine.
        migration = self.armed(cap_mib_s=20)
        migration.wait_for(base.in_passes(1))
        self.limits(max_cpu_throttle=1)
        held = migration.wait_for(base.in_passes(5))
        self.assertLessEqual(self.throttle(held), 1)
        self.limits(max_cpu_throttle=50, cpu_throttle_increment=50)
        up = migration.wait_for(lambda stats: self.throttle(stats) > 1)
        self.assertEqual(50, self.throttle(up))
        self.assertLessEqual(up['memory_iteration'], held['memory_iteration'] + 3)
        seen = len(self.beats.beats())
        self.limits(max_cpu_throttle=30)
        down = migration.wait_for(lambda stats: self.throttle(stats) < 50)
        self.assertEqual(30, self.throttle(down))
        self.assertGreater(len(self.beats.beats()), seen)

    def test_a_throttled_guest_loses_beats_and_converges(self):
        migration = self.armed()
        migration.wait_for(base.in_passes(3))
        self.limits(max_cpu_throttle=90, cpu_throttle_increment=90)
        migration.wait_for(lambda stats: self.throttle(stats) == 90)
        began = time.monotonic()
        self.assertTrue(self.beats.wait_for_beats(10))
        now = time.monotonic()
        # Nine of ten are lost; at the edges some are not.
        self.assertGreater(self.beats.lost(began, now), (now - began) * 100 / 2)
        # 48 MiB at 80 MiB/s never got through 40 MiB/s within the limit: now they do.
        migration.wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')

    def test_the_maximum_cannot_be_below_the_initial_throttle(self):
        self.boot('idle')
        answer = self.assertRaises(KeyError, self.qmp, 'migrate-set-parameters',
                                   **{'cpu-throttle-initial': 20, 'max-cpu-throttle': 10})
        self.assertEqual("'return'", str(answer))
