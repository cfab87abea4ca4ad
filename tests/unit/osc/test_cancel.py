# SPDX-License-Identifier: Apache-2.0
"""Cancelling all migrations of a host or a project, through the true shell."""

from __future__ import annotations

import json
from unittest import mock

from nova_migpolicy.api import schemas
from nova_migpolicy.osc import cancel
from tests.unit.osc import cloud

CANCEL = ('server', 'migration', 'cancel')
PATH = 'POST /os-migrations/cancel'
BOTH = {'cancelled': [{'server_id': cloud.SERVER, 'migration_id': 7, 'phase': 'passes'}],
        'failed': [{'server_id': cloud.OTHER, 'migration_id': 8, 'code': 409,
                    'message': 'not possible in the phase post-copy; wait for its end ' * 3}]}


def server(number):
    return f'{number:08}-0000-4000-8000-000000000000'


def told(*numbers, **facts):
    return [{'server_id': server(number), 'migration_id': number, **facts} for number in numbers]


def left(*numbers, begun=False):
    return told(*numbers, begun=begun, message='ask again')


class CancelTest(cloud.CloudTest):

    def answer(self, *bodies):
        self.answers[PATH] = [cloud.Answer(200, body, cloud.OURS) for body in bodies]

    def bodies(self):
        return [one.json()['cancel'] for one in self.sent('POST', '/os-migrations/cancel')]

    def body(self):
        return self.sent('POST', '/os-migrations/cancel')[-1].json()

    def test_all_could_be(self):
        self.answer({**BOTH, 'failed': []})
        rows = self.json(*CANCEL, '--host', 'n1')
        self.assertEqual({'cancel': {'host': 'n1', 'direction': 'both'}}, self.body())
        self.assertEqual([(cloud.SERVER, 7, 'cancelled', 'passes')],
                         [tuple(row.values())[:4] for row in rows])

    def test_some_could_not_be(self):
        self.answer(BOTH)
        status, out, err = self.openstack(*CANCEL, '--host', 'n1', '--direction', 'to')
        self.assertEqual((1, ''), (status, err))
        self.assertEqual('to', self.body()['cancel']['direction'])
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        self.assertIn('not cancelled', out)
        self.assertIn('in phase passes', out)

    def test_nothing_is_under_way(self):
        self.answer({'cancelled': [], 'failed': []})
        status, _out, err = self.openstack(*CANCEL, '--host', 'n1')
        self.assertEqual((0, 'No live migration of host n1 is under way.\n'), (status, err))

    def test_a_project_by_name_or_id(self):
        self.answer({**BOTH, 'failed': []})
        for wanted, found, sent in (('shop', [{'id': 'p2', 'name': 'shop'}], 'p2'),
                                    ('p2', [], 'p2')):
            self._mock.register_uri('GET', f'{cloud.KEYSTONE}/projects', json={'projects': found})
            self._mock.register_uri('GET', f'{cloud.KEYSTONE}/projects/shop', status_code=404)
            self._mock.register_uri('GET', f'{cloud.KEYSTONE}/projects/p2', json={
                'project': {'id': 'p2', 'name': 'shop'}})
            self.ok(*CANCEL, '--project', wanted)
            self.assertEqual({'cancel': {'project_id': sent}}, self.body())

    def test_a_project_that_may_not_be_looked_up(self):
        self.answer({**BOTH, 'failed': []})
        for path in ('projects', 'projects/p3'):
            self._mock.register_uri('GET', f'{cloud.KEYSTONE}/{path}', status_code=403)
        self.ok(*CANCEL, '--project', 'p3')
        self.assertEqual({'cancel': {'project_id': 'p3'}}, self.body())

    def test_no_such_project(self):
        self._mock.register_uri('GET', f'{cloud.KEYSTONE}/projects', json={'projects': []})
        self._mock.register_uri('GET', f'{cloud.KEYSTONE}/projects/x', status_code=404)
        status, _out, err = self.openstack(*CANCEL, '--project', 'x')
        self.assertEqual(1, status)
        self.assertIn("There is no project 'x'", err)
        self.assertEqual([], self.sent('POST', '/os-migrations/cancel'))

    def test_what_does_not_go_together(self):
        for words in ((), ('--host', 'n1', '--project', 'p')):
            self.assertEqual(2, self.openstack(*CANCEL, *words)[0])
        status, _out, err = self.openstack(*CANCEL, '--project', 'p', '--direction', 'to')
        self.assertEqual((1, '--direction goes with --host.\n'), (status, err))


