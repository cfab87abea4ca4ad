# SPDX-License-Identifier: Apache-2.0
"""What is asked about migrations is answered truthfully, in each state that they can be in."""

from __future__ import annotations

import types
import uuid

from nova_migpolicy.channel import protocol
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy import vocabulary
from tests.unit.compute import controlled

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
