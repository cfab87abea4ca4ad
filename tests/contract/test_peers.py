# SPDX-License-Identifier: Apache-2.0
"""The rule set that stands in for Nova in the contest does what the installed Nova does."""

from unittest import mock

from nova.virt.libvirt import driver as libvirt_driver
from nova.virt.libvirt import migration

from bench.contest import engines
from bench.contest.peers import nova
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.policy import keys
from tests.contract import base

GIBS = (2, 2.5, 3.3, 8, 96)


class TestNova(base.ContractCase):

    def task(self, memory_mib):
        return engines.Task(keys.Policy(
            timeout_seconds=0, timeout_seconds_per_gib=0, max_downtime_ms=60_000), memory_mib)

    def test_the_defaults(self):
        options = base.CONF.libvirt
        self.assertEqual(
            (nova.DOWNTIME_MS, nova.STEPS, nova.DELAY_S_PER_GIB, nova.TIMEOUT_S_PER_GIB, 'abort',
             False, False),
            (options.live_migration_downtime, options.live_migration_downtime_steps,
             options.live_migration_downtime_delay, options.live_migration_completion_timeout,
             options.live_migration_timeout_action, options.live_migration_permit_post_copy,
             options.live_migration_permit_auto_converge))

    def test_the_least_downtime(self):
        self.assertRaises(ValueError, self.set_option, 'live_migration_downtime',
                          nova.LEAST_DOWNTIME_MS - 1, 'libvirt')

    def test_the_ladder(self):
        for highest_ms in (100, 333, 500):
            self.set_option('live_migration_downtime', highest_ms, 'libvirt')
            for gib in GIBS:
                self.assertEqual(tuple(migration.downtime_steps(gib)),
                                 nova.ladder(gib, highest_ms), gib)

    def test_what_counts_as_data(self):
        for memory_mib in (256, 2048, 2560, 8192):
            instance = mock.Mock(flavor=mock.Mock(memory_mb=memory_mib))
            self.assertEqual(
                libvirt_driver.LibvirtDriver._live_migration_data_gb(None, instance, []),
                nova.data_gib(self.task(memory_mib)))

    def theirs(self, gib, times):
        """What Nova's own functions do at these times, and when the timeout has run out."""
        guest = mock.Mock()
        steps = list(migration.downtime_steps(gib))
        limit_ms, done = None, []
        for at_s in times:
            if migration.should_trigger_timeout_action(
                    mock.Mock(), at_s, int(base.CONF.libvirt.live_migration_completion_timeout
                                           * gib), 'running'):
                return [*done, (at_s, None)]
            before = limit_ms
            limit_ms = migration.update_downtime(guest, mock.Mock(), limit_ms, steps, at_s)
            if limit_ms != before:
                done.append((at_s, limit_ms))
        return done

    def ours(self, memory_mib, times):
        pilot = nova.stock(self.task(memory_mib)).pilot
        done = []
        for at_s in times:
            decision = pilot.observe(samples.Sample(at_s))
            for action in decision.actions if decision else ():
                pilot.applied(action, at_s)
                done.append((at_s, None if isinstance(action, remedies.Abort)
                             else action.limit_ms))
        return done

    def test_poll_by_poll(self):
        for memory_mib in (1024, 3379):
            times = [count * nova.POLL_S for count in range(1, 5600)]
            theirs = self.theirs(nova.data_gib(self.task(memory_mib)), times)
            self.assertIsNone(theirs[-1][1])
            self.assertEqual(theirs, self.ours(memory_mib, times))
