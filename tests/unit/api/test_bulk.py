# SPDX-License-Identifier: Apache-2.0
"""Cancelling all migrations of a host or of a project."""

import ddt

from nova_migpolicy.api import errors
from nova_migpolicy.api import rbac
from tests.unit.api import fakes

PATH = '/os-migrations/cancel'


@ddt.ddt
class TestBulk(fakes.ApiCase):

    def setUp(self):
        super().setUp()
        self.lookup.migrations = [
            fakes.migration(5), fakes.migration(6, source='n2', destination='n1'),
            fakes.migration(7, source='n3', destination='n2')]
        self.channel.answers['act'] = 202, {'phase': 'passes'}

    def cancel(self, **what):
        answer = self.call('POST', PATH, {'cancel': what})
        self.assertEqual(200, answer.code, answer)
        return answer.body

    @ddt.data(({'host': 'n1'}, [5, 6]), ({'host': 'n1', 'direction': 'both'}, [5, 6]),
              ({'host': 'n1', 'direction': 'from'}, [5]),
              ({'host': 'n1', 'direction': 'to'}, [6]),
              ({'host': 'n2', 'direction': 'to'}, [5, 7]))
    @ddt.unpack
    def test_of_a_host(self, what, numbers):
        found = self.cancel(**what)
        self.assertEqual({'cancelled': [
            {'server_id': fakes.SERVER, 'migration_id': number, 'phase': 'passes'}
            for number in numbers], 'failed': []}, found)
        self.assertEqual([
            ('DELETE', f'/servers/{fakes.SERVER}/migrations/{number}', b'', 'compute 2.65')
            for number in numbers], self.nova.seen)
        self.assertEqual([(rbac.CANCEL_ALL, 'p')], self.rbac.checked)

    def test_of_a_project(self):
        self.lookup.migrations[0].instance_uuid = fakes.OTHER
        found = self.cancel(project_id='p')
        self.assertEqual([6, 7], [one['migration_id'] for one in found['cancelled']])
        self.assertEqual({'cancelled': [], 'failed': []}, self.cancel(project_id='nobody'))

    def test_request_to_nova_is_one_of_its_own(self):
        seen = []

        def nova(environ, start_response):
            seen.append(environ)
            return type(self.nova).__call__(self.nova, environ, start_response)

        self.app._ours._onward = nova
        self.context.project_id = 'abc'
        self.call('POST', f'/abc{PATH}?a=b', {'cancel': {'host': 'n1', 'direction': 'from'}},
                  headers={'X-OpenStack-Nova-API-Version': '2.1', 'X-Roles': 'admin',
                           'OpenStack-API-Version': 'compute 2.1'})
        [environ] = seen
        self.assertEqual(('/v2.1', '', 'admin', 'compute 2.65', b'', None), (
            environ['SCRIPT_NAME'], environ['QUERY_STRING'], environ['HTTP_X_ROLES'],
            environ['HTTP_OPENSTACK_API_VERSION'], environ['wsgi.input'].read(),
            environ.get('CONTENT_TYPE')))
        self.assertNotIn('HTTP_X_OPENSTACK_NOVA_API_VERSION', environ)
        self.assertIs(self.context, environ['nova.context'])

    def test_what_could_not_be_cancelled(self):
        self.channel.answers['act'] = errors.Refusal(409, 'not in the phase post-copy')
        self.assertEqual({'cancelled': [], 'failed': [{
            'server_id': fakes.SERVER, 'migration_id': 5, 'code': 409,
            'message': 'not in the phase post-copy'}]},
            self.cancel(host='n1', direction='from'))

    @ddt.data((404, b'{"itemNotFound": {"code": 404, "message": "not there"}}', 'not there'),
              (500, b'<html/>', 'Nova answered 500'), (404, b'{}', 'Nova answered 404'),
              (404, b'[]', 'Nova answered 404'), (404, b'{"x": 5}', 'Nova answered 404'))
    @ddt.unpack
    def test_what_nova_refused(self, code, raw, words):
        self.nova.status, self.nova.body = code, raw
        [failed] = self.cancel(host='n1', direction='from')['failed']
        self.assertEqual(code, failed['code'])
        self.assertIn(words, failed['message'])

    def test_no_plugin_to_ask(self):
        self.channel.answers['act'] = errors.Unreachable(409, 'no plugin there')
        [done] = self.cancel(host='n1', direction='from')['cancelled']
        self.assertIsNone(done['phase'])

    def test_a_host_that_is_down_is_looked_at_once(self):
        looked = []

        def check_up(context, host):
            looked.append(host)
            raise errors.Unreachable(503, f'{host} is down')

        self.lookup.check_up = check_up
        self.lookup.migrations = [fakes.migration(number) for number in range(1, 9)]
        found = self.cancel(host='n1')
        self.assertEqual([503] * 8, [one['code'] for one in found['failed']])
        self.assertEqual(['n1'], looked)

    def test_unknown_host(self):
        self.refused(404, 'no such host', 'POST', PATH, {'cancel': {'host': 'n9'}})

    def test_who_may_not(self):
        self.rbac.denied.add(rbac.CANCEL_ALL)
        self.refused(403, rbac.CANCEL_ALL, 'POST', PATH, raw=b'{')
        self.assertEqual([], self.nova.seen)

    @ddt.data(b'', b'{', b'null', b'{"cancel": {}}', b'{"cancel": {"host": 5}}')
    def test_wrong_body(self, raw):
        self.refused(400, '', 'POST', PATH, raw=raw)
        self.assertEqual([], self.nova.seen)

    def test_other_methods(self):
        self.assertEqual('POST', self.refused(
            405, 'this path takes POST', 'GET', PATH).headers['Allow'])
