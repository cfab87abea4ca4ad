# SPDX-License-Identifier: Apache-2.0
"""The slots of hosts, through the true shell: in tables within 100 columns, and for programs."""

from __future__ import annotations

import json

import hypothesis
from hypothesis import strategies

from tests.unit.osc import cases
from tests.unit.osc import cloud

GROUP = ('migration', 'capacity')
LIST, SHOW, SET = ((*GROUP, name) for name in ('list', 'show', 'set'))
PATH = '/os-migration-capacity'
LASTS = ('It lasts until nova-compute on n1 is started again, or reads its nova.conf again with '
         'other limits in it; to keep it, set [migpolicy] max_incoming = 4 there.')
WHY = '1st of 2 for an incoming slot on n2 (2 of 2 used by web-0 and web-1); about 41 s'
NOTE = 'max_concurrent_live_migrations in its nova.conf is 2: no more are under way'


def direction(used=0, waiting=0, oldest=None, **more):
    return {'used': used, 'waiting': waiting, 'oldest_wait_seconds': oldest, **more}


def host(name='n1', **facts):
    return {'host': name, 'max_outgoing': 2, 'max_incoming': 0,
            'max_concurrent_live_migrations': 8, 'effective_max_outgoing': 2, 'notes': [],
            'outgoing': direction(2, 3, 41.5), 'incoming': direction(1), **facts}


def migration(number, other, **facts):
    return {other: 'n2', 'server_name': f'db-{number}', 'since_seconds': 12.0,
            'migration_uuid': cloud.migration(number)['uuid'], 'eta_seconds': None, **facts}


def whole(**facts):
    out, into = 'destination_host', 'source_host'
    return {'capacity': host(
        outgoing=direction(
            2, 1, 41.5, left_out=0, holders=[
                migration(1, out, phase='bulk copy', eta_seconds=20.4),
                migration(2, out, phase='taking')],
            queue=[migration(3, out, priority=100, reason=WHY)]),
        incoming=direction(1, left_out=0, queue=[], holders=[
            migration(4, into, source_host=None, phase='reserved', since_seconds=None)]),
        **facts)}


class CapacityTest(cloud.CloudTest):

    def answer(self, request, answer):
        self.answers[request] = [answer if isinstance(answer, cloud.Answer)
                                 else cloud.Answer(200, answer, cloud.OURS)]

    def refused(self, request, code, message, *words):
        """What a person reads where the API refuses."""
        self.answer(request, cloud.Answer(
            code, {'x': {'code': code, 'message': message}}, cloud.OURS))
        status, out, err = self.openstack(*words)
        self.assertEqual((1, ''), (status, out))
        self.assertIn(message.rstrip('.'), err)
        return err

    def fits(self, out):
        self.assertLessEqual(max(map(len, out.splitlines())), 100, out)
        return ' '.join(out.replace('|', ' ').split())


