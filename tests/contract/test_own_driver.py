# SPDX-License-Identifier: Apache-2.0
"""Our driver inside of Nova: found by its name, and the same ends as Nova's own."""

import threading
import time
from unittest import mock

import libvirt
from nova import exception as nova_exception
from nova import objects
from nova.virt import driver as nova_driver
from nova.virt import fake
from nova.virt.libvirt import driver as libvirt_driver

from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import compat
from nova_migpolicy.compute import doors
from nova_migpolicy.compute import driver
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import nova_records
from nova_migpolicy.compute import peers
from nova_migpolicy.compute import recovering
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import domains
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.recovery import evidence
from nova_migpolicy import vocabulary
from tests.contract import base
from tests.contract import handing


class TestLoading(base.ContractCase):

    def test_by_name(self):
        loaded = nova_driver.load_compute_driver(
            fake.FakeVirtAPI(), 'migpolicy.LibvirtDriver')
        self.assertIsInstance(loaded, driver.LibvirtDriver)
        self.assertIsInstance(loaded, libvirt_driver.LibvirtDriver)

    def test_wrong_options_stop_it(self):
        self.driver(base.FakeDomain(), driver.LibvirtDriver)    # registers the options
        self.set_option('profiles_file', '/nonexistent/p.yaml', 'migpolicy')
        error = self.assertRaises(exception.BadProfiles, driver.LibvirtDriver, None)
        self.assertIn('/nonexistent/p.yaml', str(error))


class TestWhereabouts(base.ContractCase):
    """What another host is told of a server here."""

    def setUp(self):
        super().setUp()
        self.tested = self.driver(base.FakeDomain(), driver.LibvirtDriver)

    def told(self, **connected):
        with mock.patch.object(self.tested._host, '_connect', **connected):
            return self.tested._whereabouts(base.UUID)

    def test_what_libvirt_says(self):
        gone = libvirt.libvirtError('gone')
        gone.err = (libvirt.VIR_ERR_NO_DOMAIN, 0, 'gone', 2, '', '', '', 0, 0)
        connection = mock.Mock()
        connection.lookupByUUIDString.side_effect = gone
        connection.getLibVersion.return_value = 9_000_000
        connection.getVersion.return_value = 7_002_000
        self.assertEqual(
            peers.Whereabouts(domains.ABSENT, driver.CONF.host, 9_000_000, 7_002_000),
            self.told(return_value=connection))

    def test_a_libvirt_that_does_not_answer_is_not_one_without_the_server(self):
        self.assertEqual(
            peers.Whereabouts(domains.SILENT, driver.CONF.host, 0, 0),
            self.told(side_effect=libvirt.libvirtError('away')))


