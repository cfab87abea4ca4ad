# SPDX-License-Identifier: Apache-2.0
"""What is undecided, through the true shell: in a table within 100 columns, and for programs."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies

from tests.unit.osc import cases
from tests.unit.osc import cloud

LIST = ('server', 'migration', 'recovery', 'list')
SHOW = ('server', 'migration', 'recovery', 'show')
PATH = 'GET /os-migrations/recovery'
TO_DO = f'Look on both hosts. `nova-migpolicy recovery release {cloud.SERVER}`'


def entry(**facts):
    return {
        'server_id': cloud.SERVER, 'migration_uuid': cloud.migration()['uuid'],
        'source_host': 'n1', 'destination_host': 'n2', 'phase': 'copying',
        'started_at': '2026-11-28T12:46:40+00:00', 'since': '2026-11-28T13:36:40+00:00',
        'next_step': 'hold', 'reason': 'neither host has the guest', 'what_to_do': TO_DO,
        'needs_operator': True, 'seen_at': '2026-11-28T13:37:40+00:00', 'evidence': {
            'source': 'is absent', 'source_job': False, 'destination': 'is absent',
            'server_host': 'source', 'migration_status': 'under way',
            'server_is_migrating': True}, **facts}


WAITS = {'next_step': 'wait', 'reason': 'the destination does not answer',
         'needs_operator': False}


def body(*recovery, unused_files=(), incomplete=()):
    return {'recovery': list(recovery), 'unused_files': list(unused_files),
            'incomplete': list(incomplete)}


class ListTest(cloud.CloudTest):

    def answer(self, answer):
        self.answers[PATH] = [cloud.Answer(200, answer, cloud.OURS)]

    def test_nothing(self):
        self.answer(body())
        self.assertEqual((0, '\n', 'Nothing is undecided.\n'), self.openstack(*LIST))

    def test_one_that_an_operator_is_needed_for(self):
        self.answer(body(entry()))
        status, out, err = self.openstack(*LIST)
        self.assertEqual((1, ''), (status, err))
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        for part in (cloud.SERVER, ' hold ', ' 11-28 13:36 '):
            self.assertIn(part, out)

    def test_one_that_passes_by_itself(self):
        self.answer(body(entry(**WAITS)))
        self.assertIn(' wait ', self.ok(*LIST))

    def test_for_a_program(self):
        self.answer(body(entry(**WAITS)))
        [row] = self.json(*LIST)
        self.assertEqual({
            'Server ID': cloud.SERVER, 'Migration UUID': cloud.migration()['uuid'],
            'Source Host': 'n1', 'Destination Host': 'n2', 'Phase': 'copying',
            'Next Step': 'wait', 'Since': '2026-11-28T13:36:40+00:00',
            'Reason': 'the destination does not answer', 'What To Do': TO_DO,
            'Needs Operator': False, 'Evidence': entry()['evidence']}, row)

    def test_hosts_and_files_of_which_not_all_is_known(self):
        self.answer(body(
            unused_files=[{'host': 'n1', 'file': '/a.json', 'reason': 'it is cut off',
                           'what_to_do': 'Keep it'}],
            incomplete=[{'host': 'n3', 'message': 'nova-compute on n3 is down; start it.'},
                        {'host': None, 'message': 'A cell does not answer.'}]))
        status, out, err = self.openstack(*LIST)
        self.assertEqual((1, 'Nothing is undecided, as far as is known.\n'), (status, err))
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        for part in ('not known', 'file not used', 'n3 is down'):
            self.assertIn(part, ' '.join(out.replace('|', ' ').split()))
        status, out, _ = self.openstack(*LIST, '-f', 'json')
        first, second, third = cloud.json.loads(out)
        self.assertEqual((1, None, 'n1', 'n1: /a.json: it is cut off', 'Keep it'), (
            status, first['Server ID'], first['Source Host'], first['Reason'],
            first['What To Do']))
        self.assertEqual(('n3', 'not known', None), (
            second['Source Host'], second['Next Step'], third['Source Host']))

    def test_one_host(self):
        self.answer(body())
        self.openstack(*LIST, '--host', 'n1')
        [sent] = self.sent('GET', '/os-migrations/recovery')
        self.assertEqual(['n1'], sent.qs['host'])

    def test_what_the_api_refuses(self):
        for code, words in ((403, 'The rule migpolicy:recovery does not allow it'),
                            (404, "Compute host 'n9' could not be found")):
            self.answers[PATH] = [cloud.Answer(code, {'x': {'code': code, 'message': words}},
                                               cloud.OURS)]
            status, out, err = self.openstack(*LIST, '--host', 'n9')
            self.assertEqual((1, ''), (status, out))
            self.assertIn(words, err)

    def test_an_api_without_the_plugin_or_of_another_version(self):
        self.assertIn('does not have nova_migpolicy', self.openstack(*LIST)[2])
        self.answer({'recovery': []})
        self.assertIn('no unused_files in it', self.openstack(*LIST)[2])

    def test_any_values(self):
        @hypothesis.given(strategies.dictionaries(
            strategies.sampled_from(sorted(entry())), cases.ANYTHING))
        @hypothesis.settings(max_examples=4, deadline=None)
        def check(facts):
            self.answer(body(entry(**facts)))
            for words in ((), ('-f', 'json'), ('-f', 'csv')):
                self.assertIn(self.openstack(*LIST, *words)[0], (0, 1))

        check()


class ShowTest(cloud.CloudTest):

    def answer(self, **facts):
        self.plugin('recovery', {'recovery': {'migration_id': 7, **entry(**facts)}})

    def test_all_that_is_known(self):
        self.answer()
        status, out, err = self.openstack(*SHOW, 'db-1')
        self.assertEqual((1, ''), (status, err))
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        whole = ' '.join(out.replace('|', ' ').split())
        for part in ('next_step hold', 'reason neither host has the guest',
                     'seen_source is absent', 'since 2026-11-28T13:36:40+00:00',
                     'seen_server_is_migrating True'):
            self.assertIn(part, whole)
        self.assertIn('what_to_do Look on both hosts.', whole)

    def test_for_a_program(self):
        self.answer(**WAITS)
        found = self.json(*SHOW, cloud.SERVER, '7')
        self.assertEqual(('wait', False, 'is absent', '2026-11-28T13:37:40+00:00'), (
            found['next_step'], found['needs_operator'], found['seen_destination'],
            found['seen_at']))

    def test_one_that_is_under_way(self):
        nothing = dict.fromkeys(('since', 'next_step', 'reason', 'what_to_do', 'seen_at',
                                 'evidence'))
        self.answer(**nothing, needs_operator=False)
        status, _out, err = self.openstack(*SHOW, 'db-1')
        self.assertEqual((0, 'Nothing is undecided of migration 7: it is under way.\n'),
                         (status, err))
        self.answer(**nothing, needs_operator=False, phase=None, started_at=None)
        status, _out, err = self.openstack(*SHOW, 'db-1', '-f', 'json')
        self.assertEqual(0, status)
        self.assertEqual('Nothing is undecided of migration 7: nothing is written down of it any '
                         'more.\n', err)

    def test_what_the_api_refuses(self):
        self.plugin('recovery', cloud.Answer(503, {'x': {
            'code': 503, 'message': 'nova-compute on n1 is down'}}, cloud.OURS))
        status, _out, err = self.openstack(*SHOW, 'db-1')
        self.assertEqual(1, status)
        self.assertIn('nova-compute on n1 is down', err)
        self.plugin('recovery', {'recovery': None})
        self.assertIn('no recovery in it', self.openstack(*SHOW, 'db-1')[2])
