# SPDX-License-Identifier: Apache-2.0
"""Driver, session and monitor together, in Nova's own threads: a whole migration each."""

import json
import threading

import fixtures
import libvirt
import libvirt_qemu
from nova import objects

from nova_migpolicy.compute import driver
from nova_migpolicy import exception
from nova_migpolicy.monitor import journal as journal_mod
from tests.contract import base
from tests.contract import libvirtd


class TogetherCase(base.ContractCase):
    """A driver over a domain with a script."""

    def setUp(self):
        super().setUp()
        self.set_option('virt_type', 'qemu', 'libvirt')
        # Each pass of a script is looked at, however soon it comes after the last.
        self.useFixture(fixtures.MonkeyPatch(
            'nova_migpolicy.engine.estimation.passes.LEAST_GAP_S', 0.0))
        self.explained = []
        self.useFixture(fixtures.MockPatchObject(
            driver.nova_records, 'explain', lambda *args: self.explained.append(args[-1])))
        self.qmp = []
        self.useFixture(fixtures.MockPatchObject(
            libvirt_qemu, 'qemuMonitorCommand', self.monitor_command))
        self.ends = []

    def monitor_command(self, domain, command, flags):
        self.qmp.append((threading.get_ident(), json.loads(command)))
        return '{"return": {}}'

    def post(self, context, instance, dest, block_migration, migrate_data):
        self.ends.append(('post', dest, block_migration))

    def recover(self, context, instance, dest, migrate_data, migration_status='error'):
        self.ends.append(('recover', dest, migration_status))

    def migrate(self, script, **specs):
        """Run a migration to its end; returns its journal's records."""
        self.domain = libvirtd.Domain(script)
        self.tested = self.driver(self.domain, driver.LibvirtDriver)
        # Only now: their signatures are among what is checked when a driver is made.
        for kind in (objects.Instance, objects.Migration):
            self.useFixture(fixtures.MockPatchObject(kind, 'save', lambda self: None))
        for name, value in (('get_connection', lambda: self.domain.connection),
                            ('_connect', lambda uri, read_only: self.domain.connection)):
            self.useFixture(fixtures.MockPatchObject(self.tested._host, name, value))
        self.server = self.instance({f'migpolicy:{key}': value for key, value in specs.items()})
        data = self.migrate_data()
        self.tested._live_migration(
            self.context, self.server, 'dest', self.post, self.recover, False, data)
        self.assertEqual(({}, {}), (self.tested._current, self.tested.active_migrations))
        self.assertEqual({}, self.domain.connection.events)
        return list(journal_mod.read(self.tested._journals / f'{data.migration.uuid}.jsonl'))

    def kinds(self, records, kind):
        return [record for record in records if record['kind'] == kind]


class TestTogether(TogetherCase):

    def test_it_completes(self):
        def script(domain):
            for number, left_mib in ((1, 256), (2, 30), (3, 4)):
                domain.starts_pass(number, left_mib=left_mib)
            domain.completes(42)

        records = self.migrate(script, bandwidth_mib_s='60', max_downtime_ms='400')
        self.assertEqual([('post', 'dest', False)], self.ends)
        [(_, destination, params, _)] = [
            call for call in self.domain.calls if call[0] == 'migrate']
        self.assertIn('dest', destination)
        self.assertEqual(60, params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH])
        self.assertIn('<uuid>' + base.UUID, params[libvirt.VIR_MIGRATE_PARAM_DEST_XML])
        samples = self.kinds(records, 'sample')
        self.assertEqual([1, 2, 3], [one['iteration'] for one in samples if one['boundary']])
        self.assertEqual([256, 30, 4], [
            one['memory_remaining_bytes'] >> 20 for one in samples if one['boundary']])
        [end] = self.kinds(records, 'end')
        self.assertEqual(('completed', 42, 300 << 20), (
            end['outcome'], end['downtime_ms'], end['memory_sent_bytes']))
        self.assertEqual([], self.explained)
        self.assertNotIn(('abort',), self.domain.calls)
        self.assertEqual([], self.qmp)

    def test_it_is_cancelled_through_the_driver(self):
        def script(domain):
            domain.starts_pass(1, left_mib=256)
            self.tested.live_migration_abort(self.server)
            domain.is_aborted()

        records = self.migrate(script)
        self.assertEqual([('recover', 'dest', 'cancelled')], self.ends)
        self.assertEqual(1, self.domain.calls.count(('abort',)))
        [end] = self.kinds(records, 'end')
        self.assertEqual('cancelled', end['outcome'])
        self.assertIn('API', end['reason'])
        self.assertEqual([end['reason']], self.explained)
        [action] = self.kinds(records, 'action')
        self.assertEqual(('abort', True), (action['action'], action['done']))

    def test_it_is_completed_by_force_through_the_driver(self):
        def script(domain):
            domain.starts_pass(1, left_mib=256)
            domain.starts_pass(2, left_mib=200)
            self.tested.live_migration_force_complete(self.server)
            if not paused.wait(libvirtd.TIMEOUT_S):
                raise AssertionError('nobody paused it')
            domain.completes(900)

        def suspend(domain):
            domain.calls.append(('suspend',))
            paused.set()
            return 0

        paused = threading.Event()
        self.useFixture(fixtures.MonkeyPatch(
            'tests.contract.libvirtd.Domain.suspend', suspend))
        records = self.migrate(script, remedies='none', on_stall='continue')
        self.assertEqual([('post', 'dest', False)], self.ends)
        self.assertIn(('suspend',), self.domain.calls)
        self.assertEqual(['pause'], [one['action'] for one in self.kinds(records, 'action')])

    def test_it_fails(self):
        def script(domain):
            domain.starts_pass(1, left_mib=256)
            raise libvirtd.error(libvirt.VIR_ERR_INTERNAL_ERROR, 'QEMU there has died')

        records = self.migrate(script)
        self.assertEqual([('recover', 'dest', 'error')], self.ends)
        self.assertNotIn(('abort',), self.domain.calls)
        [end] = self.kinds(records, 'end')
        self.assertEqual('failed', end['outcome'])
        self.assertIn('QEMU there has died', end['reason'])
        self.assertEqual([end['reason']], self.explained)

    def test_the_call_fails_though_the_guest_has_gone(self):
        """Where the source has it no more, the guest must not be given up there."""
        def script(domain):
            domain.starts_pass(1, left_mib=256)
            domain.where = libvirtd.GONE
            raise libvirtd.error(libvirt.VIR_ERR_RPC, 'the connection broke')

        records = self.migrate(script)
        self.assertEqual([('post', 'dest', False)], self.ends)
        self.assertEqual('completed', self.kinds(records, 'end')[0]['outcome'])

    def test_monitor_commands_before_and_after(self):
        """A throttle is held off before the start, and freed for a guest that stays."""
        def script(domain):
            before.append(len(self.qmp))
            domain.starts_pass(1, left_mib=256)
            self.tested.live_migration_abort(self.server)
            domain.is_aborted()

        before = []
        self.migrate(script, remedies='auto_converge', max_throttle_percent='80')
        self.assertEqual([1], before)
        commands = [command for _, command in self.qmp]
        self.assertEqual(['migrate-set-parameters'] * 2, [one['execute'] for one in commands])
        held, freed = (one['arguments']['max-cpu-throttle'] for one in commands)
        self.assertEqual((1, 99), (held, freed))
        [(*_, flags)] = [call for call in self.domain.calls if call[0] == 'migrate']
        self.assertTrue(flags & libvirt.VIR_MIGRATE_AUTO_CONVERGE)