class TestDoors(base.ContractCase):
    """Whatever makes a domain asks first whether another host runs the guest."""

    STARTS = ('reboot', 'power_on', 'resume_state_on_host_boot', 'resume', 'rescue', 'unrescue',
              'spawn', 'finish_revert_migration', 'migrate_disk_and_power_off')

    def setUp(self):
        super().setUp()
        self.tested = self.driver(base.FakeDomain(), driver.LibvirtDriver)
        self.tested._doors = mock.create_autospec(doors.Doors, instance=True)
        self.server = self.instance()
        self.server.task_state = None

    def call(self, name, *first):
        """Call a method that is Nova's behind the door; return whether it was Nova's."""
        with mock.patch.object(libvirt_driver.LibvirtDriver, name,
                               return_value='done') as novas:
            given = (self.context, *first, self.server, 'more')
            self.assertEqual('done', getattr(self.tested, name)(*given, named='too'))
            novas.assert_called_once_with(*given, named='too')

    def test_each_asks_and_is_novas_then(self):
        for name in self.STARTS:
            self.tested._doors.reset_mock()
            self.call(name)
            self.tested._doors.check.assert_called_once_with(self.context, self.server)
        self.call('finish_migration', 'a migration')
        self.assertEqual(2, self.tested._doors.check.call_count)

    def test_none_begins_where_the_door_is_closed(self):
        self.tested._doors.check.side_effect = doors.Closed(reason='it runs there')
        for name, *first in (*((name,) for name in self.STARTS[:-1]),
                             ('finish_migration', 'a migration')):
            with mock.patch.object(libvirt_driver.LibvirtDriver, name) as novas:
                self.assertRaises(doors.Closed, getattr(self.tested, name), self.context,
                                  *first, self.server)
            novas.assert_not_called()

    def test_a_resize_that_is_refused_leaves_the_server_as_it_is(self):
        self.tested._doors.check.side_effect = doors.Closed(reason='it runs there')
        with mock.patch.object(
                libvirt_driver.LibvirtDriver, 'migrate_disk_and_power_off') as novas:
            error = self.assertRaises(
                nova_exception.InstanceFaultRollback, self.tested.migrate_disk_and_power_off,
                self.context, self.server)
        novas.assert_not_called()
        self.assertIn('it runs there', str(error.inner_exception))

    def test_other_hosts_are_only_asked_at_the_start_where_nova_may_start_it(self):
        asks = self.tested._doors.has_to_ask
        for resumes, task, expected in ((False, None, 0), (False, 'powering-on', 1),
                                        (True, None, 1)):
            self.set_option('resume_guests_state_on_host_boot', resumes)
            self.server.task_state = task
            asks.reset_mock()
            self.assertEqual(bool(expected), bool(
                self.tested._has_to_ask(self.context, self.server)))
            self.assertEqual(expected, asks.call_count)

    def test_what_was_asked_before_or_never_ran_is_not_asked_about(self):
        self.server.vm_state = 'building'
        self.call('spawn')
        self.server.vm_state = 'active'
        for self.server.task_state in ('rebuilding', 'rebuild_spawning'):
            self.call('spawn')
        self.tested._doors.check.assert_not_called()


