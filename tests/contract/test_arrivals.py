# SPDX-License-Identifier: Apache-2.0
"""The destination prepares only for what is still to come, and clears what nobody needs."""

from unittest import mock

from nova import exception as nova_exception
from nova import objects

from nova_migpolicy.compute import arrivals as arrivals_mod
from nova_migpolicy.recovery import evidence
from tests.contract import base
from tests.contract import computing

Home, Status = evidence.Home, evidence.Status
OVER = (Home.SOURCE, Status.ENDED, False, False)


class ArrivalsCase(computing.ManagerCase):
    """A destination, and one migration to it."""

    def setUp(self):
        super().setUp()
        self.server, self.data = self.instance(), self.migrate_data()
        self.server.deleted, self.server.info_cache = False, None
        self.data.is_shared_instance_path = self.data.is_shared_block_storage = False
        self.migration = self.data.migration
        self.migration.status, self.migration.dest_compute = 'preparing', 'dest'
        self.migration.source_compute = 'source'
        del self.data.migration
        self.migrations = [self.migration]
        self.patch(objects.MigrationList, 'get_by_filters', side_effect=self.of_filters)
        self.patch(objects.Instance, 'get_by_uuid', side_effect=lambda *a, **k: self.server)
        self.nova = OVER
        self.patch(arrivals_mod.hands_mod, 'nova_knows',
                   side_effect=lambda *args: arrivals_mod.hands_mod.Known(*self.nova))
        self.domain = evidence.Destination.ABSENT
        self.at_source = mock.Mock(return_value=evidence.Source.SILENT)
        self.prepare = self.patch(self.manager, 'pre_live_migration', return_value=self.data)
        self.finish = self.patch(self.manager, 'post_live_migration_at_destination')
        self.clear = self.patch(self.manager, 'rollback_live_migration_at_destination')
        for one in (self.prepare, self.finish, self.clear):
            one.__name__ = 'nova'
        self.arrivals = arrivals_mod.Arrivals(
            self.manager, 'dest', self.records, lambda server: self.domain, self.at_source)
        self.arrivals.install()

    def of_filters(self, context, filters, **kwargs):
        return [one for one in self.migrations
                if one.status in filters.get('status', [one.status])
                and filters.get('host', 'dest') in (one.source_compute, one.dest_compute)]

    def arrive(self):
        return self.manager.pre_live_migration(self.context, self.server, 'disk', self.data)

    def left(self):
        return [record.migration for record in self.records.all()]

    def look(self):
        """Look twice: Nova's own message may be on its way at the first."""
        for _ in range(2):
            self.arrivals.look()


class TestPrepare(ArrivalsCase):

    def test_what_is_prepared_is_written_down_before(self):
        self.prepare.side_effect = lambda *args, **kwargs: self.assertEqual(
            [self.migration.uuid], self.left())
        self.arrive()
        self.prepare.assert_called_once_with(self.context, self.server, 'disk', self.data)
        [record] = self.records.all()
        self.assertEqual(('source', 'dest', base.UUID),
                         (record.source, record.destination, record.server))

    def test_a_message_that_comes_late_is_refused(self):
        for status in ('queued', 'running', 'cancelled', 'failed', 'error', 'completed'):
            self.migration.status = status
            error = self.assertRaises(nova_exception.MigrationError, self.arrive)
            self.assertIn('has come late', str(error))
        self.migration.status, self.migration.dest_compute = 'preparing', 'another'
        self.assertRaises(nova_exception.MigrationError, self.arrive)
        self.prepare.assert_not_called()
        self.assertEqual([], self.left())

    def test_it_is_gone_after_either_of_novas_ends(self):
        for end in ('post_live_migration_at_destination',
                    'rollback_live_migration_at_destination'):
            self.arrive()
            getattr(self.manager, end)(self.context, self.server, 'more')
            self.assertEqual([], self.left())

    def test_it_stays_where_novas_end_fails(self):
        self.arrive()
        self.clear.side_effect = RuntimeError('no database')
        self.assertRaises(RuntimeError, self.manager.rollback_live_migration_at_destination,
                          self.context, self.server)
        self.assertEqual([self.migration.uuid], self.left())


