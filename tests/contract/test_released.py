# SPDX-License-Identifier: Apache-2.0
"""What an operator has released is let go in Nova, and started once, where nothing speaks against.

Nova's own objects, over a database that only takes notes.
"""

from __future__ import annotations

import datetime
import pathlib
import threading
import time
import types
from unittest import mock

from nova import exception as nova_exception
from nova import objects

from nova_migpolicy.channel import client
from nova_migpolicy.compute import doors
from nova_migpolicy.compute import hands
from nova_migpolicy.compute import peers
from nova_migpolicy.compute import recovering
from nova_migpolicy.monitor import domains
from nova_migpolicy.recovery import evidence
from nova_migpolicy import written
from tests.contract import base
from tests.unit.recovery import cases

Source = evidence.Source
Destination = evidence.Destination
OFF_THERE = domains.Answers(Source.SHUT_OFF, False, Destination.ABSENT)
RUNS_THERE = domains.Answers(Source.RUNNING, False, Destination.ARRIVED)
LOCKED = 'nova_migpolicy: neither host has the guest'


class ReleasedBase(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.records = written.Records(
            pathlib.Path(base.CONF.state_path) / written.FOLDER)
        self.record = cases.a_record(source='n1', destination='n2')
        self.records.keep(self.record)
        self.migration = self.a_migration(cases.MIGRATION, 'running')
        self.newest, self.older = self.migration, []
        self.server = self.instance(system_metadata={'locked_reason': LOCKED})
        self.server.uuid, self.server.host = cases.SERVER, 'n1'
        self.server.locked, self.server.locked_by = True, 'admin'
        self.saved = []
        for kind in (objects.Instance, objects.Migration):
            self.patch(kind, 'save', autospec=True, side_effect=self.saved.append)
        self.patch(objects.Instance, 'get_by_uuid',
                   side_effect=lambda *args, **named: self.found())
        self.patch(objects.Migration, 'get_by_uuid', side_effect=lambda *args: self.migration)
        self.patch(objects.MigrationList, 'get_by_filters', side_effect=self.newest_of)

    def patch(self, *args, **named):
        patch = mock.patch.object(*args, **named)
        self.addCleanup(patch.stop)
        return patch.start()

    def a_migration(self, uuid, status):
        return objects.Migration(
            self.context, id=3, uuid=uuid, status=status, instance_uuid=cases.SERVER,
            source_compute='n1', dest_compute='n2', migration_type='live-migration',
            created_at=datetime.datetime.now(datetime.timezone.utc))

    def found(self):
        return self.server

    def newest_of(self, context, filters, **sorting):
        self.assertEqual(cases.SERVER, filters['instance_uuid'])
        return [self.newest, *self.older]

    def release(self):
        self.records.release(self.record, 'ann', time.time())


class LetGoTest(ReleasedBase):

    def setUp(self):
        super().setUp()
        self.manager = mock.Mock()
        self.hands = hands.Hands(self.manager, 'n1', guest=None, commanded=None)

    def test_the_server_is_unlocked_and_not_migrating(self):
        self.assertTrue(self.hands.let_go(self.record))
        self.assertEqual((False, None, None), (
            self.server.locked, self.server.locked_by, self.server.task_state))
        self.assertNotIn('locked_reason', self.server.system_metadata)
        self.assertEqual('error', self.migration.status)
        self.assertEqual([self.migration, self.server], self.saved)
        self.manager._revert_allocation.assert_called_once_with(
            mock.ANY, self.server, self.migration)

    def test_one_that_nova_has_on_the_destination(self):
        self.server.host = 'n2'
        self.assertTrue(self.hands.let_go(self.record))
        self.manager._revert_allocation.assert_not_called()
        self.manager._delete_allocation_after_move.assert_called_once_with(
            mock.ANY, self.server, self.migration)

    def test_a_lock_of_another_and_another_task_stay(self):
        self.server.system_metadata['locked_reason'] = 'mine'
        self.server.task_state = 'rebooting'
        self.hands.let_go(self.record)
        self.assertEqual((True, 'rebooting'), (self.server.locked, self.server.task_state))

    def test_a_migration_that_has_ended_stays_so(self):
        self.migration.status = 'completed'
        self.assertTrue(self.hands.let_go(self.record))
        self.assertEqual('completed', self.migration.status)
        self.assertEqual([], self.manager.mock_calls)

    def test_a_newer_migration_ends_it(self):
        self.newest = self.a_migration(cases.OTHER, 'running')
        self.assertFalse(self.hands.let_go(self.record))
        self.assertEqual([], self.saved)

    def test_a_server_that_was_deleted(self):
        self.found = mock.Mock(side_effect=nova_exception.InstanceNotFound(instance_id='a'))
        self.assertFalse(self.hands.let_go(self.record))
        self.assertEqual([], self.saved)


class RecoveryTest(ReleasedBase):

    def setUp(self):
        super().setUp()
        self.manager, self.world = mock.Mock(), mock.Mock()
        self.world.is_watched.return_value = False
        self.recovery = recovering.Recovery(
            self.records, hands.Hands(self.manager, 'n1', guest=None, commanded=None), self.world)

    def look_around(self):
        self.recovery.look_around()
        for thread in threading.enumerate():
            if thread.name.startswith('recovery of'):
                thread.join(10)

    def told(self):
        return [call.args[1] for call in self.world.tell.mock_calls]

    def test_at_the_next_look(self):
        self.release()
        self.look_around()
        self.assertFalse(self.server.locked)
        self.assertEqual(['recovery: released by ann'], self.told())
        self.assertIn('ann has released it from migration', self.log.output)
        self.look_around()
        self.assertEqual(1, len(self.told()))
        self.assertEqual([False], [one.is_used for one in self.records.releases()])

    def test_not_while_it_is_watched(self):
        self.release()
        self.world.is_watched.return_value = True
        self.look_around()
        self.assertTrue(self.server.locked)
        self.world.is_watched.return_value = False
        self.look_around()
        self.assertFalse(self.server.locked)

    def test_again_where_it_fails(self):
        self.release()
        self.found = mock.Mock(side_effect=RuntimeError('the database is away'))
        self.look_around()
        self.assertEqual([], self.told())
        self.found = lambda: self.server
        self.look_around()
        self.assertFalse(self.server.locked)

    def test_what_a_newer_migration_has_ended_allows_nothing(self):
        self.release()
        self.newest = self.a_migration(cases.OTHER, 'completed')
        self.look_around()
        self.assertTrue(self.server.locked)
        self.assertEqual([True], [one.is_used for one in self.records.releases()])

    def test_what_was_owed_to_nova_is_not_done(self):
        """Nova's start of the server, which waited for the end of its migration."""
        start = mock.Mock()
        self.world.is_watched.return_value = True
        self.recovery.owe(self.record, start)
        self.release()
        self.world.is_watched.return_value = False
        self.look_around()
        start.assert_not_called()
        self.assertEqual({}, self.recovery._owed)


class DoorTest(ReleasedBase):

    def setUp(self):
        super().setUp()
        self.server.task_state = None
        self.answers = {'n1': OFF_THERE}
        self.here = 'n1'
        self.note = mock.Mock()

    def ask(self, context, host, method, **arguments):
        if method == 'whereabouts':
            if host not in self.answers:
                raise client.Unreachable(503, 'silence')
            return 200, peers.Whereabouts(self.answers[host], host, 0, 0).to_dict()
        self.assertEqual('use_release', method)
        found = self.records.use_release(arguments['server'], arguments['migration'])
        return 200, {'by': found and found.by}

    def doors(self):
        return doors.Doors(self.here, self.records, lambda server: self.answers[self.here],
                           types.SimpleNamespace(ask=self.ask), finish=mock.Mock(),
                           note_allocation=self.note)

    def check(self):
        """Whether a start is allowed here."""
        try:
            self.doors().check(self.context, self.server)
        except doors.Closed as error:
            return str(error)
        return ''

    def test_whether_other_hosts_have_to_be_asked(self):
        self.ask = mock.Mock(side_effect=AssertionError('not yet'))
        self.assertTrue(self.doors().has_to_ask(self.context, self.server))
        self.records.drop(cases.MIGRATION)
        for status, here, expected in (('error', RUNS_THERE, False), ('error', OFF_THERE, True),
                                       ('completed', OFF_THERE, False)):
            self.migration.status, self.answers = status, {'n1': here}
            self.assertEqual(expected, self.doors().has_to_ask(self.context, self.server))
        self.answers = {}
        self.migration.status = 'error'
        self.assertFalse(self.doors().has_to_ask(self.context, self.server))
        self.assertIn('It is not known whether another host has to be asked', self.log.output)

    def test_a_start_is_allowed_and_not_asked_about_again(self):
        self.migration.status = 'error'
        self.assertIn('the destination does not answer', self.check())
        self.release()
        self.assertEqual('', self.check())
        self.assertEqual([True], [one.is_used for one in self.records.releases()])
        self.assertEqual('failed', self.migration.status)
        self.assertIn('ann has released it', self.log.output)
        self.assertEqual('', self.check())

    def test_no_destination_had_been_chosen(self):
        """Nova's conductor has found none, and ends the migration as an error."""
        self.migration.status, self.migration.dest_compute = 'error', None
        self.records.drop(cases.MIGRATION)
        self.assertEqual('', self.check())

    def test_what_runs_where_nova_has_it_is_started_anew(self):
        """Other hosts of an old migration may be no more."""
        self.migration.status = 'error'
        self.records.drop(cases.MIGRATION)
        for here in ('n1', 'n2', 'n3'):
            self.here, self.server.host = here, here
            self.answers = {here: RUNS_THERE}
            self.assertEqual('', self.check(), here)
            self.answers = {here: OFF_THERE}
            self.assertIn(f'It is not started on {here}', self.check())
        self.server.host = 'n1'
        self.answers = {'n3': RUNS_THERE}
        self.assertIn('It is not started on n3', self.check())

    def test_what_has_left_its_source_is_started_anew(self):
        """The source may have died before it told Nova that all is done."""
        self.records.drop(cases.MIGRATION)
        for here, allowed in (('n1', False), ('n2', True), ('n3', True)):
            self.here, self.server.host = here, here
            self.answers = {here: RUNS_THERE}
            self.assertEqual(allowed, self.check() == '', here)

    def test_what_was_resized_since(self):
        """Its old copy is on the host that it may have to go back to, off."""
        self.migration.status = 'error'
        self.records.drop(cases.MIGRATION)
        self.here, self.server.host = 'n3', 'n3'
        self.answers = {'n1': OFF_THERE, 'n2': domains.ABSENT, 'n3': domains.ABSENT}
        self.assertEqual('', self.check())
        self.answers['n2'] = RUNS_THERE
        self.assertIn('It is not started on n3', self.check())
        del self.answers['n2']
        self.assertIn('recovery release', self.check())

    def test_at_home_where_nothing_is_written_down(self):
        self.migration.status = 'error'
        self.records.drop(cases.MIGRATION)
        self.assertIn('with `--here` on the one that is to start it', self.check())
        self.records.release_here(cases.SERVER, 'ann', time.time() + 60)
        self.assertEqual('', self.check())
        self.assertEqual('failed', self.migration.status)

    def test_not_where_the_destination_runs_it(self):
        self.migration.status = 'error'
        self.release()
        for there in (RUNS_THERE,
                      domains.Answers(Source.PAUSED, False, Destination.POST_COPY_FAILED),
                      domains.Answers(Source.PAUSED, False, Destination.INCOMING)):
            self.answers['n2'] = there
            self.assertIn('It is not started on n1', self.check(), there)
        self.assertEqual([False], [one.is_used for one in self.records.releases()])
        self.assertEqual('error', self.migration.status)

    def test_not_for_a_newer_migration(self):
        self.release()
        self.newest = self.migration = self.a_migration(cases.OTHER, 'error')
        self.assertIn('It is not started on n1', self.check())

    def newer(self, status, to='n3'):
        """Let there be a newer migration, of which nothing is written down."""
        self.older = [self.migration]
        self.newest = self.a_migration(cases.OTHER, status)
        self.newest.dest_compute = to

    def test_a_later_request_that_came_to_nothing_hides_no_earlier_migration(self):
        for to in (None, 'n3'):
            for status in ('error', 'failed', 'cancelled'):
                self.newer(status, to)
                self.answers['n3'] = domains.ABSENT
                self.migration.status = 'running'
                self.assertIn('the destination does not answer', self.check(), (status, to))
                # As Nova's record alone tells.
                self.migration.status = 'error'
                self.records.drop(cases.MIGRATION)
                self.assertIn('It is not started on n1', self.check(), (status, to))
                self.records.keep(self.record)

    def test_a_refused_evacuation_takes_nothing_from_a_server_that_is_coming(self):
        self.here = 'n2'
        self.answers = {'n2': domains.Answers(Source.ABSENT, False, Destination.POST_COPY)}
        self.records.drop(cases.MIGRATION)
        self.assertIn('It is not started on n2', self.check())
        self.note.assert_not_called()
        self.server.task_state = 'rebuilding'
        self.assertIn('It is not started on n2', self.check())
        self.note.assert_called_once_with(self.context, cases.SERVER, cases.MIGRATION)
        self.note.reset_mock()
        self.here, self.answers['n1'] = 'n1', OFF_THERE
        self.assertIn('It is not started on n1', self.check())
        self.note.assert_not_called()

    def test_one_word_of_an_operator_is_for_all_of_them_and_each_host_is_asked_once(self):
        self.newer('error', 'n2')
        self.migration.status = 'error'
        asked, ask = [], self.ask

        def count(context, host, method, **arguments):
            asked.append((host, method))
            return ask(context, host, method, **arguments)

        self.ask = count
        self.assertIn('It is not started on n1', self.check())
        self.assertEqual([('n2', 'whereabouts')], asked)
        self.release()
        self.assertEqual('', self.check())
        self.assertEqual([True], [one.is_used for one in self.records.releases()])

    def test_a_release_is_not_used_up_where_another_migration_keeps_it_closed(self):
        self.newer('error', 'n3')
        self.migration.status = 'error'
        self.answers['n3'] = RUNS_THERE
        self.release()
        self.assertIn('It is not started on n1', self.check())
        self.assertEqual([False], [one.is_used for one in self.records.releases()])

    def test_one_that_was_completed_since_settles_what_was_before(self):
        self.newer('completed')
        self.migration.status = 'error'
        self.assertEqual('', self.check())

    def test_what_is_written_down_is_asked_for_though_novas_row_is_gone(self):
        self.newer('failed')
        self.older = []
        self.assertIn('the destination does not answer', self.check())
        self.newest.status = 'completed'
        self.assertEqual('', self.check())

    def test_where_the_server_is_on_the_destination(self):
        """The source is asked for the release that it has."""
        self.here, self.server.host = 'n2', 'n2'
        self.answers = {'n1': domains.Answers(Source.MIGRATED, False, Destination.SHUT_OFF),
                        'n2': domains.ABSENT}
        self.records.drop(cases.MIGRATION)
        before = self.check()
        self.records.keep(self.record)
        self.release()
        self.assertEqual('', self.check())
        self.assertIn('It is not started on n2', before)
        self.assertEqual([True], [one.is_used for one in self.records.releases()])

    def test_where_the_source_is_off_for_good(self):
        """An operator has released it on the host that is to start it, for what began before."""
        self.here, self.server.host = 'n2', 'n2'
        self.answers = {'n2': domains.ABSENT}
        self.migration.status = 'error'
        began_s = self.migration.created_at.timestamp()
        self.records.drop(cases.MIGRATION)
        self.ask = mock.Mock(side_effect=client.Off(503, 'silence'))
        self.records.release_here(cases.SERVER, 'ann', began_s - 60)
        self.assertIn('It is not started on n2', self.check())
        self.records.release_here(cases.SERVER, 'ann', began_s + 60)
        self.assertEqual('', self.check())
        self.assertIn('ann has released it from migration', self.log.output)
        self.assertEqual('failed', self.migration.status)
        self.assertEqual([True], [one.is_used for one in self.records.released_here(
            cases.SERVER)])
        # Once.
        self.migration.status = 'error'
        self.assertIn('It is not started on n2', self.check())

    def test_on_a_third_host_where_both_are_off(self):
        self.here, self.answers = 'n3', {'n3': domains.ABSENT}
        self.migration.status = 'error'
        self.records.drop(cases.MIGRATION)
        self.ask = mock.Mock(side_effect=client.Off(503, 'silence'))
        before = self.check()
        self.assertIn('with `--here` on the one that is to start it', before)
        self.records.release_here(cases.SERVER, 'ann', time.time() + 60)
        self.assertEqual('', self.check())

    def test_a_release_here_does_not_outweigh_what_is_seen(self):
        self.here, self.answers = 'n3', {'n3': domains.ABSENT, 'n2': RUNS_THERE}
        self.migration.status = 'error'
        self.records.drop(cases.MIGRATION)
        self.records.release_here(cases.SERVER, 'ann', time.time() + 60)
        for source in (None, RUNS_THERE):
            if source is not None:
                self.answers['n1'] = source
            self.assertIn('It is not started on n3', self.check())
        self.answers['n2'] = OFF_THERE
        self.assertIn('It is not started on n3', self.check())
        self.assertEqual([False], [one.is_used for one in self.records.released_here(
            cases.SERVER)])

    def test_a_source_that_does_not_answer_allows_nothing(self):
        self.here, self.server.host = 'n2', 'n2'
        self.answers = {'n2': domains.ABSENT}
        self.migration.status = 'error'
        self.ask = mock.Mock(side_effect=client.Unreachable(503, 'silence'))
        self.assertIn('It is not started on n2', self.check())
