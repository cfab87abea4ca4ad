# SPDX-License-Identifier: Apache-2.0
"""Recovery's hands: Nova's own ends, from wherever a death has left them, and once more."""

import datetime
from unittest import mock

from nova.compute import manager
from nova import exception as nova_exception
from nova.network import model as network_model
from nova.network import neutron
from nova import objects
from nova.scheduler.client import report
from nova.virt import driver as compute_driver

from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import kept
from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence
from tests.contract import base
from tests.contract import computing

Home, Status = evidence.Home, evidence.Status


class HandsCase(base.ContractCase):
    """Hands, over a database that has one server and one migration."""

    patch = computing.ManagerCase.patch
    volumes = computing.ManagerCase.volumes

    def setUp(self):
        super().setUp()
        self.server, self.data = self.instance(), self.migrate_data()
        self.migration = self.data.migration
        self.migration.source_compute, self.migration.dest_compute = 'source', 'dest'
        self.record = self.describe()
        self.find_server = self.patch(
            objects.Instance, 'get_by_uuid', side_effect=lambda *args, **kwargs: self.server)
        self.find_migration = self.patch(
            objects.Migration, 'get_by_uuid', side_effect=lambda *args: self.migration)
        self.saved = []
        for kind in (objects.Instance, objects.Migration):
            self.patch(kind, 'save', side_effect=self.save)
        self.manager = mock.create_autospec(manager.ComputeManager, instance=True)
        self.manager._get_compute_info.return_value = objects.ComputeNode(
            id=7, hypervisor_hostname='node')
        self.manager.driver = mock.create_autospec(compute_driver.ComputeDriver, instance=True)
        self.manager._live_migration_cleanup_flags.return_value = (False, False)
        self.network = self.manager.network_api = mock.create_autospec(neutron.API, instance=True)
        self.patch(objects.MigrationList, 'get_by_filters', side_effect=lambda *args: [
            one for one in (self.migration, *self.later)
            if one.status in args[1].get('status', [one.status])])
        self.later = []
        self.guest, self.commanded = mock.Mock(), mock.Mock()
        self.hands = hands_mod.Hands(self.manager, 'source', lambda server: self.guest,
                                     lambda server: self.commanded)

    def save(self, *args, **kwargs):
        self.saved.append(kwargs)

    def unbound(self):
        """The hosts from which the server's ports were unbound."""
        calls = self.network.setup_networks_on_host.call_args_list
        return [call.args[2] for call in calls if call.kwargs == {'teardown': True}]

    def describe(self, **changes):
        made = kept.describe(
            self.context, self.server, 'dest', self.migration, self.data, block_migration=True,
            source_bdms=self.volumes(), source='source', written=evidence.Written.COPYING)
        return made.from_dict({**made.to_dict(), **changes})