class TestRollBack(ArrivalsCase):
    """Nova's rollback ends a domain here with its disks, whoever runs in it."""

    def setUp(self):
        super().setUp()
        self.arrive()

    def roll_back(self, domain):
        self.domain = domain
        self.manager.rollback_live_migration_at_destination(
            self.context, self.server, destroy_disks=True, migrate_data=self.data)

    def test_a_guest_that_has_come_is_not_destroyed(self):
        for domain in set(evidence.Destination) - {
                evidence.Destination.ABSENT, evidence.Destination.INCOMING}:
            with self.assertLogs(arrivals_mod.LOG.logger, 'ERROR') as told:
                self.roll_back(domain)
            self.assertIn(domain.value, told.output[0])
            self.clear.assert_not_called()
            self.assertEqual([self.migration.uuid], self.left())

    def test_what_is_still_awaited_is(self):
        for domain in (evidence.Destination.INCOMING, evidence.Destination.ABSENT):
            self.roll_back(domain)
            self.assertEqual([], self.left())
        self.assertEqual(2, self.clear.call_count)

    def test_it_is_done_later_where_libvirt_did_not_answer(self):
        self.roll_back(evidence.Destination.SILENT)
        self.server.task_state = None
        self.migration.status, self.domain = 'failed', evidence.Destination.ABSENT
        self.look()
        self.clear.assert_called_once()
        self.assertEqual([], self.left())

    def test_a_guest_that_comes_while_it_is_cleared_is_not_destroyed(self):
        self.migration.status, self.server.task_state = 'failed', None
        self.arrivals.look()
        answers = [evidence.Destination.ARRIVED, evidence.Destination.ABSENT]
        self.arrivals._has = lambda server: answers.pop()
        self.arrivals.look()
        self.clear.assert_not_called()
        self.assertEqual([self.migration.uuid], self.left())


