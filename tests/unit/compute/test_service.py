# SPDX-License-Identifier: Apache-2.0
"""What is asked about migrations is answered truthfully, in each state that they can be in.

What is asked to be done to them is done, kept for later, or refused with the reason.
"""

from __future__ import annotations

import dataclasses
import json
import types
from unittest import mock
import uuid

import fixtures

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import waits
from nova_migpolicy.channel import protocol
from nova_migpolicy.channel import server as server_mod
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import service
from nova_migpolicy import exception
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy.recovery import evidence
from nova_migpolicy import vocabulary
from nova_migpolicy import written
from tests.unit.compute import controlled
from tests.unit.recovery import cases

SERVER = controlled.SERVER
MIGRATION = controlled.MIGRATION
REQUEST = controlled.REQUEST


class ControlTest(controlled.ControlBase):

    def test_progress_of_a_running_one(self):
        self.run_session()
        self.assertEqual('passes', self.control.progress(SERVER, MIGRATION).body['phase'])
        # Another migration of the same server is not this one.
        self.assertIsNone(self.control.progress(SERVER, str(uuid.uuid4())).body)

    def test_the_end_is_known_before_nova_is_done_with_it(self):
        session = self.run_session()
        session.view = lambda: vocabulary.blank_status(phase='switchover', age_seconds=5.0)
        session.journal.add('end', 4.0, outcome='completed', total_seconds=4.0, downtime_ms=55)
        found = self.control.progress(SERVER, MIGRATION).body
        self.assertEqual((vocabulary.FINISHING, 'completed', 55, 100.0), (
            found['phase'], found['outcome'], found['final']['downtime_ms'], found['percent']))
        self.assertEqual([], session.inbox.asked)

    def test_an_old_view_is_made_anew_first(self):
        session = self.run_session(protocol.Answer(protocol.OK))
        session.view = lambda: vocabulary.blank_status(age_seconds=5.0)
        self.control.progress(SERVER, MIGRATION)
        self.assertIsInstance(session.inbox.asked[0], inbox_mod.Look)

    def test_progress_of_one_that_has_ended(self):
        self.ended()
        found = self.control.progress(SERVER, MIGRATION).body
        self.assertEqual(('done', 100.0, 'completed', 55, 4.5), (
            found['phase'], found['percent'], found['outcome'], found['final']['downtime_ms'],
            found['final']['total_seconds']))
        self.assertEqual('because', found['last_decision']['reason'])

    def test_another_servers_journal_is_not_shown(self):
        self.write(('end', {'outcome': 'completed'}), server=str(uuid.uuid4()))
        self.assertIsNone(self.control.progress(SERVER, MIGRATION).body)
        self.assertEqual([], self.control.timeline(SERVER, MIGRATION, 0, 9, []).body['records'])

    def test_progress_in_the_queue_says_what_it_waits_for(self):
        self.wait_in_queue('running', 'waiting', 'done')
        found = self.control.progress(SERVER, MIGRATION).body
        self.assertEqual('waiting for a slot', found['phase'])
        self.assertIn('n1 runs 1 live migration at a time', found['waits_for'])
        self.assertIn('1 more before it', found['waits_for'])
        self.waiting = {SERVER: (None, None)}
        found = self.control.progress(SERVER, MIGRATION).body
        self.assertIn('it is the next', found['waits_for'])

    def test_progress_of_one_that_nova_prepares(self):
        self.wait_in_queue(running=True)
        found = self.control.progress(SERVER, MIGRATION).body
        self.assertEqual(('preparing', None), (found['phase'], found['waits_for']))
        # What Nova has failed to prepare, it leaves there.
        record, _ = self.waiting[SERVER]
        self.waiting[SERVER] = (record, types.SimpleNamespace(
            running=lambda: False, done=lambda: True))
        self.assertIsNone(self.control.progress(SERVER, MIGRATION).body)

    def park(self, profile='balanced'):
        """Let one wait for its slots."""
        current = self.hand_over()
        current.resolved = resolve.resolve(resolve.Sources(request={'profile': profile}))
        current.parked = lambda: waits.Wait('n2', vocabulary.INCOMING_SLOT, 2, 2)
        return current

    def test_one_that_waits_for_its_slots_says_so(self):
        """The session, if it has one, knows it too."""
        self.park('nova')
        found = self.control.progress(SERVER, MIGRATION).body
        self.assertEqual((vocabulary.WAITING, 'for an incoming slot on n2 (2 of 2 used)'),
                         (found['phase'], found['waits_for']))

    def test_orders_to_one_that_waits_for_its_slots(self):
        for action in (vocabulary.PAUSE, vocabulary.START_POST_COPY):
            self.park()
            self.assertIn('not possible in the phase waiting for a slot (for an incoming slot on '
                          'n2', self.control.act(SERVER, MIGRATION, action).message)
            self.park('nova')
            self.assertEqual(migration_mod.STOCK,
                             self.control.act(SERVER, MIGRATION, action).message)
        self.park()
        self.assertIn('waiting for a slot',
                      self.control.tune(SERVER, MIGRATION, {'on_stall': 'pause'}, []).message)
        self.useFixture(fixtures.MonkeyPatch(
            'nova_migpolicy.compute.migration.ANSWER_S', 0.0))
        for profile in ('balanced', 'nova'):
            for action in (vocabulary.CANCEL, vocabulary.FORCE_COMPLETE):
                current = self.park(profile)
                found = self.control.act(SERVER, MIGRATION, action)
                self.assertEqual((protocol.ACCEPTED, vocabulary.WAITING),
                                 (found.status, found.body['phase']))
                self.assertIn('waiting for an incoming slot on n2', found.body['reason'])
                self.assertTrue(current.inbox.holds(action))
                self.assertTrue(current.stir.is_set())

    def test_the_timeline_of_one_that_waits_has_the_reason(self):
        """It has no start yet, by which it would be known whose it is."""
        path = journal_mod.file_for(self.folder, MIGRATION)
        session = self.run_session()
        session.journal = journal_mod.Journal(path, 0.0, 1 << 20)
        self.assertEqual([], self.control.timeline(SERVER, MIGRATION, 0, 9, []).body['records'])
        session.journal.add(vocabulary.EVENT, 1.0, text='waiting for an incoming slot')
        [found] = self.control.timeline(SERVER, MIGRATION, 0, 9, []).body['records']
        self.assertEqual('waiting for an incoming slot', found['text'])
        for server, migration in ((str(uuid.uuid4()), MIGRATION), (SERVER, str(uuid.uuid4()))):
            self.assertEqual([], self.control.timeline(
                server, migration, 0, 9, []).body['records'])

    def test_another_migration_of_a_server_in_the_queue_is_not_in_it(self):
        self.wait_in_queue(migration=str(uuid.uuid4()))
        self.assertIsNone(self.control.progress(SERVER, MIGRATION).body)
        self.assertEqual('queued', self.control.act(
            SERVER, MIGRATION, vocabulary.CANCEL).body['phase'])

    def test_no_name_leads_out_of_the_folder(self):
        for name in ('../../etc/passwd', '', 'x' * 5000, MIGRATION + '/..'):
            self.assertIsNone(self.control.progress(SERVER, name).body)
            self.assertEqual([], self.control.timeline(SERVER, name, 0, 9, []).body['records'])

    def test_timeline_in_pages(self):
        self.ended()
        first = self.control.timeline(SERVER, MIGRATION, 0, 2, []).body
        self.assertEqual(([1, 2], 2), ([r['number'] for r in first['records']], first['next']))
        rest = self.control.timeline(SERVER, MIGRATION, 2, 100, []).body
        self.assertEqual((['decision', 'retune', 'end'], None),
                         ([r['kind'] for r in rest['records']], rest['next']))
        some = self.control.timeline(SERVER, MIGRATION, 0, 1, ['end', 'decision']).body
        self.assertEqual(([3], 3), ([r['number'] for r in some['records']], some['next']))
        last = self.control.timeline(SERVER, MIGRATION, 3, 1, ['end', 'decision']).body
        self.assertEqual(([5], None), ([r['number'] for r in last['records']], last['next']))

    def test_policy_after_a_retune(self):
        self.ended()
        found = self.control.policy(None, SERVER, MIGRATION).body
        self.assertEqual(({'bandwidth_mib_s': 70}, {'on_stall': 'pause'}, True),
                         (found['held'], found['retuned'], found['begun']))

    def test_policy_of_a_running_one_is_its_monitors(self):
        self.ended()
        self.run_session()
        found = self.control.policy(None, SERVER, MIGRATION).body
        self.assertEqual(({'on_stall': 'x'}, True), (found['retuned'], found['begun']))

    def test_policy_under_novas_own_monitor_is_the_one_that_it_began_with(self):
        self.leave_to_nova({'profile': 'nova'})
        self.requests.keep(SERVER, REQUEST, {'on_stall': 'pause'})
        found = self.control.policy(None, SERVER, MIGRATION).body
        self.assertEqual(('nova', 'request', True), (
            found['policy']['profile'], found['origins']['profile'], found['begun']))


