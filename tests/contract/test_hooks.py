# SPDX-License-Identifier: Apache-2.0
"""What wraps Nova's manager: a migration is written down, and Nova's start left to recovery."""

import inspect
import threading
from unittest import mock

from nova.compute import resource_tracker
from nova.compute import utils as compute_utils
from nova import exception as nova_exception
from nova.network import model
from nova.network import neutron
from nova import objects
from nova import safe_utils
from nova import service
import oslo_messaging

from nova_migpolicy.compute import compat
from nova_migpolicy.compute import doors
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import hooks as hooks_mod
from nova_migpolicy.compute import kept
from nova_migpolicy.compute import recovering
from nova_migpolicy.recovery import evidence
from tests.contract import base
from tests.contract import computing
from tests.unit.recovery import cases

WRAPPED = ('live_migration', '_do_live_migration', 'live_migration_abort', '_init_instance',
           '_do_rebuild_instance_with_claim', '_rollback_live_migration')


def _marks(function):
    """What decorators have left on a function."""
    return {name: value for name, value in vars(function).items() if name != '__wrapped__'}


class HooksCase(computing.ManagerCase):

    def setUp(self):
        super().setUp()
        self.recovery = mock.create_autospec(recovering.Recovery, instance=True)
        self.recovery.open_of.return_value = None
        self.recovery.has_touched.return_value = False
        self.recovery.is_at.return_value = False
        self.novas = {name: getattr(self.manager, name) for name in WRAPPED}
        self.hands = mock.create_autospec(hands_mod.Hands, instance=True)
        self.hooks = hooks_mod.Hooks(self.manager, 'source', self.records, self.hands)
        self.has_to_ask = mock.Mock(return_value=False)

    def install(self):
        self.manager.rt = mock.Mock()
        self.hooks.install(self.recovery, lambda context, instance: None, self.has_to_ask,
                           lambda context, instance: False)


