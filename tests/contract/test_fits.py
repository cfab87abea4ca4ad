# SPDX-License-Identifier: Apache-2.0
"""What Nova knows of a server and its hosts gets into the table of what fits."""

import functools
import json
from unittest import mock

import libvirt
from nova import exception as nova_exception
from nova import objects

from nova_migpolicy.compute import driver
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from tests.contract import base

NEW = 10_001_000
EVACUATE = {'migpolicy:profile': 'evacuate'}
PARALLEL = {**EVACUATE, 'migpolicy:parallel_connections': '4'}


class TestFits(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.domain = base.FakeDomain()
        self.domain.migrateSetMaxDowntime = lambda limit_ms, flags=0: 0
        connection = mock.Mock()
        connection.getLibVersion.return_value = 9_000_000
        connection.getVersion.return_value = NEW
        self.tested = self.driver(self.domain, driver.LibvirtDriver)
        qmp = mock.Mock()
        qmp.qemuMonitorCommand = self.answer
        self.running = NEW
        self.patch(self.tested._host, 'get_connection', return_value=connection)
        self.patch(self.tested._host, '_wrap_libvirt_proxy', return_value=qmp)
        self.patch(self.tested._control, 'find', return_value=self.domain)
        self.node = self.patch(
            objects.ComputeNode, 'get_first_node_by_host_for_old_compat',
            return_value=objects.ComputeNode(hypervisor_version=NEW))

    def patch(self, *args, **kwargs):
        patch = mock.patch.object(*args, **kwargs)
        self.addCleanup(patch.stop)
        return patch.start()

    def answer(self, domain, text, flags):
        if json.loads(text)['execute'] != 'query-version':
            return json.dumps({'return': {}})
        return json.dumps({'return': {'qemu': {
            'major': self.running // 1_000_000, 'minor': self.running // 1000 % 1000,
            'micro': self.running % 1000}}})

    def migrate(self, extra_specs, **data):
        """Migrate; returns whether post-copy was made ready, and the notes."""
        seen = []

        def watch(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            seen.append(watched.in_force()['notes'])
            return outcome_mod.Outcome(outcome_mod.End.COMPLETED, 'because')

        migrate_data = self.migrate_data()
        for name, value in data.items():
            setattr(migrate_data, name, value)
        self.domain.calls.clear()
        with mock.patch.object(session_mod.Session, 'watch', watch):
            self.tested._live_migration(
                self.context, self.instance(extra_specs), 'dest', functools.partial(mock.Mock()),
                functools.partial(mock.Mock()), False, migrate_data)
        [(_, _, _, flags)] = [call for call in self.domain.calls if call[0] == 'migrate']
        return bool(flags & libvirt.VIR_MIGRATE_POSTCOPY), seen[0]

    def assert_left_out(self, word, made):
        ready, notes = made
        self.assertFalse(ready)
        self.assertEqual(1, len(notes), notes)
        self.assertIn(word, notes[0])

    def test_nothing_is_left_out_where_all_fits(self):
        for data in ({}, {'dst_wants_file_backed_memory': False}, {'block_migration': True}):
            self.assertEqual((True, []), self.migrate(EVACUATE, **data))
            self.assertEqual((True, []), self.migrate(PARALLEL, **data))

    def test_the_servers_devices(self):
        self.domain.definition = (
            '<domain><devices><hostdev mode="subsystem" type="mdev"/></devices></domain>')
        self.assert_left_out('VFIO', self.migrate(EVACUATE))

    def test_how_the_destination_keeps_memory(self):
        self.assert_left_out('file_backed_memory', self.migrate(
            EVACUATE, dst_wants_file_backed_memory=True))

    def test_disks_over_native_tls(self):
        for flags in ('_live_migration_flags', '_block_migration_flags'):
            setattr(self.tested, flags, getattr(self.tested, flags) | libvirt.VIR_MIGRATE_TLS)
        self.assertEqual((True, []), self.migrate(EVACUATE))
        self.assert_left_out('native TLS', self.migrate(EVACUATE, block_migration=True))

    def test_the_qemu_that_runs_the_server(self):
        self.running = 10_000_003
        self.assert_left_out('the QEMU that runs the server', self.migrate(PARALLEL))

    def test_the_qemu_that_is_installed_at_the_destination(self):
        self.node.return_value = objects.ComputeNode(hypervisor_version=10_000_003)
        self.assert_left_out("the destination's QEMU", self.migrate(PARALLEL))
        self.assertEqual('dest', self.node.call_args.args[-1])

    def test_a_database_that_does_not_know_it_is_survived(self):
        self.node.side_effect = nova_exception.ComputeHostNotFound(host='dest')
        self.assertEqual((True, []), self.migrate(PARALLEL))
        self.assertIn('QEMU on dest is not known', self.log.output)

    def test_what_changes_nothing_is_not_asked_for(self):
        self.migrate(EVACUATE)
        self.migrate({})
        self.node.assert_not_called()