class ChangeTest(controlled.ControlBase):

    def test_a_request_of_another_migration_does_not_count_in_the_queue(self):
        self.requests.keep(SERVER, f'req-{uuid.uuid4()}', {'on_stall': 'pause'})
        self.wait_in_queue()
        found = self.control.policy(None, SERVER, MIGRATION).body
        self.assertEqual(('profile balanced', False),
                         (found['origins']['on_stall'], found['begun']))

    def test_policy_of_one_that_has_not_begun_has_its_request(self):
        self.control.hold_request(None, SERVER, REQUEST, {'on_stall': 'pause'})
        self.newest_request = REQUEST
        found = self.control.policy(None, SERVER, MIGRATION).body
        self.assertEqual(('pause', 'request'),
                         (found['policy']['on_stall'], found['origins']['on_stall']))

    def test_a_request_that_cannot_be_honoured_is_not_kept(self):
        for values, words in (({'on_stall': 'panic'}, 'on_stall'), ({'speed': 1}, 'speed')):
            found = self.control.hold_request(None, SERVER, REQUEST, values)
            self.assertEqual(protocol.BAD_REQUEST, found.status)
            self.assertIn(words, found.message)
        self.assertEqual({}, self.requests.read(SERVER, REQUEST))
        self.assertEqual(protocol.BAD_REQUEST, self.control.hold_request(
            None, SERVER, '../x', {'on_stall': 'pause'}).status)

    def test_a_request_that_nova_refused_later_is_not_the_next_ones(self):
        self.control.hold_request(None, SERVER, REQUEST, {'on_stall': 'pause'})
        # The conductor found no host for it; the migration that is shown is another request's.
        self.newest_request = f'req-{uuid.uuid4()}'
        found = self.control.policy(None, SERVER, MIGRATION).body
        self.assertEqual('profile balanced', found['origins']['on_stall'])

    def test_that_a_request_names_its_destination(self):
        answer = self.control.note_named(SERVER, '../x')
        self.assertEqual((protocol.BAD_REQUEST, "'../x' is no request id"),
                         (answer.status, answer.message))
        self.assertFalse(self.control.request(SERVER, REQUEST).body['names_host'])
        self.assertEqual(protocol.OK, self.control.note_named(SERVER, REQUEST).status)
        self.assertTrue(self.control.request(SERVER, REQUEST).body['names_host'])

    def test_an_order_while_it_is_prepared_waits_for_its_monitor(self):
        current = self.hand_over()
        found = self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)
        self.assertEqual((protocol.ACCEPTED, 'preparing'), (found.status, found.body['phase']))
        self.assertIn('being prepared', found.body['reason'])
        self.assertTrue(current.is_ordered(vocabulary.CANCEL))
        self.assertIsNone(self.early.take(MIGRATION))
        for refused in (self.control.act(SERVER, MIGRATION, vocabulary.PAUSE),
                        self.control.tune(SERVER, MIGRATION, {}, [])):
            self.assertEqual(protocol.CONFLICT, refused.status)
            self.assertIn('not possible in the phase preparing', refused.message)

    def test_a_cancel_of_what_was_cancelled_is_not_refused(self):
        self.write(('end', {'outcome': 'cancelled', 'reason': 'because'}))
        found = self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)
        self.assertEqual((protocol.ACCEPTED, 'because'), (found.status, found.body['reason']))
        refused = self.control.act(SERVER, MIGRATION, vocabulary.FORCE_COMPLETE)
        self.assertEqual(protocol.CONFLICT, refused.status)

    def test_an_order_that_libvirt_keeps_waiting_says_so(self):
        session = self.run_session()
        session.note_silence = lambda: 'libvirt, which has not answered jobStats since then'
        for found in (self.control.act(SERVER, MIGRATION, vocabulary.CANCEL),
                      self.control.tune(SERVER, MIGRATION, {}, [])):
            self.assertEqual(protocol.ACCEPTED, found.status)
            self.assertIn('has not answered jobStats since then', found.body['reason'])

    def test_tune_is_answered_by_the_monitor(self):
        session = self.run_session(protocol.Answer(protocol.OK, {'applied': {}}))
        self.assertEqual(protocol.OK, self.control.tune(SERVER, MIGRATION, {'x': 1}, []).status)
        self.assertEqual({'x': 1}, session.inbox.asked[0].values)

    def test_who_comes_too_late_is_told(self):
        self.run_session(closed=True)
        for found in (self.control.tune(SERVER, MIGRATION, {}, []),
                      self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)):
            self.assertEqual(protocol.CONFLICT, found.status)
            self.assertIn('over', found.message)

    def test_tune_names_the_phase_where_it_cannot_work(self):
        self.wait_in_queue()
        waiting = self.control.tune(SERVER, MIGRATION, {}, [])
        self.assertIn('waiting for a slot', waiting.message)
        self.waiting.clear()
        self.ended()
        done = self.control.tune(SERVER, MIGRATION, {}, [])
        self.assertIn('phase done', done.message)
        self.assertEqual([protocol.CONFLICT] * 2, [waiting.status, done.status])

    def test_a_cancel_before_it_begins_is_remembered(self):
        self.assertEqual(protocol.ACCEPTED,
                         self.control.act(SERVER, MIGRATION, vocabulary.CANCEL).status)
        self.assertEqual(vocabulary.CANCEL, self.early.take(MIGRATION))
        self.recall.add.assert_called_once_with(SERVER, MIGRATION)
        self.control.act(SERVER, MIGRATION, vocabulary.FORCE_COMPLETE)
        self.recall.add.assert_called_once()

    def test_a_cancel_in_the_moment_in_which_it_begins(self):
        session = types.SimpleNamespace(given=protocol.Answer(protocol.ACCEPTED, {'action': 'it'}))
        remember = self.early.remember

        def begin(migration, command):
            # The driver looks, then the command is there.
            self.assertIsNone(self.early.take(migration))
            session.run = self.run_session(session.given)
            remember(migration, command)

        self.early.remember = begin
        found = self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)
        self.assertEqual(session.given, found)
        self.assertEqual([vocabulary.CANCEL], [one.name for one in session.run.inbox.asked])
        self.assertIsNone(self.early.take(MIGRATION))

    def test_a_cancel_that_is_found_in_the_moment_in_which_it_begins(self):
        remember = self.early.remember

        def begin(migration, command):
            remember(migration, command)
            self.run_session()
            self.assertEqual(command, self.early.take(migration))

        self.early.remember = begin
        self.assertEqual(protocol.ACCEPTED,
                         self.control.act(SERVER, MIGRATION, vocabulary.CANCEL).status)
        self.assertEqual([], self.current[SERVER].inbox.asked)

    def test_not_more_changes_than_can_be_made_and_always_a_cancel(self):
        session = self.run_session()
        for _ in range(inbox_mod.MOST_WAITING):
            session.inbox.ask(inbox_mod.Retune({}, ()))
        refused = self.control.tune(SERVER, MIGRATION, {}, [])
        self.assertEqual(protocol.UNAVAILABLE, refused.status)
        # However often somebody looks or cancels, that waits once.
        for _ in range(3):
            self.control.progress(SERVER, MIGRATION)
            self.assertEqual(protocol.ACCEPTED,
                             self.control.act(SERVER, MIGRATION, vocabulary.CANCEL).status)
        self.assertEqual(inbox_mod.MOST_WAITING + 1, len(session.inbox.asked))

    def test_a_completion_does_not_take_the_place_of_a_cancel(self):
        self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)
        refused = self.control.act(SERVER, MIGRATION, vocabulary.FORCE_COMPLETE)
        self.assertEqual(protocol.CONFLICT, refused.status)
        self.assertIn('to be cancelled before it begins', refused.message)
        self.assertEqual(vocabulary.CANCEL, self.early.take(MIGRATION))
        self.control.act(SERVER, MIGRATION, vocabulary.FORCE_COMPLETE)
        self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)
        self.assertEqual(vocabulary.CANCEL, self.early.take(MIGRATION))

    def test_what_is_refused_after_a_first_answer_is_in_the_timeline(self):
        session = self.run_session()
        found = self.control.act(SERVER, MIGRATION, vocabulary.PAUSE)
        self.assertEqual(protocol.ACCEPTED, found.status)
        [item] = session.inbox.asked
        item.reply.give(protocol.refusal('not in this phase'))
        self.assertEqual(['pause was refused: not in this phase'],
                         [record['text'] for record in session.journal.records()])

    def test_nothing_is_remembered_for_what_is_over(self):
        self.ended()
        found = self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)
        self.assertEqual(protocol.CONFLICT, found.status)
        self.assertIsNone(self.early.take(MIGRATION))

    def test_post_copy_and_pause_are_now_or_never(self):
        for command in (vocabulary.START_POST_COPY, vocabulary.PAUSE):
            found = self.control.act(SERVER, MIGRATION, command)
            self.assertEqual(protocol.CONFLICT, found.status)
        self.assertIsNone(self.early.take(MIGRATION))

    def test_under_novas_own_monitor(self):
        self.leave_to_nova({'profile': 'nova'})
        found = self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)
        # Nova's answer stands.
        self.assertEqual((protocol.ACCEPTED, None), (found.status, found.body))
        # Its own order may come later than what asks whether it was done.
        for _ in range(2):
            self.assertIsNone(self.current[SERVER].order(inbox_mod.Command(vocabulary.CANCEL)))
        self.assertIsNone(self.early.take(MIGRATION))
        for found in (self.control.tune(SERVER, MIGRATION, {}, []),
                      self.control.act(SERVER, MIGRATION, vocabulary.PAUSE)):
            self.assertIn('profile nova', found.message)

    def test_where_the_policy_could_not_be_applied(self):
        self.hand_over().leave_to_nova(migration_mod.Unmanaged(None, 'RuntimeError'))
        for found in (self.control.policy(None, SERVER, MIGRATION),
                      self.control.tune(SERVER, MIGRATION, {}, []),
                      self.control.act(SERVER, MIGRATION, vocabulary.PAUSE)):
            self.assertEqual(protocol.CONFLICT, found.status)
            self.assertIn('could not be applied: RuntimeError', found.message)

    def test_an_action_that_is_none(self):
        found = self.control.act(SERVER, MIGRATION, 'explode')
        self.assertEqual(protocol.BAD_REQUEST, found.status)

    def test_an_unknown_policy_is_said(self):
        def fail(context, server, request):
            raise exception.BadOption('profile', 'x', 'there is none')

        self.control._resolve_for = fail
        self.assertIn('profile', self.control.policy(None, SERVER, MIGRATION).message)