class TestNovaKnows(HandsCase):

    def found(self):
        return hands_mod.nova_knows(self.record, self.context)

    def test_where_the_server_is(self):
        for host, home in (('source', Home.SOURCE), ('dest', Home.DESTINATION),
                           ('third', Home.OTHER), (None, Home.OTHER)):
            self.server.host = host
            self.assertIs(home, self.found()[0])

    def test_what_is_done_to_the_server(self):
        for state, home in ((None, Home.SOURCE), ('migrating', Home.SOURCE),
                            ('rebuilding', Home.CHANGING), ('rebuild_spawning', Home.CHANGING),
                            ('rebuild_block_device_mapping', Home.CHANGING),
                            ('deleting', Home.CHANGING), ('resize_prep', Home.CHANGING),
                            ('resize_migrating', Home.CHANGING),
                            ('resize_migrated', Home.CHANGING),
                            ('resize_finish', Home.CHANGING),
                            ('resize_reverting', Home.CHANGING),
                            ('resize_confirming', Home.CHANGING),
                            ('unshelving', Home.CHANGING), ('spawning', Home.CHANGING),
                            ('shelving_offloading', Home.CHANGING),
                            ('powering-off', Home.SOURCE)):
            self.server.task_state = state
            self.assertEqual((home, state == 'migrating'),
                             (self.found().home, self.found().migrating))

    def test_how_the_migration_is(self):
        for word, status in (
                ('accepted', Status.QUEUED), ('queued', Status.QUEUED),
                ('preparing', Status.UNDER_WAY), ('running', Status.UNDER_WAY),
                ('running (post-copy)', Status.UNDER_WAY), ('post-migrating', Status.UNDER_WAY),
                ('completed', Status.COMPLETED), ('failed', Status.ENDED),
                ('error', Status.GIVEN_UP), ('cancelled', Status.ENDED),
                # A later Nova's: it is not taken for an end.
                ('unheard-of', Status.UNDER_WAY)):
            self.migration.status = word
            self.assertIs(status, self.found()[1], word)

    def test_whether_its_user_has_paused_it(self):
        for state, before, wanted in (('active', False, False), ('paused', False, True),
                                      ('active', True, True), ('error', False, False)):
            self.server.vm_state = state
            self.record = self.describe(was_paused=before)
            self.assertIs(wanted, self.found()[3])

    def test_whether_a_newer_one_is_under_way(self):
        for status, number, wanted in (
                ('accepted', 4, True), ('queued', 4, True), ('preparing', 4, True),
                ('running', 4, True), ('running', 2, False), ('completed', 4, False),
                ('failed', 4, False), ('error', 4, False)):
            self.later = [objects.Migration(uuid=base.UUID, id=number, status=status)]
            self.assertIs(wanted, self.found().is_superseded, (status, number))
        self.later = []
        self.assertFalse(self.found().is_superseded)

    def test_where_this_one_is_not_there_any_more_any_other_is_newer(self):
        self.find_migration.side_effect = nova_exception.MigrationNotFound(migration_id='m')
        self.assertFalse(self.found().is_superseded)
        self.later = [objects.Migration(uuid=base.UUID, id=2, status='running')]
        self.assertTrue(self.found().is_superseded)

    def test_what_is_not_there_any_more(self):
        self.find_migration.side_effect = nova_exception.MigrationNotFound(migration_id='m')
        self.assertEqual((Home.SOURCE, Status.MISSING), self.found()[:2])
        self.find_server.side_effect = nova_exception.InstanceNotFound(instance_id=base.UUID)
        self.assertIs(Home.NONE, self.found()[0])

    def test_a_database_that_is_away_is_silent(self):
        self.find_migration.side_effect = RuntimeError('no database')
        self.assertIs(Home.SILENT, self.found()[0])
        self.find_server.side_effect = RuntimeError('no database')
        self.assertIs(Home.SILENT, self.found()[0])


