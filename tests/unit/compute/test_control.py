# SPDX-License-Identifier: Apache-2.0
"""What is asked about migrations is answered truthfully, in each state that they can be in."""

from __future__ import annotations

import pathlib
import tempfile
import types
import uuid

import testtools

from nova_migpolicy.compute import control
from nova_migpolicy.compute import early
from nova_migpolicy.compute import requests
from nova_migpolicy import exception
from nova_migpolicy.monitor import answer
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
        self.sessions, self.stock, self.queue = {}, {}, {}
        self.early = early.Early()
        self.requests = requests.Requests(self.folder / 'requests')
        self.control = control.Control(
            self.sessions, self.stock, early=self.early, requests=self.requests,
            journals=self.folder,
            resolve_for=lambda context, server, request: resolve.resolve(
                resolve.Sources(request=request)),
            waits_for=self.queue.get)

    def run_session(self, given=None, closed=False):
        resolved = resolve.resolve(resolve.Sources())
        self.sessions[SERVER] = types.SimpleNamespace(
            start=types.SimpleNamespace(migration=MIGRATION, resolved=resolved),
            inbox=Box(given, closed), view=lambda: view.blank(phase='passes'),
            journal=journal.Journal(None, 0.0, 0))
        return self.sessions[SERVER]

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
        session.view = lambda: view.blank(phase=view.FINISHING, age_seconds=5.0)
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
        self.queue[SERVER] = 'n1 runs 1 at a time'
        found = self.control.progress(SERVER, MIGRATION).body
        self.assertEqual(('waiting for a slot', 'n1 runs 1 at a time'),
                         (found['phase'], found['waits_for']))

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
        self.assertEqual(({'bandwidth_mib_s': 70}, {'on_stall': 'pause'}),
                         (found['held'], found['retuned']))

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
        self.queue[SERVER] = 'n1 runs 1 at a time'
        waiting = self.control.tune(SERVER, MIGRATION, {}, [])
        self.assertIn('waiting for a slot', waiting.message)
        self.queue.clear()
        self.ended()
        done = self.control.tune(SERVER, MIGRATION, {}, [])
        self.assertIn('phase done', done.message)
        self.assertEqual([answer.CONFLICT] * 2, [waiting.status, done.status])

    def test_a_cancel_before_it_begins_is_remembered(self):
        self.assertEqual(answer.ACCEPTED,
                         self.control.act(SERVER, MIGRATION, inbox.CANCEL).status)
        self.assertEqual(inbox.CANCEL, self.early.take(MIGRATION))

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
        self.stock[SERVER] = MIGRATION
        self.assertEqual(answer.ACCEPTED,
                         self.control.act(SERVER, MIGRATION, inbox.CANCEL).status)
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