class ReleasedTest(controlled.ControlBase):

    def test_another_host_uses_a_release_up(self):
        def by(server=cases.SERVER):
            return self.control.use_release(server, cases.MIGRATION).body

        self.assertEqual({'by': None}, by())
        records = self.control._written
        records.keep(cases.a_record())
        records.release(cases.a_record(), 'ann', 1e9)
        self.assertEqual({'by': None}, by(cases.OTHER))
        self.assertEqual({'by': 'ann'}, by())
        self.assertEqual({'by': None}, by())


class MendedTest(controlled.ControlBase):
    """The progress of one that its monitor has seen end, and recovery has yet to."""

    def keep(self, phase, kind=None, reason='both hosts have their part'):
        self.control._written.keep(cases.a_record(
            server=SERVER, migration=MIGRATION, written=evidence.Written(phase),
            undecided=kind and {'since_s': 1.0, 'kind': kind, 'reason': reason}))

    def found(self):
        body = self.control.progress(SERVER, MIGRATION).body
        return body and (body['phase'], body['outcome'], body['waits_for'])

    def test_a_broken_one_is_in_post_copy_until_its_end(self):
        kept = self.write(('end', {'outcome': 'broken', 'reason': 'post-copy broke off'}))
        self.keep('post-copy')
        self.assertEqual(('post-copy', None, service.TAKEN_UP), self.found())
        self.keep('post-copy', 'resume')
        self.assertEqual(('post-copy', None, 'recovery: both hosts have their part'),
                         self.found())
        self.keep('finishing')
        self.assertEqual('finishing', self.found()[0])
        kept.add('end', 9.0, outcome='completed', reason='recovery: the guest has arrived')
        self.control._written.drop(MIGRATION)
        self.assertEqual(('done', 'completed', None), self.found())

    def test_also_while_nova_is_not_done_with_it(self):
        session = self.run_session()
        session.journal.add('end', 4.0, outcome='broken')
        self.assertEqual(('finishing', 'broken', None), self.found())
        self.keep('post-copy')
        self.assertEqual(('post-copy', None, service.TAKEN_UP), self.found())

    def test_one_that_is_held_has_the_end_that_was_seen(self):
        self.write(('end', {'outcome': 'broken'}))
        self.keep('post-copy', 'hold')
        self.assertEqual(('done', 'broken', None), self.found())

    def test_one_of_which_no_end_was_seen_is_not_ended(self):
        self.write()
        self.keep('copying')
        # It runs, or is about to be taken up.
        self.assertIsNone(self.found())
        for kind in ('wait', 'hold'):
            self.keep('copying', kind)
            self.assertEqual('finishing', self.found()[0])
        self.keep('rolling back', 'wait')
        self.assertEqual('aborting', self.found()[0])

    def test_another_servers_record_is_nothing_to_it(self):
        self.ended()
        self.control._written.keep(cases.a_record(server=str(uuid.uuid4()), migration=MIGRATION))
        self.assertEqual(('done', 'completed', None), self.found())

    def test_a_record_that_cannot_be_read_is_none(self):
        self.ended()
        self.keep('copying')
        (self.folder / written.FOLDER / f'{MIGRATION}.json').unlink()
        (self.folder / written.FOLDER / f'{MIGRATION}.json').mkdir()
        self.assertEqual(('done', 'completed', None), self.found())


