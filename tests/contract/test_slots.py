# SPDX-License-Identifier: Apache-2.0
"""The slots of a nova-compute: what it counts at its start, and what nobody needs any more."""

import dataclasses
import time
from unittest import mock

from nova import exception as nova_exception
from nova.virt.libvirt import driver as libvirt_driver

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import waits
from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import compat
from nova_migpolicy.compute import driver
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import nova_records
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.compute import slots as slots_mod
from nova_migpolicy.compute import stopping as stopping_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import domains
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import table
from nova_migpolicy import vocabulary
from tests.contract import base
from tests.contract import handing
from tests.unit.compute import hosts

Source, Written = evidence.Source, evidence.Written
RUNNING = domains.Answers(Source.RUNNING, False, evidence.Destination.ARRIVED)
SENT = RUNNING._replace(job=True)


class SlotsCase(handing.MigrationCase):
    """A driver whose bus only takes notes."""

    def setUp(self):
        super().setUp()
        self.tested._peers = self.bus = mock.Mock()
        self.domain_here = self.patch_driver('_domain_here', return_value=SENT)
        self.data = self.migrate_data()
        self.uuid = self.data.migration.uuid

    def patch_driver(self, name, **kwargs):
        patch = mock.patch.object(self.tested, name, **kwargs)
        self.addCleanup(patch.stop)
        return patch.start()

    def write(self, written, **fields):
        """Write a migration down that an earlier process has begun."""
        record = kept_mod.describe(
            self.context, self.instance(), 'dest', self.data.migration, self.data,
            block_migration=False, source_bdms=None, source='source', written=written)
        self.tested._records.keep(dataclasses.replace(record, **fields))

    def begin(self):
        """Let the driver begin with its slots."""
        with mock.patch.object(slots_mod.Slots, 'start') as started:
            self.tested._begin_with_slots('source')
        started.assert_called_once_with()
        return self.tested._slots


class TestAdopted(SlotsCase):

    def counted(self, written, found, **fields):
        self.write(written, **fields)
        self.domain_here.return_value = found
        return self.begin().has_both(self.uuid)

    def test_what_flows_from_here_is_counted_at_the_start(self):
        for written in (Written.COPYING, Written.POST_COPY):
            self.assertTrue(self.counted(written, SENT))

    def test_so_is_what_may_flow(self):
        for source in (Source.SILENT, Source.POST_COPY):
            self.assertTrue(self.counted(Written.COPYING, RUNNING._replace(source=source)))

    def test_nothing_else_is(self):
        """One that was parked when nova-compute was killed, too, is only written down."""
        for written in set(Written) - set(driver.FLOWING):
            self.assertFalse(self.counted(written, SENT))
        self.assertFalse(self.counted(Written.COPYING, RUNNING))
        # libvirt keeps the job of a post-copy that broke off.
        self.assertFalse(self.counted(
            Written.POST_COPY, SENT._replace(source=Source.POST_COPY_FAILED)))
        self.assertFalse(self.counted(Written.COPYING, domains.ABSENT))
        self.assertFalse(self.counted(
            Written.POST_COPY, RUNNING._replace(source=Source.POST_COPY_FAILED),
            undecided={'since_s': 1.0, 'kind': table.Kind.HOLD.value, 'reason': 'x'}))

    def test_limits_are_those_of_nova_conf_and_change_with_it(self):
        self.set_option('max_outgoing', 1, 'migpolicy')
        self.set_option('max_incoming', 0, 'migpolicy')
        self.set_option('alone_above_gib', 2, 'migpolicy')
        store = self.tested._policies._store
        store.reload()
        slots = self.begin()
        self.assertEqual(limits_mod.Limits(1, 0, 2048.0), slots.limits)
        with mock.patch.object(slots, 'set_limits', wraps=slots.set_limits) as told:
            self.tested._policies._store._told.clear()
            self.tested._policies.on_limits(told)
            store.reload()
            told.assert_not_called()
            self.set_option('max_outgoing', 3, 'migpolicy')
            store.reload()
            told.assert_called_once_with(limits_mod.Limits(3, 0, 2048.0))
        self.assertEqual(3, slots.limits.max_outgoing)

    def test_one_that_cannot_be_told_does_not_end_the_reload(self):
        self.tested._policies.on_limits(mock.Mock(side_effect=RuntimeError('a bug')))
        told = mock.Mock()
        self.tested._policies.on_limits(told)
        self.set_option('max_outgoing', 7, 'migpolicy')
        self.assertTrue(self.tested._policies._store.reload())
        told.assert_called_once()
        self.assertIn('a bug', self.log.output)