class TestEnds(HandsCase):

    def checked(self, call):
        """Nova's arguments of a call, by their names."""
        [given] = call.call_args_list
        self.assertEqual((self.server, 'dest'), given.args[1:3])
        call.reset_mock()
        return given

    def hands_there(self):
        """Those of the destination."""
        self.manager.reportclient = mock.Mock()
        self.manager.reportclient.get_allocations_for_consumer.return_value = {}
        self.patch(objects.Instance, 'refresh')
        return hands_mod.Hands(self.manager, 'dest', lambda server: self.guest,
                               lambda server: self.commanded)

    def assert_as_nova_expects(self):
        self.assertEqual(('source', 'migrating'), (self.server.host, self.server.task_state))

    def test_a_guest_that_has_arrived_is_finished_from_the_start(self):
        for host, task, state, status in (
                ('source', 'migrating', 'active', 'running'), ('source', None, 'active', 'error'),
                ('dest', None, 'error', 'error'), ('source', None, 'error', 'error')):
            self.server.host, self.server.task_state = host, task
            self.server.vm_state, self.migration.status = state, status
            self.hands.finish(self.record)
            given = self.checked(self.manager._post_live_migration_update_host)
            self.assert_as_nova_expects()
            self.assertEqual('active', self.server.vm_state)
            self.assertTrue(given.args[3])
            self.assertIs(self.migration, given.args[4].migration)
            self.assertEqual('v1', given.kwargs['source_bdms'][0].volume_id)
            if host == 'dest':
                self.assertEqual(('node', 7), (self.server.node, self.server.compute_id))
            self.manager._delete_allocation_after_move.assert_not_called()

    def test_a_server_at_which_nova_does_something_else_is_left_alone(self):
        busy = nova_exception.UnexpectedTaskStateError(
            instance_uuid=base.UUID, expected={}, actual={})
        for end, novas in (
                (self.hands.finish, self.manager._post_live_migration_update_host),
                (self.hands.roll_back, self.manager._rollback_live_migration)):
            end(self.record)
            self.assertEqual({'expected_task_state': ['migrating', None]}, self.saved[-1])
            novas.reset_mock()
            with mock.patch.object(objects.Instance, 'save', side_effect=busy):
                self.assertRaises(nova_exception.UnexpectedTaskStateError, end, self.record)
            novas.assert_not_called()

    def test_where_the_destination_has_told_nova_only_this_side_is_ended_and_once(self):
        self.server.host, self.server.task_state = 'dest', None
        for _ in range(2):
            self.hands.finish(self.record)
            self.assertEqual('completed', self.migration.status)
        self.manager._post_live_migration_update_host.assert_not_called()
        self.assertEqual(2, self.manager._delete_allocation_after_move.call_count)
        self.assertEqual(1, len(self.saved))
        # What the destination does after it has told.
        self.assertEqual(2, self.network.migrate_instance_start.call_count)
        self.assertEqual(['source'] * 2, self.unbound())

    def test_what_is_left_here_is_removed_where_another_has_told_the_destination(self):
        self.server.host, self.server.task_state = 'dest', None
        self.data.vifs = [objects.migrate_data.VIFMigrateData(
            source_vif=network_model.VIF(id='p1', vnic_type='normal'))]
        self.record = self.describe()
        for flags, kept_here in (((True, True), False), ((True, False), False),
                                 ((False, False), True)):
            self.manager.driver.reset_mock()
            self.manager._live_migration_cleanup_flags.return_value = flags
            self.hands.finish(self.record)
            unplugged = self.manager.driver.post_live_migration_at_source.call_args.args
            self.assertIs(self.server, unplugged[1])
            self.assertEqual(['p1'], [vif['id'] for vif in unplugged[2]])
            cleaned = self.manager.driver.cleanup.call_args_list
            self.assertEqual([] if kept_here else [flags[1]],
                             [call.kwargs['destroy_disks'] for call in cleaned])
            self.assertIs(False, any(call.kwargs['destroy_vifs'] for call in cleaned))

    def test_what_is_left_here_stays_where_another_move_needs_it(self):
        self.server.host, self.server.task_state = 'dest', None
        with mock.patch.object(hands_mod, 'has_other_move', return_value=True) as asked:
            self.hands.finish(self.record)
        asked.assert_called_once_with(
            mock.ANY, base.UUID, 'source', self.migration.uuid)
        self.manager.driver.cleanup.assert_not_called()
        self.manager.driver.post_live_migration_at_source.assert_not_called()
        self.assertEqual('completed', self.migration.status)

    def test_only_a_completed_migration_loses_its_allocation(self):
        for status, expected in (('completed', 1), ('failed', 0), ('error', 0), ('running', 0)):
            self.manager._delete_allocation_after_move.reset_mock()
            self.migration.status = status
            self.hands.drop_allocation(self.record)
            self.assertEqual(expected, self.manager._delete_allocation_after_move.call_count)
        self.migration.status = 'completed'
        self.find_server.side_effect = nova_exception.InstanceNotFound(instance_id=base.UUID)
        self.hands.drop_allocation(self.record)
        self.manager._delete_allocation_after_move.assert_not_called()

    def test_the_next_migration_keeps_its_bindings(self):
        self.server.host, self.server.task_state = 'dest', None
        self.later = [objects.Migration(uuid=base.UUID, status='accepted')]
        self.hands.finish(self.record)
        self.assertEqual([], self.unbound())
        self.assertEqual('completed', self.migration.status)

    def test_it_is_not_ended_before_its_ports_are_bound(self):
        self.server.host, self.server.task_state = 'dest', None
        self.network.migrate_instance_start.side_effect = (
            nova_exception.PortBindingActivationFailed(port_id='p1', host='dest'))
        self.assertRaises(
            nova_exception.PortBindingActivationFailed, self.hands.finish, self.record)
        self.assertEqual('running', self.migration.status)

    def test_where_it_arrived_its_ports_are_bound_before_nova_ends_it(self):
        self.manager.post_live_migration_at_destination.side_effect = (
            lambda *args: self.network.migrate_instance_start.assert_called_once_with(
                self.context, self.server, self.migration))
        self.hands_there().finish_here(self.context, base.UUID, self.migration)
        self.assertEqual('completed', self.migration.status)
        self.manager.post_live_migration_at_destination.assert_called_once()

    def test_a_guest_that_has_stayed_is_rolled_back_as_often_as_it_takes(self):
        for host, status in (('source', 'failed'), ('dest', 'cancelled'), ('source', 'failed')):
            self.server.host, self.server.task_state = host, None
            self.hands.roll_back(self.record, status)
            given = self.checked(self.manager._rollback_live_migration)
            self.assert_as_nova_expects()
            self.assertEqual(status, given.kwargs['migration_status'])
            self.assertIs(self.migration, given.args[3].migration)
            self.assertEqual('v1', given.kwargs['source_bdms'][0].volume_id)

    def test_a_server_that_its_user_had_paused_is_paused_again(self):
        self.server.vm_state = 'error'
        self.hands.roll_back(self.describe(was_paused=True))
        self.assertEqual('paused', self.server.vm_state)

    def test_what_nova_cannot_do_now_is_passed_on(self):
        self.manager._rollback_live_migration.side_effect = RuntimeError('no bus')
        self.assertRaises(RuntimeError, self.hands.roll_back, self.record)
        self.manager._post_live_migration_update_host.side_effect = RuntimeError('no bus')
        self.assertRaises(RuntimeError, self.hands.finish, self.record)

    def test_one_whose_server_was_rebuilt_elsewhere_is_closed_and_once(self):
        self.server.host = 'third'
        for _ in range(2):
            self.hands.close(self.record)
            self.assertEqual(('failed', 'third'), (self.migration.status, self.server.host))
        self.assertEqual(1, len(self.saved))
        self.assertEqual(['source', 'dest'] * 2, self.unbound())

    def test_what_a_deleted_server_claimed_is_given_back(self):
        self.find_server.side_effect = nova_exception.InstanceNotFound(instance_id=base.UUID)
        self.manager.reportclient = mock.create_autospec(
            report.SchedulerReportClient, instance=True)
        self.hands.close(self.record)
        self.assertEqual(
            [(base.UUID, 'instance', True), (self.migration.uuid, 'migration', True)],
            [(call.args[1], call.kwargs['consumer_type'], call.kwargs['force']) for call in
             self.manager.reportclient.delete_allocation_for_instance.call_args_list])

    def test_one_with_which_no_host_had_begun(self):
        self.server.task_state, self.migration.status = 'migrating', 'accepted'
        for _ in range(2):
            self.hands.roll_back(self.describe(
                migrate_data=None, source_bdms=None, written='lost', destination=''))
            self.assertEqual((None, 'failed'), (self.server.task_state, self.migration.status))
        self.manager._rollback_live_migration.assert_not_called()
        self.assertEqual((self.server, self.migration),
                         self.manager._revert_allocation.call_args.args[1:])
        self.assertEqual(2, len(self.saved))

    def test_a_server_that_does_something_else_is_left_alone(self):
        self.server.task_state = 'rebuilding'
        self.hands.let_stay(self.context, base.UUID)
        self.assertEqual(('rebuilding', []), (self.server.task_state, self.saved))

    def evacuated(self, **parts):
        """Let Nova have the server on a third host after an evacuation."""
        self.server.host = 'third'
        self.migration.created_at = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
        evacuation = objects.Migration(self.context, **{
            'source_compute': 'source', 'dest_compute': 'third', 'status': 'done',
            'created_at': self.migration.created_at + datetime.timedelta(hours=1), **parts})
        self.patch(hands_mod, 'newest', side_effect=lambda context, server, kind: {
            'evacuation': evacuation}[kind])

    def test_where_it_was_evacuated_to(self):
        for status, host in (('done', 'third'), ('completed', 'third'), ('failed', None),
                             ('accepted', None), ('pre-migrating', None), ('error', None)):
            self.evacuated(status=status)
            self.assertEqual(host, hands_mod.evacuated_to(self.record, self.context))
        self.evacuated(source_compute='dest')
        self.assertIsNone(hands_mod.evacuated_to(self.record, self.context))
        self.evacuated(created_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))
        self.assertIsNone(hands_mod.evacuated_to(self.record, self.context))
        self.evacuated()
        self.server.host = 'source'
        self.assertIsNone(hands_mod.evacuated_to(self.record, self.context))
        self.find_server.side_effect = RuntimeError('no database')
        self.assertIsNone(hands_mod.evacuated_to(self.record, self.context))

    def test_a_second_copy_is_ended_as_nova_does_at_its_start(self):
        self.evacuated()
        self.manager.driver = mock.Mock()
        for is_shared in (True, False):
            self.manager._is_instance_storage_shared.return_value = is_shared
            self.hands.end_copy(self.record)
            self.manager._is_instance_storage_shared.assert_called_with(
                mock.ANY, self.server, host='third')
            self.manager.driver.destroy.assert_called_with(
                mock.ANY, self.server, self.network.get_instance_nw_info.return_value,
                self.manager._get_instance_block_device_info.return_value, not is_shared)

    def test_a_copy_is_not_ended_where_nova_has_not_evacuated_it(self):
        self.evacuated(status='failed')
        self.manager.driver = mock.Mock()
        self.assertRaises(exception.GuestError, self.hands.end_copy, self.record)
        self.manager.driver.destroy.assert_not_called()

    def test_only_what_was_deleted_is_discarded(self):
        volumes = self.volumes()
        self.patch(objects.BlockDeviceMappingList, 'get_by_instance_uuid', return_value=volumes)
        self.server.deleted = False
        self.assertRaises(exception.GuestError, self.hands.discard, self.context, base.UUID)
        self.manager._shutdown_instance.assert_not_called()
        self.server.deleted = True
        self.hands.discard(self.context, base.UUID)
        [given] = self.manager._shutdown_instance.call_args_list
        self.assertEqual((self.server, volumes), given.args[1:])
        self.assertEqual('yes', given.args[0].read_deleted)
        self.assertEqual({'notify': False, 'try_deallocate_networks': False}, given.kwargs)
        self.find_server.side_effect = nova_exception.InstanceNotFound(instance_id=base.UUID)
        self.assertRaises(exception.GuestError, self.hands.discard, self.context, base.UUID)

    def test_the_copy_on_the_source_goes_and_may_be_gone(self):
        self.guest.remove.side_effect = [None, exception.GuestGone('remove', 'no domain')]
        for _ in range(2):
            self.hands.remove_source_copy(self.record)
        self.assertEqual(2, self.guest.remove.call_count)

    def test_a_guest_of_a_user_who_had_paused_it_is_not_let_run(self):
        self.hands.let_run(self.describe(was_paused=True))
        self.assertEqual([], self.guest.mock_calls)

    def free_throttle(self, **policy):
        """Let a guest run whose migration had this policy; return what its QEMU was told."""
        self.commanded.reset_mock()
        self.guest.state.return_value = None
        self.hands.let_run(self.describe(was_paused=True, policy={
            'fields': {}, 'origins': {}, 'request': {}, 'retuned': {}, 'held': {}, **policy}))
        return [call[0] for call in self.commanded.method_calls]

    def test_a_throttle_that_may_be_held_is_freed(self):
        throttles = {'remedies': ['bandwidth', 'auto_converge']}
        self.assertEqual(['free_throttle'], self.free_throttle(fields=throttles))
        # What an operator has changed says nothing about the start.
        self.assertEqual(['free_throttle'], self.free_throttle(
            fields={'remedies': ['bandwidth']}, retuned={'remedies': 'bandwidth'}))
        self.commanded.free_throttle.side_effect = exception.Unsupported('x', 'not permitted')
        self.assertEqual(['free_throttle'], self.free_throttle(fields=throttles))
        self.assertIn('not permitted', self.log.output)

    def test_no_monitor_command_is_sent_where_none_is_held(self):
        self.assertEqual([], self.free_throttle(fields={'remedies': ['bandwidth']}))
        # It died before anything was told to QEMU.
        self.commanded.reset_mock()
        self.hands.let_run(self.describe(was_paused=True, policy={}))
        self.assertEqual([], self.commanded.mock_calls)