class RecoveryTest(controlled.ControlBase):

    def setUp(self):
        super().setUp()
        self.records = self.control._written

    def keep(self, number, since_s=None):
        server, migration = (f'{number:08}-0000-4000-8000-00000000000{one}' for one in (1, 2))
        record = cases.a_record(server=server, migration=migration, undecided=since_s and {
            'since_s': since_s, 'kind': 'wait', 'reason': 'the destination does not answer'})
        self.records.keep(record)
        return record

    def test_what_is_undecided_since_the_longest_ago_first(self):
        self.assertEqual({'migrations': [], 'unused': [], 'left_out': 0},
                         self.control.undecided().body)
        late, early, _ = self.keep(1, 2000.0), self.keep(2, 1000.0), self.keep(3)
        found = self.control.undecided()
        self.assertEqual(protocol.OK, found.status)
        self.assertEqual([early.server, late.server],
                         [one['server'] for one in found.body['migrations']])
        self.assertNotIn('connection_info', json.dumps(found.to_dict()))

    def test_files_that_are_not_used(self):
        self.keep(1)
        path = self.folder / written.FOLDER / 'a.json'
        path.write_bytes(b'{')
        [one] = self.control.undecided().body['unused']
        self.assertEqual((str(path), True), (one['file'], 'cut off' in one['reason']))
        self.assertTrue(path.exists())

    def test_no_more_than_a_message_should_carry(self):
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.compute.service.MOST', 2))
        for number in range(5):
            self.keep(number, 1000.0 + number)
        found = self.control.undecided().body
        self.assertEqual(([1000.0, 1001.0], 3), (
            [one['since_s'] for one in found['migrations']], found['left_out']))

    def test_what_cannot_be_read(self):
        # A file in the place of the folder.
        place = self.folder / written.FOLDER
        place.parent.mkdir()
        place.touch()
        found = self.control.undecided()
        self.assertEqual(protocol.UNAVAILABLE, found.status)
        self.assertIn('what is written down there cannot be read: Not a directory', found.message)
        self.assertEqual(protocol.UNAVAILABLE,
                         self.control.recovery(cases.SERVER, cases.MIGRATION).status)

    def test_one_migration(self):
        record = self.keep(1, 1000.0)
        found = self.control.recovery(record.server, record.migration).body['migration']
        self.assertEqual((record.migration, 'wait'), (found['migration'], found['next_step']))
        under_way = self.keep(2)
        found = self.control.recovery(under_way.server, under_way.migration).body['migration']
        self.assertEqual(('copying', None), (found['phase'], found['next_step']))
        for server, migration in ((cases.OTHER, record.migration),
                                  (record.server, cases.OTHER)):
            self.assertIsNone(self.control.recovery(server, migration).body['migration'])