class AgainTest(CancelTest):
    """What was not done within the API's bound is asked for again."""

    def setUp(self):
        super().setUp()
        patch = mock.patch.object(cancel, 'PAUSE_S', 0.0)
        patch.start()
        self.addCleanup(patch.stop)

    def cancel(self, status):
        found, out, err = self.openstack(*CANCEL, '--host', 'n1', '-f', 'json')
        self.assertEqual(status, found, err)
        return {row['Migration']: (row['Result'], row['Reason']) for row in json.loads(out)}, err

    def test_until_nothing_remains(self):
        self.answer(
            {'cancelled': told(1, phase='passes'), 'failed': told(2, code=409, message='no way'),
             'remaining': left(3, 4, 5, begun=True)},
            {'cancelled': told(4, phase='disks'), 'failed': [], 'remaining': left(3)},
            {'cancelled': told(3, phase=None), 'failed': []})
        rows, err = self.cancel(1)
        self.assertEqual({
            1: ('cancelled', 'in phase passes'), 2: ('not cancelled', 'no way'),
            3: ('cancelled', None), 4: ('cancelled', 'in phase disks'),
            5: ('over', 'It was no longer under way when it was asked for again.')}, rows)
        host = {'host': 'n1', 'direction': 'both'}
        self.assertEqual([
            host, {**host, 'servers': [server(3), server(4), server(5)]},
            {**host, 'servers': [server(3)]}], self.bodies())
        self.assertEqual('1 cancelled, 1 not, 3 remain: asking again.\n'
                         '2 cancelled, 1 not, 1 remain: asking again.\n', err)

    def test_all_that_remained_is_done(self):
        self.answer({'cancelled': [], 'failed': [], 'remaining': left(3)},
                    {'cancelled': told(3, phase='passes'), 'failed': [], 'remaining': []})
        self.assertEqual({3: ('cancelled', 'in phase passes')}, self.cancel(0)[0])

    def test_what_never_answers_is_given_up(self):
        self.answer({'cancelled': told(1, phase='passes'), 'failed': [],
                     'remaining': [*left(2, begun=True), *left(3)]},
                    {'cancelled': [], 'failed': [],
                     'remaining': [*left(2, begun=True), *left(3)]})
        rows, err = self.cancel(1)
        self.assertEqual({1: ('cancelled', 'in phase passes'), 2: ('not known', 'ask again'),
                          3: ('not cancelled', 'ask again')}, rows)
        self.assertEqual(1 + cancel.FRUITLESS, len(self.bodies()))
        self.assertIn(f'Asking {cancel.FRUITLESS} more times had no effect', err)

    def test_an_error_on_the_way_loses_nothing_that_is_known(self):
        self.answer({'cancelled': told(1, phase='passes'), 'failed': [], 'remaining': left(2)})
        self.answers[PATH].append(cloud.Answer(502, 'bad gateway'))
        rows, err = self.cancel(1)
        self.assertEqual(('cancelled', 'in phase passes'), rows[1])
        self.assertEqual('not cancelled', rows[2][0])
        self.assertIn('502', err)

    def test_more_than_one_request_may_name(self):
        numbers = range(1, 2 * cancel.MOST_SERVERS)
        first = {'cancelled': [], 'failed': [], 'remaining': left(*numbers)}

        def answer(request):
            named = request.json()['cancel'].get('servers')
            if named is None:
                return cloud.Answer(200, first, cloud.OURS)
            return cloud.Answer(200, {'cancelled': told(*(
                int(one[:8]) for one in named), phase='passes'), 'failed': []}, cloud.OURS)

        self.answers[PATH] = [answer]
        self.assertLessEqual(cancel.MOST_SERVERS, schemas.MOST_SERVERS)
        rows, _err = self.cancel(0)
        self.assertEqual(set(numbers), set(rows))
        self.assertEqual({('cancelled', 'in phase passes')}, set(rows.values()))
        self.assertEqual(3, len(self.bodies()))

    def test_what_cannot_be_understood_is_no_reason_to_go_on(self):
        self.answer({'cancelled': [{'server_id': [], 'migration_id': {}}], 'failed': [7, {}],
                     'remaining': ['x', {'server_id': 5}]})
        status, _out, _err = self.openstack(*CANCEL, '--host', 'n1')
        self.assertEqual(1, status)
        self.assertEqual(1, len(self.bodies()))