class TestLock(HandsCase):

    def setUp(self):
        super().setUp()
        self.server.locked, self.server.locked_by = False, None

    def locked(self):
        return (self.server.locked, self.server.locked_by,
                self.server.system_metadata.get('locked_reason'))

    def test_it_is_locked_with_the_reason_and_unlocked(self):
        for reason in ('both hosts run the guest',) * 2 + ('neither host has the guest',):
            self.hands.lock(self.record, reason)
            self.assertEqual((True, 'admin', f'nova_migpolicy: {reason}'), self.locked())
        # Said again, nothing is saved.
        self.assertEqual(2, len(self.saved))
        for _ in range(2):
            self.hands.unlock(self.record)
            self.assertEqual((False, None, None), self.locked())
        self.assertEqual(3, len(self.saved))

    def test_a_long_reason_is_cut_to_what_nova_keeps(self):
        for _ in range(2):
            self.hands.lock(self.record, 'long ' * 100)
            self.assertEqual(255, len(self.locked()[2]))
        self.assertEqual(1, len(self.saved))
        self.hands.unlock(self.record)
        self.assertFalse(self.server.locked)

    def test_anybody_elses_lock_stays(self):
        for why in ({}, {'locked_reason': 'audit'}, {'locked_reason': ''}):
            self.server.locked, self.server.locked_by = True, 'owner'
            self.server.system_metadata = dict(why)
            before = self.locked()
            self.hands.lock(self.record, 'both hosts run the guest')
            self.hands.unlock(self.record)
            self.assertEqual(before, self.locked())
        self.assertEqual([], self.saved)

    def test_a_server_that_is_gone_needs_no_unlocking(self):
        self.find_server.side_effect = nova_exception.InstanceNotFound(instance_id=base.UUID)
        self.hands.unlock(self.record)


class NewestTest(base.ContractCase):

    def test_of_two_within_a_second_the_later_record_is_the_newer_one(self):
        at = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        rows = [objects.Migration(self.context, id=number, created_at=when)
                for number, when in ((7, at), (8, at), (9, at - datetime.timedelta(seconds=1)))]

        def found(context, filters, sort_keys, sort_dirs, limit):
            self.assertEqual({'desc'}, set(sort_dirs))
            return sorted(rows, key=lambda row: [getattr(row, key) for key in sort_keys],
                          reverse=True)[:limit]

        with mock.patch.object(objects.MigrationList, 'get_by_filters', side_effect=found):
            self.assertEqual(8, hands_mod.newest(self.context, base.UUID).id)
            self.assertEqual([8, 7, 9], [
                row.id for row in hands_mod.newest_first(self.context, base.UUID)])