class TestMigration(HooksCase):

    def setUp(self):
        super().setUp()
        self.without_database()
        self.patch(objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                   side_effect=lambda *args: self.volumes())
        self.data = self.migrate_data()
        self.migration, self.server = self.data.migration, self.instance()
        del self.data.migration
        self.seen, self.over = {}, threading.Event()
        self.patch(self.manager, '_do_pre_live_migration_from_source',
                   side_effect=lambda *args: self.look('prepared', self.data))
        self.manager.driver.live_migration = mock.Mock(
            side_effect=lambda *args: self.look('handed over'))

    def look(self, moment, given=None):
        self.seen[moment] = self.hooks.is_novas(base.UUID, self.migration.uuid), [
            record.written for record in self.records.all()]
        return given

    def migrate(self):
        """Let the source hear of a migration, and wait until Nova has done with it."""
        self.install()
        did = self.manager._do_live_migration

        def do(*args):
            try:
                did(*args)
            finally:
                self.over.set()

        self.manager._do_live_migration = do
        self.look('before')
        self.manager.live_migration(
            self.context, 'dest', self.server, True, self.migration, self.data)
        self.look('called')
        self.assertTrue(self.over.wait(computing.LONG_S))

    def test_novas_at_each_moment_and_written_down_before_anything_is_done(self):
        submitting = self.manager._set_migration_status

        def note(migration, status):
            self.look(status)
            submitting(migration, status)

        self.patch(self.manager, '_set_migration_status', side_effect=note)
        self.migrate()
        self.assertEqual((False, []), self.seen.pop('before'))
        # As fast as the pool is, it may be over before the call has returned.
        self.assertIn(self.seen.pop('called')[1], ([evidence.Written.PREPARING], []))
        self.assertEqual({'queued', 'preparing', 'prepared', 'running', 'handed over'},
                         set(self.seen))
        for moment, found in self.seen.items():
            self.assertEqual((True, [evidence.Written.PREPARING]), found, moment)
        self.assertFalse(self.hooks.is_novas(base.UUID, self.migration.uuid))

    def test_one_whose_preparation_fails_is_novas_no_more(self):
        """Nova leaves it in its queue."""
        def fail(*args):
            self.look('preparing')
            raise RuntimeError('no bus')

        taken_up = threading.Event()

        def take_up(migration):
            self.look('taken up')
            taken_up.set()

        self.recovery.finish.side_effect = take_up
        self.manager._do_pre_live_migration_from_source.side_effect = fail
        self.migrate()
        _, future = self.manager._waiting_live_migrations[base.UUID]
        self.assertIn('no bus', str(future.exception(computing.LONG_S)))
        self.assertEqual((True, [evidence.Written.PREPARING]), self.seen['preparing'])
        for migration in (self.migration.uuid, None):
            self.assertFalse(self.hooks.is_novas(base.UUID, migration))
        self.assertTrue(taken_up.wait(computing.LONG_S))
        self.assertIs(False, self.seen['taken up'][0])

    def test_it_is_novas_while_nova_takes_it_out_of_its_queue(self):
        self.install()
        self.patch(self.manager, '_notify_about_instance_usage')
        self.patch(objects.Migration, 'save')
        self.patch(self.manager, '_revert_allocation',
                   side_effect=lambda *args: self.look('reverting'))
        self.patch(self.manager.network_api, 'setup_networks_on_host',
                   side_effect=lambda *args, **kwargs: self.look('unbinding'))
        self.patch(self.manager, '_set_migration_status')
        self.patch(objects.Instance, 'save')
        self.patch(compute_utils, 'notify_about_instance_action')
        self.migration.dest_compute = 'dest'
        future = mock.Mock()
        future.cancel.return_value, future.done.return_value = True, False
        self.manager._waiting_live_migrations[base.UUID] = self.migration, future
        self.look('before')
        try:
            self.manager.live_migration_abort(self.context, self.server, 3)
        finally:
            self.look('after')
        self.assertEqual(
            {'before': True, 'reverting': True, 'unbinding': True, 'after': False},
            {moment: found[0] for moment, found in self.seen.items()})

    def test_what_is_written_is_the_migration(self):
        self.migrate()
        [record] = self.records.all()
        self.assertEqual(
            (base.UUID, self.migration.uuid, 'source', 'dest', True, False),
            (record.server, record.migration, record.source, record.destination,
             record.block_migration, record.was_paused))
        data, volumes = kept.objects_of(record, self.context)
        self.assertEqual(self.data.graphics_listen_addr_vnc, data.graphics_listen_addr_vnc)
        self.assertEqual(['v1'], [one.volume_id for one in volumes])
        self.assertEqual(0o600, self.file().stat().st_mode & 0o777)

    def test_neither_a_database_nor_a_disk_that_fails_stops_it(self):
        self.patch(hooks_mod.kept_mod, 'describe', side_effect=RuntimeError('no database'))
        self.migrate()
        self.assertIn('no database', self.log.output)
        self.assertEqual((True, []), self.seen['handed over'])

    def test_what_fails_is_novas_no_more_and_recoverys_at_once(self):
        self.install()
        self.patch(self.manager, '_set_migration_status', side_effect=RuntimeError('no database'))
        self.recovery.finish.side_effect = lambda migration: self.look('taken up')
        self.assertRaises(
            RuntimeError, self.manager._do_live_migration, self.context, 'dest', self.server,
            False, self.migration, self.data)
        self.recovery.finish.assert_called_once_with(self.migration.uuid)
        self.assertIs(False, self.seen['taken up'][0])


class TestLate(HooksCase):
    """A message that waited in a queue while its migration was given up."""

    def setUp(self):
        super().setUp()
        self.migrate_data_ = self.migrate_data()
        self.migration, self.server = self.migrate_data_.migration, self.instance()
        self.migration.status, self.server.task_state = 'accepted', 'migrating'
        self.find_migration = self.patch(
            objects.Migration, 'get_by_uuid', side_effect=lambda *args: self.migration)
        self.find_server = self.patch(
            objects.Instance, 'get_by_uuid', side_effect=lambda *args, **kwargs: self.server)
        self.patch(objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                   side_effect=lambda *args: self.volumes())
        self.begun = self.patch(self.manager, 'live_migration')
        self.begun.__name__ = 'live_migration'
        self.install()

    def arrive(self):
        self.manager.live_migration(self.context, 'dest', self.server, False, self.migration,
                                    self.migrate_data_)

    def assert_refused(self):
        self.arrive()
        self.begun.assert_not_called()
        self.assertEqual([], self.records.all())
        self.assertIn('comes too late', self.log.output)
        self.assertFalse(self.hooks.is_novas(self.server.uuid, None))

    def test_in_time_it_begins(self):
        self.begun.side_effect = lambda *args: self.assertTrue(
            self.hooks.is_novas(self.server.uuid, None))
        self.arrive()
        self.assertEqual(1, self.begun.call_count)

    def test_of_a_migration_that_is_over(self):
        for status in ('failed', 'cancelled', 'error', 'completed', 'running'):
            self.migration.status = status
            self.assert_refused()
        self.hands.never_began.assert_not_called()

    def test_of_a_server_that_does_not_migrate_any_more(self):
        self.server.task_state = None
        self.assert_refused()
        self.hands.never_began.assert_called_once_with(
            self.context, self.server, self.migration)

    def test_of_one_that_recovery_is_ending(self):
        self.recovery.is_at.return_value = True
        self.assert_refused()
        self.hands.never_began.assert_not_called()

    def test_of_a_server_that_was_deleted(self):
        self.find_server.side_effect = nova_exception.InstanceNotFound(instance_id=base.UUID)
        self.assert_refused()

    def test_it_begins_where_the_database_does_not_answer(self):
        self.find_migration.side_effect = RuntimeError('no database')
        self.arrive()
        self.assertEqual(1, self.begun.call_count)


