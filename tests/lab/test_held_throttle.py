# SPDX-License-Identifier: Apache-2.0
"""A throttle that is held before the start stays with a guest that stays, and is freed."""

from __future__ import annotations

import libvirt
import libvirt_qemu

from nova_migpolicy.monitor import guest as guest_mod
from tests.lab import base

#: QEMU's own
DEFAULTS = {'cpu-throttle-initial': 20, 'cpu-throttle-increment': 10, 'max-cpu-throttle': 99,
            'throttle-trigger-threshold': 50}
# As the plugin starts one that may be slowed; libvirt brings these two back at the end of the job.
ARMED = {libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL: 1,
         libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT: 1}


class TestHeldThrottle(base.HostsTest):
    """libvirt 9.0, QEMU 7.2."""

    def setUp(self):
        super().setUp()
        self.boot(set_mib=48)
        self.calls = guest_mod.MigratingGuest(
            lambda: self.guest.domain,
            lambda domain, text: libvirt_qemu.qemuMonitorCommand(domain, text, 0))

    def parameters(self):
        found, _ = self.qmp('query-migrate-parameters')
        return {name: found[name] for name in DEFAULTS}

    def held(self):
        """Hold it, and migrate as the plugin does, into the passes."""
        self.assertEqual(DEFAULTS, self.parameters())
        self.calls.hold_throttle()
        migration = self.endless(40, flags=libvirt.VIR_MIGRATE_AUTO_CONVERGE, params=ARMED)
        migration.wait_for(base.in_passes(2))
        return migration

    def stocks(self):
        """Migrate as Nova's own driver does; return what libvirt says when it has gone on."""
        migration = self.endless(20, flags=libvirt.VIR_MIGRATE_AUTO_CONVERGE)
        return migration, migration.wait_for(
            lambda stats: (stats.get('memory_iteration') or 0) >= 6 or self.throttle(stats) > 1)

    def end(self, migration):
        migration.domain.abortJob()
        migration.wait()

    @staticmethod
    def throttle(stats):
        return stats.get('auto_converge_throttle') or 0

    def test_it_stays_with_a_guest_that_stays_until_it_is_freed(self):
        # Whoever held it has died: nobody frees it.
        self.end(self.held())
        self.assertEqual((1, 100), (self.parameters()['max-cpu-throttle'],
                                    self.parameters()['throttle-trigger-threshold']))
        migration, stats = self.stocks()
        self.assertLessEqual(self.throttle(stats), 1)
        self.end(migration)
        self.calls.free_throttle()
        self.assertEqual(DEFAULTS, self.parameters())
        migration, stats = self.stocks()
        self.assertGreater(self.throttle(stats), 1)
        self.end(migration)
        self.assertEqual(DEFAULTS, self.parameters())

    def test_it_does_not_go_with_a_guest_that_goes(self):
        migration = self.held()
        migration.domain.migrateSetMaxDowntime(10_000, 0)
        migration.wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')
        self.guest.host = self.lab['n2']
        self.assertEqual(DEFAULTS, self.parameters())


class TestTrixie(base.Trixie, TestHeldThrottle):
    """libvirt 11.3, QEMU 10.0."""