class TestLeft(SlotsCase):
    """Slots of what nobody is at work on."""

    def setUp(self):
        super().setUp()
        self.slots = self.begin()
        self.slots.adopt(slots_mod.Want(self.uuid, 's', 'dest'))

    def kept(self):
        self.tested._check_slots()
        return [one.want.migration for one in self.slots._outgoing.own()]

    def test_what_is_at_work_here_keeps_them(self):
        self.domain_here.return_value = RUNNING
        self.tested._current[base.UUID] = migration_mod.Migration(self.uuid, inbox_mod.Inbox())
        self.assertEqual([self.uuid], self.kept())
        self.domain_here.assert_not_called()
        self.tested._current.clear()
        self.assertEqual([], self.kept())

    def test_what_flows_keeps_them(self):
        self.write(Written.COPYING)
        self.assertEqual([self.uuid], self.kept())
        self.domain_here.return_value = domains.SILENT
        self.assertEqual([self.uuid], self.kept())

    def test_what_was_deleted_or_has_ended_does_not(self):
        """The destination may not answer for hours, and what happened is not decided till then."""
        for found in (RUNNING, domains.ABSENT):
            self.slots.adopt(slots_mod.Want(self.uuid, 's', 'dest'))
            self.write(Written.COPYING)
            self.domain_here.return_value = found
            self.assertEqual([], self.kept())

    def test_a_record_that_cannot_be_read_ends_nothing(self):
        with mock.patch.object(self.tested._records, 'get',
                               side_effect=exception.RecordNotRead('p', 'busy')):
            self.assertIn(self.uuid, self.kept())

    def test_a_driver_without_slots_has_none_to_give_back(self):
        self.tested._slots = None
        self.tested._check_slots()
        self.tested._give_slots_back(self.uuid)


class TestCourse(SlotsCase):
    """What the destination is told of one whose data flows."""

    def course(self, **view):
        current = self.tested._current[base.UUID] = migration_mod.Migration(
            self.uuid, inbox_mod.Inbox())
        self.assertIsNone(self.tested._course(self.uuid))
        current.session = mock.Mock(view=lambda: vocabulary.blank_status(**view))
        self.assertIsNone(self.tested._course('another'))
        return self.tested._course(self.uuid)

    def test_its_phase_and_its_end(self):
        self.assertEqual(slots_mod.Course('passes', 9.0), self.course(
            phase='passes', eta_seconds={'low': 7.0, 'expected': 9.0, 'high': 20.0}))
        self.assertEqual(slots_mod.Course('passes', None), self.course(phase='passes'))

    def test_the_slots_are_renewed_with_it(self):
        self.course(phase='passes', eta_seconds={'low': 7.0, 'expected': 9.0, 'high': 20.0})
        slots = self.begin()
        slots.adopt(slots_mod.Want(self.uuid, 's', 'dest'))
        slots.wake()
        self.assertEqual('passes', slots._outgoing._own[self.uuid].phase)


