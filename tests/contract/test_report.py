# SPDX-License-Identifier: Apache-2.0
"""How a reason gets into Nova's instance action, and how Nova writes post-copy."""

import collections
from unittest import mock

import libvirt
from nova import exception as nova_exception
from nova import objects
from nova.virt.libvirt import migration as libvirt_migration

from nova_migpolicy.compute import nova_records
from tests.contract import base


class TestExplain(base.ContractCase):

    def explain(self, start=None, finish=None):
        event = objects.InstanceActionEvent
        with mock.patch.object(event, 'event_start', side_effect=start) as started, \
                mock.patch.object(event, 'event_finish', side_effect=finish) as finished, \
                mock.patch.object(event, 'event_finish_with_failure',
                                  side_effect=finish) as failed:
            nova_records.explain(self.context, self.instance(), 'source', 'no remedy can work')
        return started, finished, failed

    def test_reason_is_the_failure_of_an_event(self):
        started, finished, failed = self.explain()
        finished.assert_not_called()
        self.assertEqual((base.UUID, nova_records.EVENT_NAME), started.call_args[0][1:3])
        self.assertEqual('source', started.call_args[1]['host'])
        self.assertEqual((base.UUID, nova_records.EVENT_NAME), failed.call_args[0][1:3])
        self.assertEqual('no remedy can work', str(failed.call_args[1]['exc_val']))

    def test_no_action_to_add_to(self):
        gone = nova_exception.InstanceActionNotFound(request_id='r', instance_uuid=base.UUID)
        self.explain(finish=gone)

    def test_no_database(self):
        self.explain(start=RuntimeError('no database'))
        self.assertIn('no database', self.log.output)


class TestPostCopy(base.ContractCase):

    def test_status_is_the_one_that_nova_writes(self):
        guest = mock.Mock()
        migration = self.migrate_data().migration
        server = self.instance()
        with mock.patch.object(objects.Migration, 'save'):
            libvirt_migration.run_tasks(
                guest, server, {server.uuid: collections.deque(['force-complete'])},
                collections.deque(), migration, True)
        guest.migrate_start_postcopy.assert_called_once_with()
        self.assertEqual(nova_records.POST_COPY_STATUS, migration.status)

    def test_flag(self):
        self.set_option('live_migration_permit_post_copy', True, 'libvirt')
        self.set_option('virt_type', 'qemu', 'libvirt')
        tested = self.driver(base.FakeDomain())
        with mock.patch.object(tested._host, 'has_min_version', return_value=True):
            tested._parse_migration_flags()
        self.assertTrue(tested._live_migration_flags & libvirt.VIR_MIGRATE_POSTCOPY)
        self.assertTrue(tested._block_migration_flags & libvirt.VIR_MIGRATE_POSTCOPY)