class TestMigration(handing.MigrationCase):

    def run_one(self, end, extra_specs=None):
        self.server, self.data = self.instance(extra_specs), self.migrate_data()
        seen = []

        def watch(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            seen.append(watched)
            return outcome_mod.Outcome(end, 'because')

        with mock.patch.object(session_mod.Session, 'watch', watch), \
                mock.patch.object(driver.nova_records, 'explain') as self.explain:
            self.tested._live_migration(
                self.context, self.server, 'dest', *self.ends, False, self.data)
        [self.session] = seen

    def start(self, extra_specs=None, command=None):
        """Begin a migration for which a command may wait; nobody watches it to its end."""
        self.server, self.data = self.instance(extra_specs), self.migrate_data()
        if command is not None:
            self.tested._early.remember(self.data.migration.uuid, command)
        with mock.patch.object(driver.nova_records, 'explain') as self.explain:
            self.tested._live_migration(
                self.context, self.server, 'dest', *self.ends, False, self.data)

    def journal(self):
        path = self.tested._journals / f'{self.data.migration.uuid}.jsonl'
        return {record['kind']: record for record in journal_mod.read(path)}

    def test_cancelled_before_it_begins(self):
        for specs in ({'migpolicy:on_stall': 'pause'}, {'migpolicy:profile': 'nova'}):
            self.recover.reset_mock()
            self.start(specs, vocabulary.CANCEL)
            self.recover.assert_called_once_with(
                self.context, self.server, 'dest', self.data, migration_status='cancelled')
            self.explain.assert_called_once()
            self.post.assert_not_called()
            self.assertEqual([], self.domain.calls)
            self.assertEqual({}, self.tested._current)
        kept = self.journal()
        self.assertEqual(('pause', 'cancelled', 0.0), (
            kept['start']['policy']['on_stall'], kept['end']['outcome'],
            kept['end']['percent']))
        self.assertIn('API', kept['end']['reason'])

    def written_before_qemu_is_told(self, remedies):
        """Return the remedies in the written record at the moment when QEMU gets its limits."""
        data = self.migrate_data()
        records, seen = self.tested._records, []
        records.keep(kept_mod.describe(
            self.context, self.instance(), 'dest', data.migration, data, block_migration=False,
            source_bdms=None, source='source', written=evidence.Written.PREPARING))

        def prepare(session, dirtied):
            written = records.get(data.migration.uuid)
            seen.append((written.written, written.policy.get('fields', {}).get('remedies')))

        with mock.patch.object(session_mod.Session, 'prepare', prepare), mock.patch.object(
                session_mod.Session, 'watch', lambda *args: None):
            self.start({'migpolicy:remedies': remedies})
        [found] = seen
        return found

    def test_what_may_hold_a_throttle_is_written_down_before_it_does(self):
        self.assertEqual((evidence.Written.PREPARING, ['auto_converge']),
                         self.written_before_qemu_is_told('auto_converge'))
        self.assertEqual((evidence.Written.PREPARING, None),
                         self.written_before_qemu_is_told('bandwidth'))

    def test_none_begins_while_nova_compute_is_stopped(self):
        self.tested._stopping = mock.Mock(has_begun=True)
        self.start()
        self.recover.assert_called_once_with(
            self.context, self.server, 'dest', self.data, migration_status='cancelled')
        self.assertEqual([], self.domain.calls)
        self.assertEqual('nova-compute on the source is being stopped',
                         self.journal()['end']['reason'])

    def test_one_that_is_left_is_ended_by_nobody_here(self):
        with mock.patch.object(session_mod.Session, 'watch', lambda *args: None):
            self.start()
        self.post.assert_not_called()
        self.recover.assert_not_called()
        [record] = self.tested._records.all()
        self.assertEqual(self.data.migration.uuid, record.migration)
        self.assertEqual({}, self.tested._current)

    def test_found_before_it_looks_for_commands(self):
        """Whoever remembers a command, and finds no migration then, is heard."""
        take = self.tested._early.take

        def look(migration):
            seen.append(dict(self.tested._current))
            return take(migration)

        for specs in ({}, {'migpolicy:profile': 'nova'}):
            seen = []
            with mock.patch.object(self.tested._early, 'take', look):
                self.start(specs, vocabulary.CANCEL)
            self.assertEqual([base.UUID], list(seen[0]))

    def order_meanwhile(self, order, specs):
        """Order something while the policy is looked up; whether a completion then waits."""
        resolve, seen = self.tested._policies.resolve, []

        def slowly(server, request):
            order(server)
            return resolve(server, request)

        def watch(tested, context, server, *args):
            current = tested._current[server.uuid]
            seen.append(current.is_ordered(vocabulary.FORCE_COMPLETE)
                        or current.completes_at_start)
            while not compat.is_done(args[-2])():
                time.sleep(0.01)

        with mock.patch.object(self.tested._policies, 'resolve', slowly), \
                mock.patch.object(driver.LibvirtDriver, '_live_migration_monitor', watch):
            self.start(specs)
        return seen

    def test_an_order_while_it_is_prepared_is_kept(self):
        """Nova calls it running already; QEMU is still measuring what the server dirties."""
        for specs in ({}, {'migpolicy:profile': 'nova'}):
            self.assertEqual([], self.order_meanwhile(self.tested.live_migration_abort, specs))
            self.recover.assert_called_once_with(
                self.context, self.server, 'dest', self.data, migration_status='cancelled')
            self.assertEqual([], self.domain.calls)
            self.recover.reset_mock()
            self.assertEqual([True], self.order_meanwhile(
                self.tested.live_migration_force_complete, specs))
            self.recover.assert_not_called()
            self.post.assert_not_called()
            self.domain.calls.clear()

    def test_an_order_before_nova_hands_it_over_is_kept(self):
        """Nova calls it running; libvirt has no job, and the driver knows nothing of it."""
        no_job = libvirt.libvirtError('no job is active on the domain')
        no_job.err = (libvirt.VIR_ERR_OPERATION_INVALID, 10, 'no job', 2, '', '', '', 0, 0)
        self.domain.abortJob = mock.Mock(side_effect=no_job)
        for order, novas in (
                (self.tested.live_migration_abort, libvirt.libvirtError),
                (self.tested.live_migration_force_complete,
                 nova_exception.NoActiveMigrationForInstance)):
            record = self.migrate_data().migration
            # One that ran before nova-compute was started is never handed over.
            with mock.patch.object(objects.Migration, 'get_by_instance_and_status',
                                   return_value=record):
                self.assertRaises(novas, order, self.instance())
            self.check_source()
            with mock.patch.object(objects.Migration, 'get_by_instance_and_status',
                                   return_value=record) as found:
                order(self.instance())
            self.assertEqual((base.UUID, 'running'), found.call_args.args[-2:])
            self.assertIsNotNone(self.tested._early.take(record.uuid))
            gone = nova_exception.MigrationNotFoundByStatus(
                instance_id=base.UUID, status='running')
            with mock.patch.object(objects.Migration, 'get_by_instance_and_status',
                                   side_effect=gone):
                self.assertRaises(novas, order, self.instance())
            self.assertIsNone(self.tested._early.command(record.uuid))
            self.tested._checked.clear()

    def test_an_order_in_the_very_moment_in_which_nova_hands_it_over(self):
        no_job = libvirt.libvirtError('no job is active on the domain')
        no_job.err = (libvirt.VIR_ERR_OPERATION_INVALID, 10, 'no job', 2, '', '', '', 0, 0)
        self.domain.abortJob = mock.Mock(side_effect=no_job)
        record = self.migrate_data().migration

        def hand_over(*args):
            current = self.tested._current[base.UUID] = migration_mod.Migration(
                record.uuid, inbox_mod.Inbox())
            asked.append(current.inbox)
            return record

        asked = []
        self.check_source()
        with mock.patch.object(objects.Migration, 'get_by_instance_and_status', hand_over):
            self.tested.live_migration_abort(self.instance())
        self.assertTrue(asked[0].holds(vocabulary.CANCEL))
        self.assertIsNone(self.tested._early.command(record.uuid))

    def test_where_the_memory_is_on_both_hosts_nothing_is_aborted(self):
        self.assertRaises(nova_records.PostCopyBroken, self.run_one, outcome_mod.End.BROKEN)
        self.post.assert_not_called()
        self.recover.assert_not_called()
        self.assertNotIn(('abort',), self.domain.calls)
        self.assertIn('Nothing is aborted', self.log.output)
        self.assertEqual({}, self.tested._current)

    def test_where_the_guest_may_have_arrived_nova_is_told_no_end(self):
        self.run_one(outcome_mod.End.UNDECIDED)
        self.post.assert_not_called()
        self.recover.assert_not_called()
        self.assertEqual('because', self.explain.call_args.args[-1])
        [record] = self.tested._records.all()
        self.assertIs(evidence.Written.COPYING, record.written)
        self.assertEqual({}, self.tested._current)

    def ask(self, there, home=evidence.Home.SOURCE):
        """Ask, while it is watched, whether it may be rolled back; the source is paused."""
        said = []

        def watch(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            said.append(watched._stay_obstacle())
            return outcome_mod.Outcome(outcome_mod.End.UNDECIDED, 'because')

        world = self.tested._recovery = recovering.Recovery(
            self.tested._records, mock.Mock(), mock.Mock(
                source=lambda server: (evidence.Source.PAUSED, False),
                destination=lambda context, host, server: there[host]))
        self.assertIs(world, self.tested._recovery)
        self.server, self.data = self.instance(), self.migrate_data()
        with mock.patch.object(session_mod.Session, 'watch', watch), \
                mock.patch.object(driver.nova_records, 'explain'), \
                mock.patch.object(hands_mod, 'nova_knows', lambda *args: hands_mod.Known(
                    home, evidence.Status.UNDER_WAY, True, False)):
            self.tested._live_migration(
                self.context, self.server, 'dest', *self.ends, False, self.data)
        return said

    def test_the_destination_is_asked_for_it(self):
        found = evidence.Destination
        self.assertEqual([None], self.ask({'dest': found.ABSENT}))
        self.assertEqual(['the guest has arrived'], self.ask({'dest': found.ARRIVED}))
        self.assertEqual(['the destination does not answer'], self.ask({'dest': found.SILENT}))

    def test_also_where_nothing_could_be_written_down(self):
        with mock.patch.object(self.tested._records, 'keep', side_effect=OSError('full')):
            self.assertEqual([None], self.ask({'dest': evidence.Destination.ABSENT}))
            self.assertEqual(['the guest has arrived'],
                             self.ask({'dest': evidence.Destination.ARRIVED}))

    def test_an_order_that_is_refused_is_an_error_for_novas_records(self):
        def watch(watched, reporter, disk_paths, sleep):
            while not refused:
                for item in watched.inbox.wait(30):
                    if isinstance(item, inbox_mod.Command):
                        item.reply.give(protocol.refusal('not possible in the phase post-copy'))
                        refused.append(item.name)
            return outcome_mod.Outcome(outcome_mod.End.COMPLETED, 'because')

        for name, order in (
                (vocabulary.CANCEL, self.tested.live_migration_abort),
                (vocabulary.FORCE_COMPLETE, self.tested.live_migration_force_complete)):
            refused, raised = [], []

            def give(order=order, raised=raised):
                try:
                    order(self.server)
                except driver.OrderRefused as error:
                    raised.append(str(error))

            self.server, self.data = self.instance(), self.migrate_data()
            asker = threading.Timer(0, give)
            with mock.patch.object(session_mod.Session, 'watch', watch), \
                    mock.patch.object(driver.LibvirtDriver, '_events') as events:
                events.return_value.__enter__.side_effect = lambda *args, a=asker: a.start()
                self.tested._live_migration(
                    self.context, self.server, 'dest', *self.ends, False, self.data)
            asker.join()
            self.assertEqual(([name], ['not possible in the phase post-copy']),
                             (refused, raised))

    def test_what_qemu_refuses_before_the_start_is_in_no_threads_plan(self):
        """Where auto-converge could not be armed, the engine is not told that it can throttle."""
        qmp = mock.Mock()
        qmp.qemuMonitorCommand.return_value = '{"error": {"desc": "no such parameter"}}'
        with mock.patch.object(self.tested._host, '_wrap_libvirt_proxy', return_value=qmp), \
                mock.patch.object(self.tested._control, 'find', return_value=self.domain):
            told = []

            def watch(watched, reporter, disk_paths, sleep):
                plan = watched._plan.for_disks(len(disk_paths))
                told.append(watched.facts(plan, 0).can_throttle)
                while not reporter.operation_done():
                    sleep(0.01)
                return outcome_mod.Outcome(outcome_mod.End.COMPLETED, 'because')

            self.server, self.data = self.instance(
                {'migpolicy:remedies': 'auto_converge'}), self.migrate_data()
            with mock.patch.object(session_mod.Session, 'watch', watch):
                self.tested._live_migration(
                    self.context, self.server, 'dest', *self.ends, False, self.data)
        [(_, _, _, flags)] = [call for call in self.domain.calls if call[0] == 'migrate']
        self.assertFalse(flags & libvirt.VIR_MIGRATE_AUTO_CONVERGE)
        self.assertEqual([False], told)

    def test_the_servers_next_migration_is_not_forgotten_with_this_one(self):
        def begin_another(*args, **kwargs):
            self.tested._current[base.UUID] = 'another'

        self.recover.side_effect = begin_another
        self.start(command=vocabulary.CANCEL)
        self.assertEqual({base.UUID: 'another'}, self.tested._current)

    def test_whoever_asks_one_that_cannot_begin_is_told(self):
        item = inbox_mod.Retune({}, ())

        def fail(tested, context, server, *args):
            self.tested._current[server.uuid].inbox.ask(item)
            raise RuntimeError('no domain')

        with mock.patch.object(libvirt_driver.LibvirtDriver, '_live_migration', fail):
            self.assertRaises(RuntimeError, self.start)
        self.assertEqual(409, item.reply.wait(0).status)
        self.assertEqual({}, self.tested._current)

    def test_whoever_asks_while_it_is_undone_is_told(self):
        def undo(*args, **kwargs):
            [current] = self.tested._current.values()
            self.told = current.order(inbox_mod.Command(vocabulary.PAUSE))

        self.recover.side_effect = undo
        self.start(command=vocabulary.CANCEL)
        self.assertEqual(409, self.told.status)

    def test_a_completion_waits_for_novas_own_monitor(self):
        seen = []

        def watch(tested, context, server, *args):
            seen.append(list(tested.active_migrations[server.uuid]))
            while not compat.is_done(args[-2])():
                time.sleep(0.01)

        for command, wanted in ((vocabulary.FORCE_COMPLETE, ['force-complete']), (None, [])):
            with mock.patch.object(
                    libvirt_driver.LibvirtDriver, '_live_migration_monitor', watch):
                self.start({'migpolicy:profile': 'nova'}, command)
            self.assertEqual(wanted, seen.pop())

    def check_cleared(self):
        self.assertEqual({}, self.tested.active_migrations)
        self.assertEqual({}, self.tested._current)
        subscribed = self.connection.domainEventRegisterAny.call_count
        self.assertEqual((4, 4), (
            subscribed, self.connection.domainEventDeregisterAny.call_count))

    def test_completed(self):
        self.run_one(outcome_mod.End.COMPLETED)
        self.post.assert_called_once_with(self.context, self.server, 'dest', False, self.data)
        self.recover.assert_not_called()
        self.explain.assert_not_called()
        self.check_cleared()

    def test_cancelled(self):
        self.run_one(outcome_mod.End.CANCELLED)
        self.recover.assert_called_once_with(
            self.context, self.server, 'dest', self.data, migration_status='cancelled')
        self.post.assert_not_called()
        self.explain.assert_called_once()
        self.check_cleared()

    def test_failed(self):
        self.run_one(outcome_mod.End.FAILED)
        self.recover.assert_called_once_with(self.context, self.server, 'dest', self.data)
        self.post.assert_not_called()
        self.check_cleared()

    def test_flavors_policy_reaches_the_migrate_call(self):
        self.run_one(outcome_mod.End.COMPLETED, {
            'migpolicy:bandwidth_mib_s': '33', 'migpolicy:remedies': 'post_copy'})
        [(_, _, params, flags)] = self.domain.calls
        self.assertEqual(33, params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH])
        self.assertTrue(flags & libvirt.VIR_MIGRATE_POSTCOPY)
        self.assertEqual(33, self.session.policy.bandwidth_mib_s)

    def test_error_of_the_call_is_the_monitors_to_judge(self):
        self.domain._on_migrate = mock.Mock(side_effect=RuntimeError('refused'))
        self.run_one(outcome_mod.End.FAILED)
        self.assertEqual('refused', str(self.session.call.error))
        self.recover.assert_called_once_with(self.context, self.server, 'dest', self.data)
        self.check_cleared()

    def test_profile_nova_is_novas_own_monitor(self):
        with mock.patch.object(
                libvirt_driver.LibvirtDriver, '_live_migration_monitor') as monitor:
            self.tested._live_migration(
                self.context, self.instance({'migpolicy:profile': 'nova'}), 'dest', *self.ends,
                False, self.migrate_data())
        monitor.assert_called_once()
        self.connection.domainEventRegisterAny.assert_not_called()
        [(_, _, params, flags)] = self.domain.calls
        self.assertEqual((0, libvirt.VIR_MIGRATE_LIVE),
                         (params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH], flags))

    def stock_fails(self, state, *known):
        """Let Nova's monitor take one for failed; return what is written down of it then."""
        def fail(tested, context, server, guest, dest, post, recover, block, data, *rest):
            recover(context, server, dest, data, migration_status='cancelled')

        guest = mock.Mock(uuid=base.UUID)
        guest.job_stats.return_value, guest.state.side_effect = {}, [state]
        self.recover.reset_mock()
        with mock.patch.object(libvirt_driver.LibvirtDriver, '_live_migration_monitor', fail), \
                mock.patch.object(self.tested, '_guest_of', return_value=guest), \
                mock.patch.object(self.tested, '_stay_obstacle', side_effect=known) as asked:
            self.start({'migpolicy:profile': 'nova'})
        self.assertEqual(len(known), asked.call_count)
        return [record.written for record in self.tested._records.all()]

    def test_novas_own_monitor_may_roll_back_what_has_stayed(self):
        for state, known in (((libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED), ()),
                             ((libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION),
                              (None,))):
            self.assertEqual([], self.stock_fails(state, *known))
            self.recover.assert_called_once_with(
                self.context, self.server, 'dest', self.data, migration_status='cancelled')

    def test_but_not_what_may_have_left(self):
        """libvirt was started again in the switchover, and the guest may run on both hosts."""
        for state in (exception.GuestError('state', 'no libvirt'),
                      (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION),
                      (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED)):
            self.assertEqual([evidence.Written.COPYING],
                             self.stock_fails(state, 'the guest has arrived'))
            self.recover.assert_not_called()
            self.assertEqual({}, self.tested._current)
            self.assertIn('left to recovery: the guest has arrived', self.log.output)

    def check_source(self, specs=None, **conf):
        self.tested._measurements = mock.Mock()
        for name, value in conf.items():
            self.set_option(name, value, 'migpolicy')
        with mock.patch.object(libvirt_driver.LibvirtDriver, 'check_can_live_migrate_source',
                               return_value='checked') as novas:
            found = self.tested.check_can_live_migrate_source(
                self.context, self.instance(specs or {}), 'data', 'devices')
        self.assertEqual('checked', found)
        self.assertEqual('devices', novas.call_args.args[-1])
        return self.tested._measurements.begin

    def test_a_server_is_measured_while_nova_checks_the_source(self):
        begin = self.check_source()
        self.assertEqual(base.UUID, begin.call_args.args[0].uuid)
        self.check_source({'migpolicy:profile': 'nova'}).assert_not_called()
        self.check_source(measure_before_start=False).assert_not_called()

    def test_a_measurement_that_fails_stops_no_migration(self):
        with mock.patch.object(self.tested._policies, 'resolver', side_effect=RuntimeError):
            self.check_source().assert_not_called()

    def test_a_policy_that_cannot_be_applied_leaves_it_to_nova(self):
        with mock.patch.object(self.tested._policies, 'resolve', side_effect=RuntimeError), \
                mock.patch.object(
                    libvirt_driver.LibvirtDriver, '_live_migration_monitor') as monitor:
            self.tested._live_migration(
                self.context, self.instance(), 'dest', *self.ends, False,
                self.migrate_data())
        monitor.assert_called_once()
        self.assertEqual({}, self.tested._current)

    def test_when_the_monitor_dies_the_job_is_ended_in_libvirt(self):
        def die(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            raise RuntimeError('a bug')

        self.domain.abortJob = mock.Mock()
        with mock.patch.object(session_mod.Session, 'watch', die):
            self.assertRaises(
                RuntimeError, self.tested._live_migration, self.context, self.instance(),
                'dest', *self.ends, False, self.migrate_data())
        self.domain.abortJob.assert_called_once()
        self.post.assert_not_called()
        self.check_cleared()
