# SPDX-License-Identifier: Apache-2.0
"""Who may do what, with keystone's own tokens: each path, as each kind of user."""

from __future__ import annotations

from lab.openstack import layout
from tests.stack.support import phases
from tests.stack.support import steering

USERS = tuple(layout.USERS)
# Of a server of the project demo, whose users are the manager, the member and the reader. The
# disks are being copied, so that what is permitted is refused for the phase, and changes nothing.
ADMINS = {'admin': 200, 'manager': 403, 'member': 403, 'reader': 403, 'stranger': 404}
MANAGERS = {'admin': 409, 'manager': 409, 'member': 403, 'reader': 403, 'stranger': 404}
REQUESTS = {'admin': 409, 'manager': 403, 'member': 403, 'reader': 403, 'stranger': 404}
ALL_HOSTS = {'admin': 200, 'manager': 403, 'member': 403, 'reader': 403, 'stranger': 403}
DENIED_BY_NOVA = {'member': 403, 'reader': 403, 'stranger': 404}


class RbacTest(phases.InPhase, steering.SteeringTest):

    def codes(self, method, path, **kwargs):
        """What each user is answered."""
        return {user: self.stack.client(user).answer(method, path, **kwargs).status_code
                for user in USERS}

    def test_each_path_as_each_user(self):
        run = self.in_disks(bandwidth_mib_s=8, owner=self.stack.client('member'))
        path = f'/servers/{run.server}/migrations/{run.migration}'
        for what in ('policy', 'progress', 'timeline', 'recovery'):
            self.assertEqual(ADMINS, self.codes('GET', f'{path}/{what}'), what)
        for query in ('', '?host=n1', '?host=nowhere'):
            self.assertEqual(ALL_HOSTS if query != '?host=nowhere' else ALL_HOSTS | {'admin': 404},
                             self.codes('GET', f'/os-migrations/recovery{query}'), query)
            where = '/os-migration-capacity'
            self.assertEqual(ALL_HOSTS if query != '?host=nowhere' else ALL_HOSTS | {'admin': 404},
                             self.codes('GET', f'{where}{query}'), query)
        self.assertEqual(ALL_HOSTS, self.codes('GET', f'{where}/n1'))
        self.assertEqual(ALL_HOSTS, self.codes(
            'PUT', f'{where}/n1', json={'capacity': {'max_incoming': 2}}))
        for action in ('post_copy', 'pause'):
            self.assertEqual(MANAGERS, self.codes(
                'POST', f'{path}/action', json={action: None}), action)
        self.assertEqual(REQUESTS, self.codes(
            'POST', f'/servers/{run.server}/action', json={'os-migrateLive': {
                'host': None, 'block_migration': 'auto', 'migpolicy': {'priority': 60}}}))
        self.assertEqual(ALL_HOSTS, self.codes(
            'POST', '/os-migrations/cancel', json={'cancel': {'project_id': 'nobody'}}))
        for user, code in DENIED_BY_NOVA.items():
            client = self.stack.client(user)
            self.assertEqual((code, code), (
                client.answer('DELETE', path).status_code, client.answer(
                    'POST', f'{path}/action', json={'force_complete': None}).status_code), user)
        # Nobody of them has changed anything.
        self.assertEqual([], [
            record for record in self.admin.timeline(
                run.server, run.migration, kind='decision')['timeline']
            if record['rule'] == 'operator' and not record.get('refused')])
        self.assertEqual(ADMINS, self.codes(
            'PUT', f'{path}/tuning', json={'tuning': {'bandwidth_mib_s': 9}}))
        # A manager may cancel, as in Nova.
        self.stack.client('manager').abort(run.server, run.migration)
        self.assert_stayed(self.finish(run))

    def test_cancelling_all_of_a_project_by_its_managers(self):
        run = self.in_disks(bandwidth_mib_s=8, owner=self.stack.client('member'))
        # Read anew by nova-api as soon as it has changed.
        rules = self.stack.where.conf('nova/policy.yaml')
        self.addCleanup(rules.write_text, '# no rule of our own\n')
        rules.write_text('"migpolicy:cancel_all": "role:admin or role:manager and '
                         'project_id:%(project_id)s"\n')
        demo = {'project_id': self.stack.client('manager').project}

        def codes(what):
            return self.codes('POST', '/os-migrations/cancel', json={'cancel': what})

        # The stranger manages a project, too, but not this one; and hosts are no project's.
        nobody = dict.fromkeys(USERS, 403) | {'admin': 200}
        self.assertEqual(nobody, codes({'project_id': 'nobody'}))
        self.assertEqual(nobody, codes({'host': 'n1', 'servers': ['nobody']}))
        self.assertEqual(nobody | {'manager': 200}, codes(demo | {'servers': ['nobody']}))
        self.assertEqual('disks', self.admin.forecast(run.server, run.migration)['phase'])
        told = self.stack.client('manager').cancel_all(**demo)
        self.assertEqual(([(run.server, run.migration)], [], []), (
            [(one['server_id'], one['migration_id']) for one in told['cancelled']],
            told['failed'], told['remaining']))
        self.assert_stayed(self.finish(run))

    def test_without_a_token(self):
        for token in ('', 'wrong', 'x' * 300):
            answer = self.admin.answer('GET', '/servers/x/migrations/1/policy', headers={
                'X-Auth-Token': token}, authenticated=False)
            self.assertEqual(401, answer.status_code)

    def test_a_project_that_is_not_ones_own_in_the_path(self):
        answer = self.stack.client('stranger').answer(
            'POST', '/0123456789abcdef/os-migrations/cancel', json={'cancel': {'host': 'n1'}})
        self.assertEqual(400, answer.status_code)