class ListTest(CapacityTest):

    def answer_all(self, *hosts, incomplete=()):
        self.answer(f'GET {PATH}', {'capacity': list(hosts), 'incomplete': list(incomplete)})

    def test_a_table(self):
        other = host('compute-17.zone-2.example.org', incoming=direction(0, 12, 5))
        self.answer_all(host(), other)
        out = self.ok(*LIST)
        self.assertIn('Host Outgoing Outgoing Waits Incoming Incoming Waits', self.fits(out))
        self.assertIn(f'| {"n1":29} | 2 of 2   | 3, oldest 42 s | 1, no limit |', out)
        self.assertIn('| compute-17.zone-2.example.org |', out)
        self.assertIn('| 12, oldest 5 s |', out)

    def test_hosts_that_nova_bounds(self):
        names = [f'n{number}' for number in range(6)]
        self.answer_all(*(host(name, notes=[NOTE]) for name in names), host('n9'))
        status, _out, err = self.openstack(*LIST)
        said = ('Note: max_concurrent_live_migrations is too low for max_outgoing on n0, n1, n2, '
                'n3 and 2 more; "openstack migration capacity show HOST" has more.\n')
        self.assertEqual((0, said), (status, err))
        self.ok(*LIST, '-f', 'json')

    def test_names_that_are_too_long_are_wrapped(self):
        self.answer_all(host('compute-' + 'x' * 120))
        self.fits(self.ok(*LIST))

    def test_for_a_program(self):
        self.answer_all(host(notes=[NOTE]))
        [row] = self.json(*LIST)
        self.assertEqual({
            'Host': 'n1', 'Max Outgoing': 2, 'Max Concurrent Live Migrations': 8,
            'Effective Max Outgoing': 2, 'Outgoing Used': 2, 'Outgoing Waiting': 3,
            'Outgoing Oldest Wait Seconds': 41.5, 'Max Incoming': 0, 'Incoming Used': 1,
            'Incoming Waiting': 0, 'Incoming Oldest Wait Seconds': None, 'Message': None,
            'Notes': [NOTE]}, row)
        self.assertEqual('n1 2\n', self.ok(*LIST, '-f', 'value', '-c', 'Host', '-c',
                                           'Max Outgoing'))

    def test_hosts_of_which_it_is_not_known(self):
        self.answer_all(host(), incomplete=[
            {'host': 'n3', 'message': 'nova-compute on n3 is down; start it and try again.'},
            {'host': None, 'message': 'A cell does not answer.'}])
        status, out, err = self.openstack(*LIST)
        self.assertEqual((1, ['nova-compute on n3 is down; start it and try again.',
                              'A cell does not answer.']), (status, err.splitlines()))
        self.assertIn('n3 not known not known - not known not known', self.fits(out))
        status, out, err = self.openstack(*LIST, '-f', 'json')
        self.assertEqual((1, '', [
            ('n1', 2, None), ('n3', None, 'nova-compute on n3 is down; start it and try again.'),
            (None, None, 'A cell does not answer.')]), (status, err, [
                (one['Host'], one['Max Outgoing'], one['Message']) for one in json.loads(out)]))

    def test_one_host(self):
        self.answer_all(host())
        self.ok(*LIST, '--host', 'n1')
        self.assertEqual(['n1'], self.sent('GET', PATH)[0].qs['host'])

    def test_no_host(self):
        self.answer_all()
        self.assertEqual('\n', self.ok(*LIST))

    def test_refusals(self):
        self.assertIn('"openstack compute service list', self.refused(
            f'GET {PATH}', 404, "Compute host 'n9' could not be found.", *LIST, '--host', 'n9'))
        self.assertIn('Ask an administrator', self.refused(
            f'GET {PATH}', 403, 'The rule migpolicy:capacity does not allow it', *LIST))

    def test_an_api_without_the_plugin_or_of_another_version(self):
        self.assertIn('does not have nova_migpolicy', self.openstack(*LIST)[2])
        self.answer(f'GET {PATH}', {'capacity': []})
        self.assertIn('no incomplete in it', self.openstack(*LIST)[2])


class ShowTest(CapacityTest):

    def test_all_that_is_known(self):
        self.answer(f'GET {PATH}/n1', whole())
        out = self.ok(*SHOW, 'n1')
        text = self.fits(out)
        for part in ('host n1', 'max_outgoing 2', 'max_incoming 0', 'outgoing_waiting 1',
                     'outgoing_oldest_wait_seconds 41.5',
                     'outgoing_holders db-1 to n2: bulk copy, for 12 s, ends in 20 s',
                     'db-2 to n2: taking, for 12 s',
                     'outgoing_queue db-3 to n2: priority 100, has waited for 12 s, waits ' + WHY,
                     'incoming_holders db-4: reserved'):
            self.assertIn(part, text)
        for part in ('incoming_queue', 'left_out', 'notes'):
            self.assertNotIn(part, text)

    def test_for_a_program(self):
        self.answer(f'GET {PATH}/n1', whole(notes=[NOTE]))
        found = self.json(*SHOW, 'n1')
        api = whole()['capacity']
        self.assertEqual(
            (api['outgoing']['holders'], api['outgoing']['queue'], [], [NOTE], 2, None), (
                found['outgoing_holders'], found['outgoing_queue'], found['incoming_queue'],
                found['notes'], found['effective_max_outgoing'], found['incoming_left_out']))

    def test_novas_own_limit(self):
        self.answer(f'GET {PATH}/n1', whole(notes=[NOTE]))
        status, _out, err = self.openstack(*SHOW, 'n1')
        self.assertEqual((0, f'Note: {NOTE}.\n'), (status, err))

    def test_more_than_the_host_tells(self):
        body = whole()
        body['capacity']['outgoing']['left_out'] = 7
        self.answer(f'GET {PATH}/n1', body)
        self.assertIn('outgoing_left_out 7', self.fits(self.ok(*SHOW, 'n1')))

    def test_refusals(self):
        request = f'GET {PATH}/n9'
        self.assertIn('"openstack compute service list', self.refused(
            request, 404, "Compute host 'n9' could not be found.", *SHOW, 'n9'))
        self.assertIn('try again', self.refused(
            request, 503, 'nova-compute on n9 is down', *SHOW, 'n9'))
        self.refused(request, 409, 'bring both to the same release.', *SHOW, 'n9')
        self.answer(request, {'capacity': None})
        self.assertIn('no capacity in it', self.openstack(*SHOW, 'n9')[2])
        self.answer(request, {'capacity': {'host': 'n9'}})
        self.assertIn('no outgoing in it', self.openstack(*SHOW, 'n9')[2])

    def test_a_name_with_signs_of_paths(self):
        self.answer(f'GET {PATH}/a%2Fb%3Fc', whole())
        self.ok(*SHOW, 'a/b?c')

    def test_any_values(self):
        @hypothesis.given(
            strategies.dictionaries(strategies.sampled_from(sorted(host())), cases.ANYTHING),
            strategies.dictionaries(strategies.sampled_from(sorted(migration(
                1, 'source_host', phase='', reason='', priority=1))), cases.ANYTHING))
        @hypothesis.settings(max_examples=6, deadline=None)
        def check(facts, each):
            body = whole()
            body['capacity']['incoming']['holders'].append(each)
            body['capacity']['outgoing']['queue'].append(each)
            body['capacity'].update(facts)
            self.answer(f'GET {PATH}/n1', body)
            self.answer(f'GET {PATH}', {**body, 'capacity': [body['capacity']], 'incomplete': []})
            for words in ((), ('-f', 'json'), ('-f', 'csv')):
                self.assertIn(self.openstack(*LIST, *words)[0], (0, 1))
            for words in ((), ('-f', 'json'), ('-f', 'shell')):
                self.assertIn(self.openstack(*SHOW, 'n1', *words)[0], (0, 1))

        check()