class TestEvacuated(HooksCase):
    """Nova's start, with records of evacuations from this host."""

    def setUp(self):
        super().setUp()
        self.server = self.instance()
        self.server.host, self.server.task_state = 'source', None
        self.evacuation = objects.Migration(
            self.context, uuid=base.UUID, instance_uuid=self.server.uuid, status='done',
            source_compute='source', dest_compute='third', migration_type='evacuation')
        self.patch(objects.MigrationList, 'get_by_filters', side_effect=self.of_filters)
        self.patch(objects.Instance, 'get_by_uuid', side_effect=lambda *a, **k: self.server)
        self.save = self.patch(objects.Migration, 'save')
        self.patch(self.manager, '_get_instances_on_driver',
                   side_effect=lambda *args: [self.server]).__name__ = 'find'
        self.patch(self.manager.network_api, 'get_instance_nw_info')
        self.patch(self.manager, '_get_instance_block_device_info')
        self.patch(self.manager, '_is_instance_storage_shared', return_value=False)
        self.node = objects.ComputeNode(uuid=base.UUID, hypervisor_hostname='node')
        self.evacuation.source_node = 'node'
        self.server.deleted = False

    def of_filters(self, context, filters, **kwargs):
        return [one for one in (self.evacuation,) if one.status in filters['status']]

    def start(self):
        self.install()
        return self.manager._destroy_evacuated_instances(self.context, {base.UUID: self.node})

    def test_what_is_elsewhere_is_destroyed(self):
        self.server.host = 'third'
        self.start()
        self.assertEqual(1, self.manager.driver.destroy.call_count)

    def test_what_is_here_again_is_not(self):
        for status in ('accepted', 'pre-migrating', 'done'):
            self.evacuation.status = status
            self.assertEqual({}, self.start())
            self.assertEqual('failed', self.evacuation.status)
        self.manager.driver.destroy.assert_not_called()

    def test_nor_is_what_has_an_unfinished_migration(self):
        record = cases.a_record(server=self.server.uuid)
        self.records.keep(record)
        for host, task in ((record.destination, None), ('third', 'rebuilding')):
            self.server.host, self.server.task_state = host, task
            self.start()
        self.manager.driver.destroy.assert_not_called()
        self.assertIn('a migration of it was not finished', self.log.output)

    def test_but_a_second_copy_of_what_is_on_a_third_host_is(self):
        self.server.host = 'third'
        self.records.keep(cases.a_record(server=self.server.uuid))
        self.start()
        self.assertEqual(1, self.manager.driver.destroy.call_count)

    def test_what_is_here_again_and_is_resized_is_not(self):
        self.server.task_state = 'resize_prep'
        self.start()
        self.manager.driver.destroy.assert_not_called()

    def test_what_is_being_evacuated_is_novas(self):
        self.server.task_state = 'rebuilding'
        self.start()
        self.assertEqual(1, self.manager.driver.destroy.call_count)


