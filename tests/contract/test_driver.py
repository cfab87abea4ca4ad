# SPDX-License-Identifier: Apache-2.0
"""How Nova's driver runs a migration: what it calls, in which order, with what."""

import threading
import time
from unittest import mock

import libvirt
from nova import exception as nova_exception
from nova import utils as nova_utils
from nova.virt.libvirt import driver as libvirt_driver
from nova.virt.libvirt import guest as libvirt_guest
from nova.virt.libvirt import host as libvirt_host

from nova_migpolicy.compute import compat
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from tests.contract import base


class Broken(Exception):
    """What a test throws."""


class Recording(libvirt_driver.LibvirtDriver):
    """Nova's driver with the two methods that are replaced, noting how they are called."""

    def _live_migration_operation(self, *args):
        self.operation_args = args
        if self.operation_error:
            raise self.operation_error

    def _live_migration_monitor(self, *args):
        self.monitor_args = args
        is_done = compat.is_done(args[-2])
        while not is_done():
            time.sleep(0.01)
        self.active = self.active_migrations.get(args[1].uuid)
        if self.monitor_error:
            raise self.monitor_error

    def live_migration_abort(self, instance):
        self.aborted = instance


class TestLiveMigration(base.ContractCase):

    def run_one(self, operation_error=None, monitor_error=None):
        self.domain = base.FakeDomain()
        self.tested = self.driver(self.domain, Recording)
        self.tested.operation_error = operation_error
        self.tested.monitor_error = monitor_error
        self.tested.aborted = None
        self.data = self.migrate_data()
        self.server = self.instance()
        self.tested._live_migration(
            self.context, self.server, 'dest', 'post', 'recover', False, self.data)

    def test_operation_and_monitor_get_what_we_expect(self):
        self.run_one()
        context, server, dest, block, data, guest, names = self.tested.operation_args
        self.assertEqual((self.context, self.server, 'dest', False, self.data, []),
                         (context, server, dest, block, data, names))
        self.assertIs(self.domain, guest._domain)
        (context, server, guest, dest, post, recover, block, data, future,
         paths) = self.tested.monitor_args
        self.assertEqual(
            (self.context, self.server, 'dest', 'post', 'recover', False, self.data, []),
            (context, server, dest, post, recover, block, data, paths))
        self.assertIs(self.domain, guest._domain)
        self.assertTrue(compat.is_done(future)())

    def test_force_complete_has_a_place_while_it_runs(self):
        self.run_one()
        self.assertEqual(0, len(self.tested.active))

    def test_monitors_error_stops_the_job_and_is_passed_on(self):
        self.assertRaises(Broken, self.run_one, monitor_error=Broken())
        self.assertIs(self.server, self.tested.aborted)

    def test_without_an_error_nothing_is_stopped(self):
        self.run_one()
        self.assertIsNone(self.tested.aborted)

    def test_operations_error_is_passed_on_from_32(self):
        if compat.nova_release()[0] == 31:
            self.run_one(operation_error=Broken())
        else:
            self.assertRaises(Broken, self.run_one, operation_error=Broken())


class TestMigrateCall(base.ContractCase):

    def call(self, domain, vm_state='active'):
        tested = self.driver(base.FakeDomain())
        tested._live_migration_operation(
            self.context, self.instance(vm_state=vm_state), 'dest', False, self.migrate_data(),
            libvirt_guest.Guest(domain), [])

    def test_stock(self):
        self.set_option('live_migration_bandwidth', 40, 'libvirt')
        domain = base.FakeDomain()
        self.call(domain)
        [(name, destination, params, flags)] = domain.calls
        self.assertEqual('migrate', name)
        self.assertIn('dest', destination)
        self.assertEqual(40, params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH])
        self.assertEqual(libvirt.VIR_MIGRATE_LIVE, flags)

    def test_through_our_domain(self):
        plan = migrate_call.make(
            base.policy(bandwidth_mib_s=70, remedies=('post_copy',)), migrate_call.Circumstances(
                paused=False, persistent_memory=False, tunnelled=False,
                nova_post_copy=False,
                allow_qmp=True, libvirt_version=9_000_000, qemu_version=7_002_000))
        domain, call = base.FakeDomain(), outcome_mod.MigrateCall()
        self.call(migrate_call.PlannedDomain(
            domain, plan, call, lambda feature, why: plan, lambda: False))
        [(_, destination, params, flags)] = domain.calls
        self.assertIn('dest', destination)
        self.assertEqual(70, params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH])
        self.assertEqual(libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_POSTCOPY, flags)
        self.assertTrue(call.started)

    def test_disks_that_are_copied(self):
        domain = base.FakeDomain()
        libvirt_guest.Guest(domain).migrate(
            'qemu+tcp://dest/system', migrate_disks=['vda', 'vdb'],
            flags=libvirt.VIR_MIGRATE_NON_SHARED_INC, bandwidth=9)
        [(_, _, params, flags)] = domain.calls
        self.assertEqual(['vda', 'vdb'], params[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS])
        self.assertTrue(flags & libvirt.VIR_MIGRATE_NON_SHARED_INC)

    def test_error_of_the_call_is_passed_on(self):
        def refuse():
            raise Broken
        self.assertRaises(Broken, self.call, base.FakeDomain(refuse))


class TestCommands(base.ContractCase):

    def test_abort_reaches_libvirt(self):
        domain = base.FakeDomain()
        self.driver(domain).live_migration_abort(self.instance())
        self.assertEqual([('abort',)], domain.calls)

    def test_force_complete_is_kept_for_the_monitor(self):
        tested, server = self.driver(base.FakeDomain()), self.instance()
        self.assertRaises(nova_exception.NoActiveMigrationForInstance,
                          tested.live_migration_force_complete, server)
        tested.active_migrations[server.uuid] = kept = []
        tested.live_migration_force_complete(server)
        self.assertEqual(['force-complete'], kept)

    def test_clearing_away(self):
        tested, server = self.driver(base.FakeDomain()), self.instance()
        tested.active_migrations[server.uuid] = []
        tested._clear_empty_migration(server)
        self.assertEqual({}, tested.active_migrations)
        tested._clear_empty_migration(server)

    def test_a_server_without_persistent_memory(self):
        self.assertEqual(
            [], self.driver(base.FakeDomain())._get_vpmems(self.instance()))


class TestThreads(base.ContractCase):

    def test_kind_of_threads(self):
        patched = threading.current_thread.__module__ != 'threading'
        self.assertEqual(not patched, compat.is_threaded())
        if compat.nova_release()[0] > 31:
            self.assertEqual(nova_utils.concurrency_mode_threading(), compat.is_threaded())

    def test_inbox_fits(self):
        inbox = compat.make_inbox()
        self.assertEqual(not compat.is_threaded(), isinstance(inbox, inbox_mod.PolledInbox))
        inbox.put(inbox_mod.CallReturned(0))
        self.assertEqual([inbox_mod.CallReturned(0)], inbox.wait(10))

    def test_proxy_passes_calls_on(self):
        target = mock.Mock()
        target.command.return_value = '{}'
        host = libvirt_host.Host.__new__(libvirt_host.Host)
        host._libvirt_proxy_classes = host._get_libvirt_proxy_classes(libvirt)
        self.assertEqual('{}', host._wrap_libvirt_proxy(target).command('x', 0))
        target.command.assert_called_once_with('x', 0)