class SetTest(CapacityTest):

    def answer_set(self, before, now, notes=()):
        self.answer(f'PUT {PATH}/n1', {'capacity': {
            'host': 'n1', 'before': before, 'now': now, 'max_concurrent_live_migrations': 8,
            'notes': list(notes), 'lasts': LASTS}})

    def test_what_changed_and_until_when(self):
        self.answer_set({'max_incoming': 2}, {'max_incoming': 4})
        text = self.fits(self.ok(*SET, 'n1', '--max-incoming', '4'))
        self.assertIn('max_incoming 4, before 2', text)
        self.assertIn(LASTS, text)
        self.assertEqual({'capacity': {'max_incoming': 4}}, self.sent('PUT', '/n1')[0].json())

    def test_both_for_a_program(self):
        self.answer_set({'max_outgoing': 0, 'max_incoming': 2},
                        {'max_outgoing': 3, 'max_incoming': 2})
        self.assertEqual({
            'host': 'n1', 'max_outgoing': {'before': 0, 'now': 3},
            'max_incoming': {'before': 2, 'now': 2}, 'lasts': LASTS},
            self.json(*SET, 'n1', '--max-outgoing', '3', '--max-incoming', '2'))
        text = self.fits(self.ok(*SET, 'n1', '--max-outgoing', '3', '--max-incoming', '2'))
        self.assertIn('max_outgoing 3, before no limit', text)
        self.assertIn('max_incoming 2, as before', text)

    def test_novas_own_limit(self):
        self.answer_set({'max_outgoing': 2}, {'max_outgoing': 9}, [NOTE])
        status, _out, err = self.openstack(*SET, 'n1', '--max-outgoing', '9')
        self.assertEqual((0, f'Note: {NOTE}.\n'), (status, err))

    def test_what_cannot_be_is_refused_here(self):
        for words, said in (
                ((), 'Say what to change: --max-incoming or --max-outgoing or both'),
                (('--max-incoming', '1001'), '--max-incoming 1001: it has to be a whole number'),
                (('--max-incoming', '1e3'), 'a whole number from 1 to 1000, or 0 for no limit.'),
                (('--max-outgoing', 'two'), '--max-outgoing two: it has to be a whole number'),
                (('--max-outgoing=-1',), '--max-outgoing -1: it has to be a whole number')):
            status, out, err = self.openstack(*SET, 'n1', *words)
            self.assertEqual((1, ''), (status, out))
            self.assertIn(said, err)
        self.assertEqual([], self.requests)

    def test_refusals(self):
        words, request = (*SET, 'n1', '--max-incoming', '4'), f'PUT {PATH}/n1'
        self.assertIn('Ask an administrator', self.refused(
            request, 403, 'The rule migpolicy:set_capacity does not allow it', *words))
        self.assertIn('No migration is touched by this', self.refused(
            request, 503, 'nova-compute on n1 is down', *words))
        self.assertIn('"openstack compute service list', self.refused(
            request, 404, "Compute host 'n1' could not be found.", *words))