class TestPorts(HooksCase):
    """They are unbound where the server will not be, before Nova goes on."""

    def setUp(self):
        super().setUp()
        self.server = self.instance()
        self.server.info_cache = objects.InstanceInfoCache(
            network_info=model.NetworkInfo([model.VIF(id='p1')]))
        self.manager.network_api = mock.create_autospec(neutron.API, instance=True)
        self.did = []
        self.manager.network_api.setup_networks_on_host.side_effect = (
            lambda context, instance, host, teardown: self.did.append(
                (context.is_admin, instance, host, teardown)))
        for name in ('_rollback_live_migration', '_do_rebuild_instance_with_claim'):
            self.patch(self.manager, name, side_effect=lambda *args, name=name, **kwargs: (
                self.did.append((name, args, kwargs)))).__name__ = name
        self.install()

    def roll_back(self):
        self.manager._rollback_live_migration(
            self.context, self.server, 'dest', 'data', migration_status='cancelled')
        return '_rollback_live_migration', (self.context, self.server, 'dest', 'data'), {
            'migration_status': 'cancelled'}

    def rebuild(self):
        self.manager._do_rebuild_instance_with_claim(self.context, self.server, 'image')
        return '_do_rebuild_instance_with_claim', (self.context, self.server, 'image'), {}

    def test_of_the_destination_before_a_rollback(self):
        novas = self.roll_back()
        self.assertEqual([(True, self.server, 'dest', True), novas], self.did)

    def test_of_this_host_before_an_evacuation_to_it(self):
        self.server.host = 'dead'
        novas = self.rebuild()
        self.assertEqual([(True, self.server, 'source', True), novas], self.did)

    def test_not_before_a_rebuild_where_it_is(self):
        self.assertEqual([self.rebuild()], self.did)

    def test_not_of_a_server_without_ports(self):
        self.server.info_cache = None
        self.assertEqual([self.roll_back()], self.did)

    def test_a_neutron_that_refuses_stops_neither(self):
        self.manager.network_api.setup_networks_on_host.side_effect = (
            nova_exception.PortBindingDeletionFailed(port_id='p1', host='dest'))
        novas = [self.roll_back()]
        self.server.host = 'dead'
        self.assertEqual([*novas, self.rebuild()], self.did)
        self.assertIn('p1', self.log.output)


class TestStart(HooksCase):

    def setUp(self):
        super().setUp()
        self.novas_init = self.patch(self.manager, '_init_instance')
        self.server = self.instance()
        self.refresh = self.patch(objects.Instance, 'refresh')
        self.install()

    def start(self):
        self.manager._init_instance(self.context, self.server)

    def test_without_a_migration_it_is_novas(self):
        self.start()
        self.novas_init.assert_called_once_with(self.context, self.server)
        self.refresh.assert_not_called()

    def test_what_recovery_may_have_changed_is_read_again(self):
        self.recovery.has_touched.return_value = True
        self.start()
        self.refresh.assert_called_once_with()
        self.novas_init.assert_called_once_with(self.context, self.server)

    def test_an_unfinished_migration_is_recoverys_first_and_novas_afterwards(self):
        self.recovery.open_of.return_value = 'a record'
        self.start()
        self.novas_init.assert_not_called()
        [(record, later)] = [call.args for call in self.recovery.owe.call_args_list]
        self.assertEqual('a record', record)
        self.refresh.side_effect = self.novas_init.assert_not_called
        later()
        self.refresh.assert_called_once_with()
        self.novas_init.assert_called_once_with(self.context, self.server)

    def test_a_server_that_was_deleted_meanwhile_is_not_started(self):
        self.recovery.open_of.return_value = 'a record'
        self.start()
        self.refresh.side_effect = nova_exception.InstanceNotFound(instance_id=base.UUID)
        self.recovery.owe.call_args.args[1]()
        self.novas_init.assert_not_called()

    def test_no_server_waits_for_hosts_that_are_asked_for_another(self):
        """Each of them may be silent, and takes seconds to ask then."""
        self.has_to_ask.return_value = True
        goes_on, all_ask = threading.Event(), threading.Barrier(hooks_mod.STARTS_AT_ONCE + 1)
        self.addCleanup(goes_on.set)

        def ask(context, instance):
            all_ask.wait(computing.LONG_S)
            self.assertTrue(goes_on.wait(computing.LONG_S))

        self.novas_init.side_effect = ask
        for _ in range(hooks_mod.STARTS_AT_ONCE):
            self.start()
        all_ask.wait(computing.LONG_S)
        self.assertEqual(hooks_mod.STARTS_AT_ONCE, self.refresh.call_count)
        self.has_to_ask.return_value, self.novas_init.side_effect = False, None
        self.start()
        self.assertEqual(hooks_mod.STARTS_AT_ONCE + 1, self.novas_init.call_count)
        goes_on.set()
        self.wait()

    def test_what_is_started_beside_the_others_and_fails_is_logged(self):
        self.has_to_ask.return_value = True
        self.novas_init.side_effect = RuntimeError('no network')
        self.start()
        self.wait()
        self.assertIn('no network', self.log.output)

    def wait(self):
        for thread in threading.enumerate():
            if thread.name.startswith('start of'):
                thread.join(computing.LONG_S)
                self.assertFalse(thread.is_alive())

    def test_a_server_that_is_being_deleted_is_novas(self):
        self.recovery.open_of.return_value = 'a record'
        self.has_to_ask.return_value = True
        self.server.task_state = 'deleting'
        self.start()
        self.novas_init.assert_called_once_with(self.context, self.server)
        self.recovery.owe.assert_not_called()