class TestConnection(base.ContractCase):
    """The connection for control calls, and what becomes of it when libvirtd is restarted."""

    def setUp(self):
        super().setUp()
        self.opened = []
        self.domain = libvirtd.Domain(None)
        self.tested = self.driver(self.domain, driver.LibvirtDriver)._control
        host = self.tested._host
        self.useFixture(fixtures.MockPatchObject(host, '_connect', self.connect))

    def connect(self, uri, read_only):
        self.assertFalse(read_only)
        self.opened.append(libvirtd.Connection(self.domain))
        return self.opened[-1]

    def test_it_is_opened_when_it_is_needed_and_kept(self):
        guest = self.tested.guest(base.UUID, allow_qmp=False)
        self.assertEqual([], self.opened)
        for _ in range(2):
            self.assertEqual(libvirtd.RUNNING, guest.state())
            self.assertEqual(libvirtd.RUNNING,
                             self.tested.guest(base.UUID, allow_qmp=False).state())
        self.assertEqual(1, len(self.opened))

    def test_a_dead_one_is_replaced(self):
        self.tested.find(base.UUID)
        self.opened[0].alive = False
        self.assertIs(self.domain, self.tested.find(base.UUID))
        self.assertEqual([1, 1], [one.looked_up for one in self.opened])
        self.tested.find(base.UUID)
        self.assertEqual(2, len(self.opened))

    def test_a_guest_whose_connection_died_is_found_on_the_next(self):
        guest = self.tested.guest(base.UUID, allow_qmp=False)
        guest.set_bandwidth(5)

        def refuse(*args):
            raise libvirtd.error(libvirt.VIR_ERR_RPC, 'Cannot write data: Broken pipe')

        self.useFixture(fixtures.MockPatchObject(self.domain, 'migrateSetMaxSpeed', refuse))
        self.opened[0].alive = False
        self.assertRaises(exception.GuestError, guest.set_bandwidth, 6)
        self.domain = libvirtd.Domain(None)
        guest.set_bandwidth(7)
        self.assertEqual(2, len(self.opened))
        self.assertEqual([('speed', 7)], self.domain.calls)

    def test_a_libvirt_that_is_away_is_asked_again(self):
        def refuse(uri, read_only):
            raise libvirtd.error(libvirt.VIR_ERR_NO_CONNECT, 'no daemon')

        guest = self.tested.guest(base.UUID, allow_qmp=False)
        self.assertEqual(libvirtd.RUNNING, guest.state())
        self.opened[0].alive = False
        guest._found = None
        with fixtures.MockPatchObject(self.tested._host, '_connect', refuse):
            self.assertRaises(exception.GuestError, guest.state)
        self.assertEqual(libvirtd.RUNNING, guest.state())
        self.assertEqual(2, len(self.opened))
