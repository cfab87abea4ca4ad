# SPDX-License-Identifier: Apache-2.0
"""What is asked about migrations is answered truthfully, in each state that they can be in."""

from __future__ import annotations

import pathlib
import tempfile
import types
from unittest import mock
import uuid

import testtools

from nova_migpolicy.compute import control
from nova_migpolicy.compute import early
from nova_migpolicy.compute import queue
from nova_migpolicy.compute import requests
from nova_migpolicy import exception
from nova_migpolicy.monitor import answer
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import inbox
from nova_migpolicy.monitor import journal
from nova_migpolicy.monitor import view
from nova_migpolicy.policy import resolve

SERVER, MIGRATION = str(uuid.uuid4()), str(uuid.uuid4())
REQUEST = f'req-{uuid.uuid4()}'


class Box(inbox.Inbox):
    """Answers at once, as a monitor would."""

    def __init__(self, given=None, closed=False):
        super().__init__()
        self.given, self._closed = given, closed
        self.asked = []

    def ask(self, item):
        self.asked.append(item)
        if self.given is not None:
            item.reply.give(self.given)
        return super().ask(item)


class ControlTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.sessions, self.stock, self.waiting = {}, {}, {}
        self.early = early.Early()
        self.recall = mock.Mock()
        self.requests = requests.Requests(self.folder / 'requests')
        self.control = control.Control(
            self.sessions, self.stock, early=self.early, requests=self.requests,
            queue=queue.Queue(lambda: self.waiting, 'n1'), recall=self.recall,
            journals=self.folder,
            resolve_for=lambda context, server, request: resolve.resolve(
                resolve.Sources(request=request)))

    def run_session(self, given=None, closed=False):
        resolved = resolve.resolve(resolve.Sources())
        self.sessions[SERVER] = types.SimpleNamespace(
            start=types.SimpleNamespace(migration=MIGRATION, resolved=resolved),
            inbox=Box(given, closed), view=lambda: view.blank(phase='passes'),
            in_force=lambda: {**resolved.to_dict(), 'held': {}, 'retuned': {'on_stall': 'x'}},
            too_late=lambda item: item.reply.give(commands.over('it runs')),
            journal=journal.Journal(None, 0.0, 0))
        return self.sessions[SERVER]

    def wait_in_queue(self, *before, running=False, migration=MIGRATION, request=REQUEST):
        """Put our migration into Nova's queue, behind others of these states."""
        def future(state):
            return types.SimpleNamespace(running=lambda: state == 'running',
                                         done=lambda: state == 'done')

        for number, state in enumerate(before):
            self.waiting[str(number)] = (object(), future(state))
        self.waiting[SERVER] = (
            types.SimpleNamespace(uuid=migration, _context=types.SimpleNamespace(
                request_id=request)), future('running' if running else 'waiting'))

    def leave_to_nova(self, request):
        self.stock[SERVER] = control.Stock(
            MIGRATION, resolve.resolve(resolve.Sources(request=request)))

    def write(self, *records, server=SERVER):
        written = journal.Journal(journal.file_for(self.folder, MIGRATION), 0.0, 1 << 20)
        written.add('start', 0.0, server=server, **resolve.resolve(resolve.Sources()).to_dict())
        for kind, fields in records:
            written.add(kind, 1.0, **fields)
        return written

    def ended(self):
        return self.write(
            ('sample', {'memory_total_bytes': 9, 'memory_remaining_bytes': 1}),
            ('decision', {'rule': 'raise_bandwidth', 'reason': 'because', 'actions': []}),
            ('retune', {**resolve.resolve(resolve.Sources()).to_dict(),
                        'held': {'bandwidth_mib_s': 70}, 'retuned': {'on_stall': 'pause'}}),
            ('end', {'outcome': 'completed', 'reason': 'it runs', 'total_seconds': 4.5,
                     'downtime_ms': 55}))

    def test_progress_of_a_running_one(self):
        self.run_session()
        self.assertEqual('passes', self.control.progress(SERVER, MIGRATION).body['phase'])
        # Another migration of the same server is not this one.
        self.assertIsNone(self.control.progress(SERVER, str(uuid.uuid4())).body)

    def test_the_end_is_known_before_nova_is_done_with_it(self):
        session = self.run_session()
        session.view = lambda: view.blank(phase='switchover', age_seconds=5.0)
        session.journal.add('end', 4.0, outcome='completed', total_seconds=4.0, downtime_ms=55)
        found = self.control.progress(SERVER, MIGRATION).body
        self.assertEqual((view.FINISHING, 'completed', 55, 100.0), (
            found['phase'], found['outcome'], found['final']['downtime_ms'], found['percent']))
        self.assertEqual([], session.inbox.asked)

    def test_an_old_view_is_made_anew_first(self):
        session = self.run_session(answer.Answer(answer.OK))
        session.view = lambda: view.blank(age_seconds=5.0)
        self.control.progress(SERVER, MIGRATION)
        self.assertIsInstance(session.inbox.asked[0], inbox.Look)

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

    def test_another_migration_of_a_server_in_the_queue_is_not_in_it(self):
        self.wait_in_queue(migration=str(uuid.uuid4()))
        self.assertIsNone(self.control.progress(SERVER, MIGRATION).body)
        self.assertEqual('queued', self.control.act(
            SERVER, MIGRATION, inbox.CANCEL).body['phase'])

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

    def test_a_request_of_another_migration_does_not_count_in_the_queue(self):
        self.requests.keep(SERVER, f'req-{uuid.uuid4()}', {'on_stall': 'pause'})
        self.wait_in_queue()
        found = self.control.policy(None, SERVER, MIGRATION).body
        self.assertEqual(('profile balanced', False),
                         (found['origins']['on_stall'], found['begun']))

    def test_policy_of_one_that_has_not_begun_has_its_request(self):
        self.control.hold_request(None, SERVER, REQUEST, {'on_stall': 'pause'})
        found = self.control.policy(None, SERVER, MIGRATION).body
        self.assertEqual(('pause', 'request'),
                         (found['policy']['on_stall'], found['origins']['on_stall']))

    def test_a_request_that_cannot_be_honoured_is_not_kept(self):
        for values, words in (({'on_stall': 'panic'}, 'on_stall'), ({'speed': 1}, 'speed')):
            found = self.control.hold_request(None, SERVER, REQUEST, values)
            self.assertEqual(answer.BAD_REQUEST, found.status)
            self.assertIn(words, found.message)
        self.assertEqual({}, self.requests.waiting(SERVER))
        self.assertEqual(answer.BAD_REQUEST, self.control.hold_request(
            None, SERVER, '../x', {'on_stall': 'pause'}).status)

    def test_tune_is_answered_by_the_monitor(self):
        session = self.run_session(answer.Answer(answer.OK, {'applied': {}}))
        self.assertEqual(answer.OK, self.control.tune(SERVER, MIGRATION, {'x': 1}, []).status)
        self.assertEqual({'x': 1}, session.inbox.asked[0].values)

    def test_who_comes_too_late_is_told(self):
        self.run_session(closed=True)
        for found in (self.control.tune(SERVER, MIGRATION, {}, []),
                      self.control.act(SERVER, MIGRATION, inbox.CANCEL)):
            self.assertEqual(answer.CONFLICT, found.status)
            self.assertIn('over', found.message)

    def test_tune_names_the_phase_where_it_cannot_work(self):
        self.wait_in_queue()
        waiting = self.control.tune(SERVER, MIGRATION, {}, [])
        self.assertIn('waiting for a slot', waiting.message)
        self.waiting.clear()
        self.ended()
        done = self.control.tune(SERVER, MIGRATION, {}, [])
        self.assertIn('phase done', done.message)
        self.assertEqual([answer.CONFLICT] * 2, [waiting.status, done.status])

    def test_a_cancel_before_it_begins_is_remembered(self):
        self.assertEqual(answer.ACCEPTED,
                         self.control.act(SERVER, MIGRATION, inbox.CANCEL).status)
        self.assertEqual(inbox.CANCEL, self.early.take(MIGRATION))
        self.recall.add.assert_called_once_with(SERVER, MIGRATION)
        self.control.act(SERVER, MIGRATION, inbox.FORCE_COMPLETE)
        self.recall.add.assert_called_once()

    def test_a_cancel_in_the_moment_in_which_it_begins(self):
        session = types.SimpleNamespace(given=answer.Answer(answer.ACCEPTED, {'action': 'it'}))
        remember = self.early.remember

        def begin(migration, command):
            # The driver looks, then the command is there.
            self.assertIsNone(self.early.take(migration))
            session.run = self.run_session(session.given)
            remember(migration, command)

        self.early.remember = begin
        found = self.control.act(SERVER, MIGRATION, inbox.CANCEL)
        self.assertEqual(session.given, found)
        self.assertEqual([inbox.CANCEL], [one.name for one in session.run.inbox.asked])
        self.assertIsNone(self.early.take(MIGRATION))

    def test_a_cancel_that_is_found_in_the_moment_in_which_it_begins(self):
        remember = self.early.remember

        def begin(migration, command):
            remember(migration, command)
            self.run_session()
            self.assertEqual(command, self.early.take(migration))

        self.early.remember = begin
        self.assertEqual(answer.ACCEPTED,
                         self.control.act(SERVER, MIGRATION, inbox.CANCEL).status)
        self.assertEqual([], self.sessions[SERVER].inbox.asked)

    def test_not_more_than_can_be_done(self):
        session = self.run_session()
        for _ in range(inbox.MOST_WAITING):
            session.inbox.ask(inbox.Look())
        for found in (self.control.tune(SERVER, MIGRATION, {}, []),
                      self.control.act(SERVER, MIGRATION, inbox.CANCEL)):
            self.assertEqual(answer.UNAVAILABLE, found.status)
        self.assertEqual(inbox.MOST_WAITING, len(session.inbox.asked))

    def test_nothing_is_remembered_for_what_is_over(self):
        self.ended()
        found = self.control.act(SERVER, MIGRATION, inbox.CANCEL)
        self.assertEqual(answer.CONFLICT, found.status)
        self.assertIsNone(self.early.take(MIGRATION))

    def test_post_copy_and_pause_are_now_or_never(self):
        for command in (inbox.POST_COPY, inbox.PAUSE):
            found = self.control.act(SERVER, MIGRATION, command)
            self.assertEqual(answer.CONFLICT, found.status)
        self.assertIsNone(self.early.take(MIGRATION))

    def test_under_novas_own_monitor(self):
        self.leave_to_nova({'profile': 'nova'})
        found = self.control.act(SERVER, MIGRATION, inbox.CANCEL)
        # Nova's answer stands.
        self.assertEqual((answer.ACCEPTED, None), (found.status, found.body))
        self.assertIsNone(self.early.take(MIGRATION))
        for found in (self.control.tune(SERVER, MIGRATION, {}, []),
                      self.control.act(SERVER, MIGRATION, inbox.PAUSE)):
            self.assertIn('profile nova', found.message)

    def test_an_action_that_is_none(self):
        found = self.control.act(SERVER, MIGRATION, 'explode')
        self.assertEqual(answer.BAD_REQUEST, found.status)

    def test_an_unknown_policy_is_said(self):
        def fail(context, server, request):
            raise exception.BadOption('profile', 'x', 'there is none')

        self.control._resolve_for = fail
        self.assertIn('profile', self.control.policy(None, SERVER, MIGRATION).message)