class TestWraps(HooksCase):

    def test_they_look_like_what_they_wrap(self):
        self.install()
        for name in WRAPPED:
            found = getattr(self.manager, name)
            self.assertIsNot(self.novas[name], found)
            self.assertEqual(name, found.__name__)
            self.assertEqual(_marks(self.novas[name].__func__), _marks(found))
        if compat.nova_release()[0] >= 34:
            self.assertTrue(self.manager.live_migration._skip_automatic_rpc_tracking)

    def test_a_message_reaches_them(self):
        called = self.patch(self.manager, 'live_migration')
        called.__name__ = 'live_migration'
        self.patch(objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                   side_effect=lambda *args: self.volumes())
        self.install()
        endpoint = self.manager
        if compat.nova_release()[0] >= 34:
            endpoint = service._TrackingEndpointWrapper(self.manager)
        dispatcher = oslo_messaging.rpc.dispatcher.RPCDispatcher(
            [endpoint], serializer=oslo_messaging.NoOpSerializer(),
            access_policy=oslo_messaging.DefaultRPCAccessPolicy)
        migrate_data = self.migrate_data()
        arguments = {
            'dest': 'dest', 'instance': self.instance(), 'block_migration': False,
            'migration': migrate_data.migration, 'migrate_data': migrate_data}
        message = mock.Mock(ctxt={}, client_timeout=0, message={
            'method': 'live_migration', 'args': arguments,
            'version': self.manager.target.version})
        with mock.patch.object(dispatcher.serializer, 'deserialize_context',
                               return_value=self.context):
            dispatcher.dispatch(message)
        called.assert_called_once_with(self.context, *arguments.values())
        self.assertEqual([migrate_data.migration.uuid],
                         [record.migration for record in self.records.all()])


class TestRefused(HooksCase):
    """A rebuild that a door refuses, and an evacuation."""

    def refuse(self, host):
        server = self.instance()
        server.host, server.node, server.task_state = host, 'node', 'rebuilding'
        tracker = self.manager.rt = mock.create_autospec(
            resource_tracker.ResourceTracker, instance=True)
        deleted = []
        tracker.delete_allocation_for_evacuated_instance = (
            lambda *args, **kwargs: deleted.append(args[1:]))
        self.patch(self.manager, '_notify_instance_rebuild_error')
        self.patch(self.manager, '_error_out_instance_on_exception')
        self.patch(self.manager, '_set_migration_status')
        self.patch(objects.ImageMeta, 'from_instance')
        self.patch(self.manager.reportclient, 'get_allocations_for_consumer', return_value={})

        def closed(context, instance):
            raise doors.Closed(reason='it runs there')

        self.hooks.install(self.recovery, closed, self.has_to_ask,
                           lambda context, instance: False)
        rebuild = safe_utils.get_wrapped_function(type(self.manager).rebuild_instance)
        named = inspect.signature(rebuild).parameters
        given = dict.fromkeys(list(named)[3:])
        self.manager._error_out_instance_on_exception.return_value.__exit__ = (
            lambda *args: False)
        error = self.assertRaises(
            nova_exception.InstanceFaultRollback, rebuild, self.manager, self.context, server,
            **{**given, 'recreate': host != 'source', 'scheduled_node': 'node'})
        self.assertIn('it runs there', str(error.inner_exception))
        return deleted

    def test_where_it_is_it_keeps_what_it_holds(self):
        self.assertEqual([], self.refuse('source'))

    def test_what_was_claimed_for_an_evacuation_is_given_back(self):
        self.assertEqual(1, len(self.refuse('dead')))