class SlotsTest(controlled.ControlBase):
    """What other hosts say of slots, what an operator is shown of them, and other limits."""

    def setUp(self):
        super().setUp()
        self.slots.limits = limits_mod.Limits(2, 3, 5.0)
        self.slots.most_at_once = 8
        self.slots.state.return_value = {
            service.NOVAS_LIMIT: 8, 'outgoing': {'limit': 2}, 'incoming': {'limit': 3}}
        self.slots.change_limits.side_effect = lambda given: (
            self.slots.limits, dataclasses.replace(self.slots.limits, **given))

    def test_what_another_host_says(self):
        answer = self.control.slots([{'kind': 'ask'}, {'kind': 'take'}])
        self.assertEqual((protocol.OK, {}), (answer.status, answer.body))
        self.assertEqual([mock.call({'kind': 'ask'}), mock.call({'kind': 'take'})],
                         self.slots.receive.call_args_list)

    def test_nonsense_of_another_host(self):
        self.slots.receive.side_effect = [
            exception.BadMessage('there is no kind in it'), None, exception.BadMessage('odd')]
        answer = self.control.slots([{}, {'kind': 'ask'}, {}])
        self.assertEqual((protocol.BAD_REQUEST, 'there is no kind in it, and 1 more'),
                         (answer.status, answer.message))
        # It costs the others nothing.
        self.assertEqual(3, self.slots.receive.call_count)
        self.slots.receive.side_effect = exception.BadMessage('odd')
        self.assertEqual('odd', self.control.slots([{}]).message)

    def test_capacity(self):
        answer = self.control.capacity(7)
        self.slots.state.assert_called_once_with(7)
        self.assertEqual((protocol.OK, self.slots.state.return_value),
                         (answer.status, answer.body))

    def test_other_limits_leave_the_rest_as_it_is(self):
        for given, before, now in (
                ((5, None), {'max_outgoing': 2}, limits_mod.Limits(5, 3, 5.0)),
                ((None, 0), {'max_incoming': 3}, limits_mod.Limits(2, 0, 5.0)),
                ((0, 7), {'max_outgoing': 2, 'max_incoming': 3}, limits_mod.Limits(0, 7, 5.0)),
                ((2, None), {'max_outgoing': 2}, limits_mod.Limits(2, 3, 5.0))):
            answer = self.control.set_capacity(*given)
            self.assertEqual((protocol.OK, {
                'before': before, 'now': {name: getattr(now, name) for name in before},
                service.NOVAS_LIMIT: 8}), (answer.status, answer.body))
            self.assertEqual({name: getattr(now, name) for name in before},
                             self.slots.change_limits.call_args.args[0])

    def test_limits_that_cannot_be(self):
        answer = self.control.set_capacity(-1, None)
        self.assertEqual(protocol.BAD_REQUEST, answer.status)
        self.assertIn('max_outgoing = -1: it has to be a whole number', answer.message)

    def test_as_the_channel_calls_them(self):
        endpoint = server_mod.Endpoint(self.control)
        self.assertEqual(8, endpoint.capacity(None, most=5)['body'][service.NOVAS_LIMIT])
        self.assertEqual({'max_outgoing': 4}, endpoint.set_capacity(
            None, max_outgoing=4, max_incoming=None)['body']['now'])
        for wrong in ({'max_outgoing': 4}, {'max_outgoing': '4', 'max_incoming': None},
                      {'max_outgoing': True, 'max_incoming': None},
                      {'max_outgoing': -1, 'max_incoming': None}):
            self.assertEqual(protocol.BAD_REQUEST,
                             endpoint.set_capacity(None, **wrong)['status'])
        self.assertEqual(1, self.slots.change_limits.call_count)

    def test_one_that_waits_says_what_for(self):
        self.run_session().is_watched = False
        # Whose servers have them is for administrators, who see it in its progress.
        wait = waits.Wait('n2', vocabulary.INCOMING_SLOT, 2, 2, ('db-1', 'db-7'), 1, 2)
        self.current[SERVER].parked = lambda: wait
        self.current[SERVER].session.view = lambda: vocabulary.blank_status(
            phase=vocabulary.WAITING, waits_for=wait.sentence)
        answer = self.control.tune(SERVER, MIGRATION, {'on_stall': 'pause'}, [])
        self.assertEqual(protocol.CONFLICT, answer.status)
        self.assertIn('retune: not possible in the phase waiting for a slot (1st of 2 for an '
                      'incoming slot on n2 (2 of 2 used))', answer.message)
        self.useFixture(fixtures.MockPatchObject(migration_mod, 'ANSWER_S', 0.0))
        answer = self.control.act(SERVER, MIGRATION, vocabulary.CANCEL)
        self.assertEqual((protocol.ACCEPTED, vocabulary.WAITING),
                         (answer.status, answer.body['phase']))
        self.assertIn('waiting 1st of 2 for an incoming slot on n2', answer.body['reason'])