class FlowCase(SlotsCase):
    """A migration through the driver, with slots that take notes and do as a test says."""

    def setUp(self):
        super().setUp()
        #: what happens, in its order
        self.happened = []
        self.now_s = 1000.0
        self.slots = self.tested._slots = mock.create_autospec(slots_mod.Slots, instance=True)
        self.slots.has_both.side_effect = lambda migration: self.has_both
        self.slots.silent_s.return_value = 0.0
        self.slots.wait.side_effect = self.look
        self.slots.ask.side_effect = lambda want, stir: self.note('ask')
        self.slots.end.side_effect = lambda migration: self.note('end')
        self.has_both = True
        #: what is done while it waits, one after the other
        self.steps = []
        self.post.side_effect = lambda *args, **kwargs: self.note('post')
        self.recover.side_effect = lambda *args, **kwargs: self.note('recover')
        self.domain._on_migrate = lambda: self.note('migrate')
        self.prepare = self.replace(session_mod.Session, 'prepare')
        self.prepare.side_effect = lambda *args: self.note('prepare')
        self.explain = self.replace(driver.nova_records, 'explain')
        self.explain.side_effect = lambda *args: self.note('explain')
        self.replace(driver.compat, 'make_inbox').side_effect = lambda: inbox_mod.Inbox(
            lambda: self.now_s)
        self.server = self.instance()

    def replace(self, *args, **kwargs):
        patch = mock.patch.object(*args, **kwargs)
        self.addCleanup(patch.stop)
        return patch.start()

    def note(self, what):
        """Note what happens, and what is written down at that moment."""
        record = self.tested._records.get(self.uuid)
        self.happened.append((what, record and record.written.value))

    def look(self, migration):
        """It looks what it waits for: the next step is done meanwhile."""
        if self.steps:
            self.steps.pop(0)()
        return waits.Wait('dest', vocabulary.INCOMING_SLOT, 2, 2)

    def later(self, *steps):
        """Let it wait, and do these things meanwhile."""
        self.has_both = False
        self.steps = list(steps)

    def get_both(self):
        self.has_both = True
        self.slots.ask.call_args.args[1]()

    def migrate(self, specs=None, end=outcome_mod.End.COMPLETED, watch=None):
        """Run a migration that was written down when Nova began to prepare it."""
        self.server = self.instance(specs)
        self.tested._records.keep(kept_mod.describe(
            self.context, self.server, 'dest', self.data.migration, self.data,
            block_migration=False, source_bdms=None, source='source',
            written=Written.PREPARING))

        def see(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            self.note('watch')
            return outcome_mod.Outcome(end, 'because') if end is not None else None

        with mock.patch.object(session_mod.Session, 'watch', watch or see):
            self.tested._live_migration(
                self.context, self.server, 'dest', *self.ends, False, self.data)

    def steps_of(self, *names):
        return [one for one in self.happened if one[0] in names]

    def current(self):
        [current] = self.tested._current.values()
        return current


class TestFlow(FlowCase):

    def test_slots_first_then_qemu_the_record_and_the_data(self):
        self.migrate()
        self.assertEqual([('ask', 'preparing'), ('prepare', 'preparing'), ('migrate', 'copying'),
                          ('watch', 'copying')], self.happened[:4])

    def test_what_it_wants(self):
        self.migrate({'migpolicy:priority': '70'})
        self.assertEqual(slots_mod.Want(self.uuid, 's', 'dest', 70, 256.0),
                         self.slots.ask.call_args.args[0])

    def test_disks_that_are_copied_are_a_part_of_its_cost(self):
        self.assertEqual(256.0 + 1024, driver._cost_mib(self.server, True))

    def test_they_are_given_back_before_nova_ends_it(self):
        for end, novas in ((outcome_mod.End.COMPLETED, 'post'),
                           (outcome_mod.End.FAILED, 'recover'),
                           (outcome_mod.End.CANCELLED, 'recover')):
            self.happened.clear()
            self.migrate(end=end)
            names = [name for name, _ in self.happened]
            self.assertLess(names.index('end'), names.index(novas))
            self.assertEqual({}, self.tested._current)

    def test_they_are_given_back_as_soon_as_no_data_flows(self):
        """The monitor says so before it asks others, and before Nova's database is told why."""
        def watch(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            watched.flowed()
            return outcome_mod.Outcome(outcome_mod.End.FAILED, 'because')

        self.migrate(watch=watch)
        names = [name for name, _ in self.happened]
        self.assertLess(names.index('end'), names.index('explain'))
        self.slots.end.assert_called_with(self.uuid)

    def test_what_is_left_keeps_them(self):
        """Its data flows on, and its lease goes on meanwhile."""
        self.migrate(end=None)
        self.assertEqual([], self.steps_of('end'))

    def test_a_broken_post_copy_gives_them_back(self):
        """Nothing flows until it is resumed, and its destination may be off for hours."""
        self.assertRaises(nova_records.PostCopyBroken, self.migrate, end=outcome_mod.End.BROKEN)
        self.assertTrue(self.steps_of('end'))

    def test_where_it_is_not_known_how_it_ended_they_are_given_back(self):
        self.migrate(end=outcome_mod.End.UNDECIDED)
        self.assertTrue(self.steps_of('end'))

    def test_whatever_fails_they_are_given_back(self):
        def die(*args):
            raise RuntimeError('a bug')

        for name in ('undo', 'watch'):
            self.happened.clear()
            with mock.patch.object(session_mod.Session, name, die):
                self.assertRaises(
                    RuntimeError, self.migrate, watch=die if name == 'watch' else None)
            self.assertTrue(self.steps_of('end'))

    def test_one_whose_slots_cannot_be_asked_for_begins(self):
        self.slots.ask.side_effect = RuntimeError('a bug')
        self.migrate()
        self.post.assert_called_once()
        self.assertIn('does not wait for its slots', self.log.output)
        self.assertEqual({}, self.tested._current)

    def test_the_deadline_begins_after_the_wait(self):
        facts = []

        def pass_by():
            self.now_s += 500.0
            self.get_both()

        def watch(watched, reporter, disk_paths, sleep):
            while not reporter.operation_done():
                sleep(0.01)
            facts.append(watched.facts(watched._plan, 0))
            return outcome_mod.Outcome(outcome_mod.End.COMPLETED, 'because')

        self.later(pass_by)
        self.migrate({'migpolicy:timeout_seconds': '60', 'migpolicy:timeout_seconds_per_gib': '0'},
                     watch=watch)
        self.assertEqual((1500.0, 1560.0), (facts[0].started_s, facts[0].deadline_s))


class TestParked(FlowCase):
    """While it waits."""

    PROFILES = (None, {'migpolicy:profile': 'nova'})

    def check_undone(self, reason):
        """It did not begin; what Nova prepared was undone, and its slots were free before."""
        names = [name for name, _ in self.happened]
        self.assertLess(names.index('end'), names.index('explain'))
        self.assertLess(names.index('explain'), names.index('recover'))
        self.assertEqual([], self.steps_of('prepare', 'migrate', 'post'))
        self.assertEqual(reason, self.explain.call_args.args[-1])
        self.recover.assert_called_once_with(
            self.context, self.server, 'dest', self.data, migration_status='cancelled')
        self.assertEqual({}, self.tested._current)
        self.assertIsNone(self.tested._records.get(self.uuid))
        for one in (self.recover, self.explain):
            one.reset_mock()
        self.happened.clear()

    def test_until_it_begins_it_is_written_down_as_one_that_nothing_was_sent_of(self):
        """After a kill the next nova-compute rolls it back."""
        def both():
            self.note('waits')
            self.get_both()

        for specs in self.PROFILES:
            self.happened.clear()
            self.later(both)
            with mock.patch.object(libvirt_driver.LibvirtDriver, '_live_migration_monitor'):
                self.migrate(specs)
            self.assertEqual([('waits', 'preparing')], self.steps_of('waits'))
            self.assertIs(table.Kind.ROLL_BACK, table.decide(evidence.Evidence(
                source=Source.RUNNING, job=False, destination=evidence.Destination.ABSENT,
                written=Written.PREPARING, home=evidence.Home.SOURCE,
                status=evidence.Status.UNDER_WAY, migrating=True, was_paused=False)).kind)

    def test_nova_or_the_api_cancels_it(self):
        for specs in self.PROFILES:
            answers = []

            def cancel(answers=answers):
                item = inbox_mod.Command(vocabulary.CANCEL)
                # The caller waits in a thread of its own.
                with mock.patch.object(migration_mod, 'ANSWER_S', 0.0):
                    answers.append(self.current().order(item))
                answers.append(item)

            self.later(cancel)
            self.migrate(specs)
            self.check_undone(commands.CANCELLED)
            self.assertIn('waiting for an incoming slot on dest', answers[0].body['reason'])
            self.assertEqual(protocol.ACCEPTED, answers[1].reply.wait(0).status)

    def test_a_cancel_that_came_before_it_asks_nobody(self):
        self.tested._early.remember(self.uuid, vocabulary.CANCEL)
        self.migrate()
        self.slots.ask.assert_not_called()
        self.assertEqual([], self.steps_of('prepare', 'migrate'))

    def test_a_completion_is_done_when_it_begins(self):
        def order():
            self.current().inbox.ask(inbox_mod.Command(vocabulary.FORCE_COMPLETE))
            self.get_both()

        seen = []
        self.later(order)
        with mock.patch.object(
                libvirt_driver.LibvirtDriver, '_live_migration_monitor',
                lambda tested, context, server, *args: seen.append(
                    list(tested.active_migrations[server.uuid]))):
            self.migrate({'migpolicy:profile': 'nova'})
        self.assertEqual([['force-complete']], seen)

    def test_nova_compute_is_stopped(self):
        for wish in vocabulary.ON_SHUTDOWN:
            for specs in self.PROFILES:
                stopping = self.tested._stopping = stopping_mod.Stopping(
                    lambda wish=wish: wish, self.tested._current, stopping_mod.Others(
                        lambda: (), lambda server: None, lambda: None, lambda: False),
                    mock.Mock())
                self.later(stopping.begin)
                self.migrate(specs)
                self.check_undone(stopping_mod.NOT_BEGUN)
                # Nothing keeps the process.
                stopping.wait(hosts.LONG_S)

    def test_its_server_is_deleted(self):
        """Nova destroys the guest in another thread, and this one has to end."""
        for specs in self.PROFILES:
            def destroy():
                self.domain_here.return_value = RUNNING
                with mock.patch.object(libvirt_driver.LibvirtDriver, 'destroy') as novas:
                    self.tested.destroy(self.context, self.server, 'network')
                novas.assert_called_once()
                self.assertTrue(self.current().stir.is_set())

            self.later(destroy)
            self.migrate(specs)
            self.check_undone(driver.DELETED)

    def test_one_that_nova_cannot_roll_back_is_left_to_recovery(self):
        """As of a server that is gone from Nova's database."""
        def destroy():
            self.current().delete()

        self.later(destroy)
        self.recover.side_effect = nova_exception.InstanceNotFound(instance_id=base.UUID)
        self.assertRaises(nova_exception.InstanceNotFound, self.migrate)
        self.assertIs(Written.PREPARING, self.tested._records.get(self.uuid).written)
        self.assertEqual({}, self.tested._current)

    def test_a_policy_that_cannot_be_applied_after_the_wait_leaves_it_to_nova(self):
        self.prepare.side_effect = RuntimeError('no such policy')
        self.later(self.get_both)

        def see(tested, context, server, guest, dest, post, *args):
            while not compat.is_done(args[-2])():
                time.sleep(0.01)
            self.note('watch')
            post(context, server, dest, False, self.data)

        with mock.patch.object(libvirt_driver.LibvirtDriver, '_live_migration_monitor', see):
            self.migrate()
        self.assertEqual(['ask', 'migrate', 'watch', 'end', 'post'],
                         [name for name, _ in self.happened][:5])

    def test_novas_own_monitor_gives_them_back_before_the_destination_is_asked(self):
        def fail(tested, context, server, guest, dest, post, recover, block, data, *rest):
            recover(context, server, dest, data)

        def stay(record):
            self.note('asked')

        with mock.patch.object(libvirt_driver.LibvirtDriver, '_live_migration_monitor', fail), \
                mock.patch.object(driver.outcome_mod, 'has_stayed', return_value=False), \
                mock.patch.object(self.tested, '_stay_obstacle', stay):
            self.migrate({'migpolicy:profile': 'nova'})
        names = [name for name, _ in self.happened]
        self.assertLess(names.index('end'), names.index('asked'))

    def test_the_process_that_ends_says_nothing_more(self):
        with mock.patch.object(libvirt_driver.LibvirtDriver, 'cleanup_host'):
            self.tested.cleanup_host('source')
        self.slots.stop.assert_called_once_with()
