# SPDX-License-Identifier: Apache-2.0
"""Cancelling all migrations of a host or a project, through the true shell."""

from __future__ import annotations

from tests.unit.osc import cloud

CANCEL = ('server', 'migration', 'cancel')
PATH = 'POST /os-migrations/cancel'
BOTH = {'cancelled': [{'server_id': cloud.SERVER, 'migration_id': 7, 'phase': 'passes'}],
        'failed': [{'server_id': cloud.OTHER, 'migration_id': 8, 'code': 409,
                    'message': 'not possible in the phase post-copy; wait for its end ' * 3}]}


class CancelTest(cloud.CloudTest):

    def answer(self, body):
        self.answers[PATH] = [cloud.Answer(200, body, cloud.OURS)]

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
