# SPDX-License-Identifier: Apache-2.0
"""The written record that the driver makes of a migration: what is in it, when, and how long."""

import errno
import functools
import os
from unittest import mock

from nova import objects
from nova.objects import base as objects_base
from nova.objects import migrate_data as migrate_data_mod

from nova_migpolicy.compute import driver
from nova_migpolicy.compute import kept
from nova_migpolicy import exception
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from tests.contract import base
from tests.contract import computing
from tests.contract import handing

TOKEN = 'gAAAAABmToKeNtOkEn'
Written = evidence.Written


class TestKept(handing.MigrationCase):
    """A driver whose migration ends in the way that a test says."""

    volumes = computing.ManagerCase.volumes

    def setUp(self):
        super().setUp()
        self.records = self.tested._records
        self.context.auth_token = TOKEN
        self.context.service_catalog = [{'type': 'volumev3', 'name': TOKEN}]
        self.ends = tuple(functools.partial(end, source_bdms=self.volumes())
                          for end in (self.post, self.recover))
        for name, end in (('post', self.post), ('recover', self.recover)):
            end.side_effect = functools.partial(self.note, name)
        self.seen = {}

    def note(self, moment, *args, **kwargs):
        self.seen[moment] = [record.written for record in self.records.all()]

    def migrate_data(self):
        data = super().migrate_data()
        data.bdms = [objects.LibvirtLiveMigrateBDMInfo(
            serial='v1', bus='virtio', dev='vdb', type='disk', format=None, boot_index=None,
            connection_info_json='{"serial": "v1"}')]
        data.vifs = [migrate_data_mod.VIFMigrateData(
            port_id='55555555-2222-3333-4444-555555555555', vnic_type='normal', vif_type='ovs',
            vif_details_json='{}', profile_json='{}', host='dest')]
        data.dst_numa_info = objects.LibvirtLiveMigrateNUMAInfo(
            cpu_pins={'0': {1, 2}}, cell_pins={'0': {0}}, emulator_pins={3})
        data.image_type, data.instance_relative_path = 'qcow2', '11111111'
        return data

    def watch_for(self, end):
        """Run a migration that ends so; returns the record that is there meanwhile."""
        seen = []

        def watch(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            [path] = self.records._folder.iterdir()
            seen.append((self.records.all(), path.read_bytes(), path.stat().st_mode & 0o777))
            return outcome_mod.Outcome(end, 'because')

        self.server, self.data = self.instance({'migpolicy:on_stall': 'pause'}), (
            self.migrate_data())
        with mock.patch.object(driver.session_mod.Session, 'watch', watch), \
                mock.patch.object(driver.nova_records, 'explain'):
            self.tested._live_migration(
                self.context, self.server, 'dest', *self.ends, True, self.data)
        [([record], self.bytes, self.mode)] = seen
        return record

    def test_it_is_what_nova_needs_again(self):
        record = self.watch_for(outcome_mod.End.COMPLETED)
        self.assertEqual(
            (base.UUID, self.data.migration.uuid, base.CONF.host, 'dest', Written.COPYING, True,
             self.context.request_id, 'pause', 'flavor'),
            (record.server, record.migration, record.source, record.destination, record.written,
             record.block_migration, record.request_id, record.policy['fields']['on_stall'],
             record.policy['origins']['on_stall']))
        data, volumes = kept.objects_of(record, kept.context_of(record))
        self.assertIsInstance(data, objects.LibvirtLiveMigrateData)
        self.assertTrue(objects_base.obj_equal_prims(self.data, data))
        self.assertEqual(({1, 2}, {3}), (
            data.dst_numa_info.cpu_pins['0'], data.dst_numa_info.emulator_pins))
        self.assertEqual('ovs', data.vifs[0].vif_type)
        self.assertTrue(objects_base.obj_equal_prims(self.volumes(), volumes))
        self.assertIn('rbd', volumes[0].connection_info)

    def test_nobody_else_reads_it_and_no_token_is_in_it(self):
        self.watch_for(outcome_mod.End.COMPLETED)
        self.assertEqual(0o600, self.mode)
        self.assertIn(b'rbd', self.bytes)
        self.assertNotIn(TOKEN.encode(), self.bytes)

    def test_it_goes_at_the_end_which_it_names(self):
        for end, name, written in (
                (outcome_mod.End.COMPLETED, 'post', Written.FINISHING),
                (outcome_mod.End.FAILED, 'recover', Written.ROLLING_BACK),
                (outcome_mod.End.CANCELLED, 'recover', Written.ROLLING_BACK)):
            self.assertIs(Written.COPYING, self.watch_for(end).written)
            self.assertEqual([written], self.seen.pop(name))
            self.assertEqual({}, self.seen)
            self.assertEqual([], self.records.all())

    def test_it_stays_where_an_end_fails(self):
        for end, called, written in (
                (outcome_mod.End.COMPLETED, self.post, Written.FINISHING),
                (outcome_mod.End.FAILED, self.recover, Written.ROLLING_BACK)):
            called.side_effect = RuntimeError('no database')
            self.assertRaises(RuntimeError, self.watch_for, end)
            self.assertEqual([written], [record.written for record in self.records.all()])

    def test_it_stays_where_the_memory_is_on_both_hosts(self):
        self.assertRaises(driver.nova_records.PostCopyBroken, self.watch_for,
                          outcome_mod.End.BROKEN)
        self.assertEqual([Written.COPYING], [one.written for one in self.records.all()])

    def unwritten(self):
        """Migrate where nothing can be written down."""
        ends = []
        self.server, self.data = self.instance(), self.migrate_data()

        def watch(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            reporter.post_copy_started()
            reporter.policy_changed(watched.in_force())
            ends.append(self.records.all())
            return outcome_mod.Outcome(outcome_mod.End.COMPLETED, 'because')

        with mock.patch.object(driver.session_mod.Session, 'watch', watch):
            self.tested._live_migration(
                self.context, self.server, 'dest', *self.ends, False, self.data)
        self.assertEqual([[]], ends)
        self.post.assert_called_once()
        self.assertIn('is not recovered', self.log.output)

    def test_a_disk_that_is_full_costs_a_line(self):
        with mock.patch.object(os, 'fsync', side_effect=OSError(errno.ENOSPC, 'it is full')):
            self.unwritten()
        self.assertIn('it is full', self.log.output)

    def test_what_cannot_be_described_costs_a_line_and_an_older_record_goes(self):
        """One that says that nothing had been sent would be believed."""
        self.server, self.data = self.instance(), self.migrate_data()
        self.records.keep(kept.describe(
            self.context, self.server, 'dest', self.data.migration, self.data,
            block_migration=False, source_bdms=None, source='source',
            written=Written.PREPARING))
        with mock.patch.object(objects.LibvirtLiveMigrateData, 'obj_to_primitive',
                               side_effect=RuntimeError('no such version')):
            self.unwritten()
        self.assertIn('no such version', self.log.output)

    def test_nothing_is_sent_while_what_is_written_says_so_and_cannot_be_changed(self):
        """As on a disk that takes no writes any more, after an error."""
        self.server, self.data = self.instance(), self.migrate_data()
        record = kept.describe(
            self.context, self.server, 'dest', self.data.migration, self.data,
            block_migration=False, source_bdms=None, source='source', written=Written.PREPARING)
        self.records.keep(record)
        self.recover.side_effect = None
        broken = OSError(errno.EROFS, 'it takes no writes')
        with mock.patch('nova_migpolicy.written._replace', side_effect=broken), \
                mock.patch.object(os, 'unlink', side_effect=broken), \
                mock.patch.object(driver.nova_records, 'explain') as explain:
            self.tested._live_migration(
                self.context, self.server, 'dest', *self.ends, False, self.data)
        self.assertEqual([], self.domain.calls)
        self.assertEqual({'migration_status': 'cancelled', 'source_bdms': mock.ANY},
                         self.recover.call_args.kwargs)
        self.assertIn('neither replaced nor removed', explain.call_args.args[-1])
        self.assertEqual([record], self.records.all())

    def test_what_nova_cannot_read_is_refused_by_name(self):
        record = self.watch_for(outcome_mod.End.COMPLETED)
        newer = {**record.migrate_data, 'nova_object.version': '9.0'}
        other = objects.Flavor(id=1).obj_to_primitive()
        for given in (newer, other, {'nova_object.name': 'Nothing'}):
            changed = record_mod.Record.from_dict({**record.to_dict(), 'migrate_data': given})
            self.assertRaises(exception.BadRecord, kept.objects_of, changed, self.context)

    def test_a_volume_less_server_has_none(self):
        record = self.watch_for(outcome_mod.End.COMPLETED)
        changed = record_mod.Record.from_dict({**record.to_dict(), 'source_bdms': None})
        self.assertEqual(0, len(kept.objects_of(changed, self.context)[1]))