class TestClear(ArrivalsCase):

    def setUp(self):
        super().setUp()
        self.arrive()
        self.migration.status = 'failed'
        self.server.task_state = None
        [self.written] = self.records.all()

    def test_what_nobody_told_it_to_clear(self):
        self.arrivals.look()
        self.clear.assert_not_called()
        self.arrivals.look()
        [given] = self.clear.call_args_list
        self.assertIs(self.server, given.args[1])
        self.assertIs(True, given.kwargs['destroy_disks'])
        self.assertEqual([], self.left())

    def test_where_nova_does_not_know_what_became_of_it_the_guest_has_to_be_on_its_source(self):
        self.nova = (Home.SOURCE, Status.GIVEN_UP, False, False)
        for found in (evidence.Source.SILENT, evidence.Source.ABSENT, evidence.Source.MIGRATED,
                      evidence.Source.SHUT_OFF):
            self.at_source.return_value = found
            self.look()
            self.clear.assert_not_called()
            self.assertEqual([self.migration.uuid], self.left())
        asked = self.at_source.call_args.args[1]
        self.assertEqual(('source', base.UUID), (asked.source, asked.server))
        self.at_source.return_value = evidence.Source.RUNNING
        self.look()
        self.clear.assert_called_once()
        self.assertEqual([], self.left())

    def test_shared_storage_is_left_alone(self):
        self.migration.status = 'preparing'
        self.data.is_shared_instance_path = True
        self.arrive()
        self.migration.status = 'failed'
        self.look()
        self.clear.assert_not_called()
        self.assertEqual([], self.left())

    def test_what_may_still_come_stays(self):
        self.nova = (Home.SOURCE, Status.UNDER_WAY, True, False)
        self.look()
        self.domain = evidence.Destination.ARRIVED
        self.nova = OVER
        self.look()
        self.clear.assert_not_called()
        self.assertEqual([self.migration.uuid], self.left())

    def test_what_the_next_one_may_need_stays_until_it_is_over(self):
        again = objects.Migration(
            self.context, uuid='55555555-2222-3333-4444-555555555555', status='accepted',
            instance_uuid=base.UUID, source_compute='source', dest_compute='dest')
        self.migrations.append(again)
        self.look()
        self.clear.assert_not_called()
        self.assertEqual([self.migration.uuid], self.left())
        again.status = 'cancelled'
        self.look()
        self.clear.assert_called_once()

    def test_what_any_other_move_to_here_or_from_here_fills_stays(self):
        for kind, status, source, dest in (
                ('resize', 'pre-migrating', 'source', 'dest'),
                ('migration', 'migrating', 'source', 'dest'),
                ('resize', 'finished', 'dest', 'source'),
                ('resize', 'reverting', 'dest', 'source'),
                ('evacuation', 'accepted', 'source', 'dest'),
                ('live-migration', 'running', 'source', 'dest')):
            other = objects.Migration(
                self.context, uuid='55555555-2222-3333-4444-555555555555', status=status,
                instance_uuid=base.UUID, source_compute=source, dest_compute=dest,
                migration_type=kind)
            self.migrations[1:] = [other]
            self.look()
            self.clear.assert_not_called()
            self.assertEqual([self.migration.uuid], self.left())
        for status in ('confirmed', 'reverted', 'done', 'error', 'failed'):
            other.status = status
            self.look()
            self.clear.assert_called_once()
            self.clear.reset_mock()
            self.records.keep(self.written)

    def test_what_goes_elsewhere_does_not_keep_it(self):
        self.migrations.append(objects.Migration(
            self.context, uuid='55555555-2222-3333-4444-555555555555', status='migrating',
            instance_uuid=base.UUID, source_compute='source', dest_compute='third',
            migration_type='resize'))
        self.look()
        self.clear.assert_called_once()

    def test_it_stays_while_nova_is_at_anything_with_the_server(self):
        for task in ('resize_prep', 'resize_migrating', 'spawning', 'image_snapshot',
                     'rebooting', 'migrating'):
            self.server.task_state = task
            self.look()
            self.clear.assert_not_called()
            self.assertEqual([self.migration.uuid], self.left())
        self.server.task_state = None
        self.look()
        self.clear.assert_called_once()

    def test_what_has_arrived_is_forgotten(self):
        self.nova = (Home.DESTINATION, Status.COMPLETED, False, False)
        self.look()
        self.clear.assert_not_called()
        self.assertEqual([], self.left())

    def test_a_deleted_server(self):
        self.nova = (Home.NONE, Status.MISSING, False, False)
        self.server.deleted = True
        self.look()
        self.clear.assert_not_called()
        [given] = self.manager.driver.cleanup.call_args_list
        self.assertIs(True, given.kwargs['destroy_disks'])
        self.assertEqual([], self.left())

    def test_a_server_that_is_gone_from_novas_database_too(self):
        self.nova = (Home.NONE, Status.MISSING, False, False)
        gone = nova_exception.InstanceNotFound(instance_id=base.UUID)
        with mock.patch.object(objects.Instance, 'get_by_uuid', side_effect=gone):
            self.look()
        self.manager.driver.cleanup.assert_not_called()
        self.assertEqual([], self.left())
        self.assertIn('look for its files in instances_path', self.log.output)

    def test_what_fails_is_done_again(self):
        self.clear.side_effect = RuntimeError('no database')
        self.look()
        self.assertEqual([self.migration.uuid], self.left())
        self.clear.side_effect = None
        self.look()
        self.assertEqual([], self.left())

    def test_what_an_earlier_one_left_is_the_next_ones(self):
        again = objects.Migration(
            self.context, uuid='55555555-2222-3333-4444-555555555555', status='preparing',
            instance_uuid=base.UUID, source_compute='source', dest_compute='dest')
        self.migrations.append(again)
        self.arrive()
        self.assertEqual([again.uuid], self.left())

    def test_nothing_is_prepared_while_it_is_cleared(self):
        self.arrivals.look()
        self.clear.side_effect = lambda *args, **kwargs: self.assertRaises(
            nova_exception.MigrationError, self.arrive)
        self.arrivals.look()
        self.assertEqual(1, self.prepare.call_count)
