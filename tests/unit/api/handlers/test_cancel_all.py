# SPDX-License-Identifier: Apache-2.0
"""Cancelling all migrations of a host or of a project."""

import threading
from unittest import mock

import ddt

from nova_migpolicy.api import errors
from nova_migpolicy.api.handlers import cancel_all
from nova_migpolicy.api import parallel
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.channel import client
from tests.unit.api import fakes

PATH = '/os-migrations/cancel'
# Nobody waits for so long unless something is wrong.
LONG_S = 30.0


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
            for number in numbers], 'failed': [], 'remaining': []}, found)
        self.assertCountEqual([
            ('DELETE', f'/servers/{fakes.SERVER}/migrations/{number}', b'', 'compute 2.65')
            for number in numbers], self.nova.seen)
        # No project's: hosts are nobody's.
        self.assertEqual([(rbac_mod.CANCEL_ALL, None)], self.rbac.checked)

    def test_of_a_project(self):
        self.lookup.migrations[0].instance_uuid = fakes.OTHER
        found = self.cancel(project_id='p')
        self.assertEqual([6, 7], [one['migration_id'] for one in found['cancelled']])
        self.assertEqual({'cancelled': [], 'failed': [], 'remaining': []},
                         self.cancel(project_id='nobody'))
        # Not the caller's, which is p in both.
        self.assertEqual([(rbac_mod.CANCEL_ALL, 'p'), (rbac_mod.CANCEL_ALL, 'nobody')],
                         self.rbac.checked)

    def test_some_servers_alone(self):
        self.lookup.migrations[0].instance_uuid = fakes.OTHER
        for what in ({'host': 'n1'}, {'project_id': 'p'}):
            found = self.cancel(**what, servers=[fakes.SERVER])
            self.assertNotIn(5, [one['migration_id'] for one in found['cancelled']])
            self.assertNotEqual([], found['cancelled'])
        self.assertEqual([], self.cancel(host='n1', servers=['nobody'])['cancelled'])

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
        own = environ['nova.context']
        self.assertEqual(vars(self.context), vars(own))
        # Others are targeted at other cells at the same time.
        self.assertIsNot(self.context, own)

    def many(self, count, **more):
        self.lookup.migrations = [fakes.migration(number, **more)
                                  for number in range(1, count + 1)]

    def test_many_at_once(self):
        together = threading.Barrier(cancel_all.BOUNDS.per_host)
        self.many(5 * cancel_all.BOUNDS.per_host)

        def ask(*args, **kwargs):
            together.wait(LONG_S)
            return 202, {'phase': 'passes'}

        self.channel.ask = ask
        found = self.cancel(host='n1')
        self.assertEqual(list(range(1, 5 * cancel_all.BOUNDS.per_host + 1)),
                         [one['migration_id'] for one in found['cancelled']])

    def test_each_has_a_context_of_its_own(self):
        self.many(20)
        seen = []

        def ask(context, *args, **kwargs):
            seen.append(context)
            return 202, {'phase': 'passes'}

        self.channel.ask = ask
        self.cancel(host='n1')
        self.assertEqual(20, len({id(context) for context in seen}))

    def test_what_was_not_done_in_time_remains(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        self.many(3)

        def ask(context, host, method, migration, **arguments):
            if not go_on.wait(LONG_S):
                raise TimeoutError
            return 202, {}

        self.channel.ask = ask
        with mock.patch.object(cancel_all, 'BOUNDS', parallel.Bounds(2, 2, 3.0, 3.1)):
            found = self.cancel(host='n1')
        self.assertEqual(([], []), (found['cancelled'], found['failed']))
        self.assertEqual([(1, True), (2, True), (3, False)], [
            (one['migration_id'], one['begun']) for one in found['remaining']])
        late, waited = 'has not been answered', 'had not come'
        for one, words in zip(found['remaining'], (late, late, waited), strict=True):
            self.assertEqual(fakes.SERVER, one['server_id'])
            self.assertIn(words, one['message'])
            self.assertIn('ask again', one['message'])

    def test_one_that_fails_by_a_fault_of_ours(self):
        self.many(2)

        def ask(context, host, method, **arguments):
            raise ValueError('secret')

        self.channel.ask = ask
        found = self.cancel(host='n1')
        self.assertEqual([500, 500], [one['code'] for one in found['failed']])
        self.assertNotIn('secret', str(found))

    def test_a_host_that_does_not_answer_is_waited_for_once(self):
        silent = client.Unreachable(503, 'nova-compute on n1 did not answer')
        self.channel.answers['act'] = silent
        self.many(50)
        with mock.patch.object(cancel_all, 'BOUNDS', parallel.Bounds(1, 1, LONG_S, LONG_S)):
            found = self.cancel(host='n1')
        self.assertEqual(1, len(self.channel.asked))
        # Nova has been asked to cancel each: it is done when the host is back.
        self.assertEqual(50, len(self.nova.seen))
        self.assertEqual(([], []), (found['cancelled'], found['failed']))
        self.assertEqual([True] * 50, [one['begun'] for one in found['remaining']])
        self.assertIn('Nova has accepted it', found['remaining'][49]['message'])
        self.assertIn('n1 did not answer', found['remaining'][49]['message'])

    def test_what_could_not_be_cancelled(self):
        self.channel.answers['act'] = client.Refused(409, 'not in the phase post-copy')
        self.assertEqual({'cancelled': [], 'remaining': [], 'failed': [{
            'server_id': fakes.SERVER, 'migration_id': 5, 'code': 409,
            'message': 'not in the phase post-copy'}]},
            self.cancel(host='n1', direction='from'))

    @ddt.data((400, 'cancelled', 'cancelled'), (404, 'cancelled', 'cancelled'),
              (400, 'completed', 'failed'), (400, 'error', 'failed'))
    @ddt.unpack
    def test_one_that_has_ended_before_its_turn(self, code, status, name):
        self.nova.status = code

        def nova(environ, start_response):
            self.lookup.migrations[0].status = status
            return type(self.nova).__call__(self.nova, environ, start_response)

        self.app._ours._onward = nova
        found = self.cancel(host='n1', direction='from')
        self.assertEqual([5], [one['migration_id'] for one in found[name]], found)

    def test_what_nova_cannot_cancel_yet_on_a_host_that_does_not_answer(self):
        self.lookup.migrations = [fakes.migration(status='accepted')]
        self.nova.status = 400
        self.channel.answers['act'] = client.Unreachable(503, 'n1 did not answer')
        found = self.cancel(host='n1')
        self.assertEqual(([], []), (found['cancelled'], found['failed']))
        [left] = found['remaining']
        self.assertEqual((False, 'n1 did not answer'), (left['begun'], left['message']))

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
        self.channel.answers['act'] = client.Unreachable(409, 'no plugin there')
        [done] = self.cancel(host='n1', direction='from')['cancelled']
        self.assertIsNone(done['phase'])

    def test_a_host_that_is_down_is_looked_at_once(self):
        looked = []

        def check_up(context, host):
            looked.append(host)
            raise errors.Unreachable(503, f'{host} is down')

        self.lookup.check_up = check_up
        self.many(8)
        with mock.patch.object(cancel_all, 'BOUNDS', parallel.Bounds(1, 1, LONG_S, LONG_S)):
            found = self.cancel(host='n1')
        self.assertEqual([503] * 8, [one['code'] for one in found['failed']])
        self.assertEqual(['n1'], looked)

    def test_unknown_host(self):
        self.refused(404, 'no such host', 'POST', PATH, {'cancel': {'host': 'n9'}})

    def test_who_may_not(self):
        self.rbac.denied.add(rbac_mod.CANCEL_ALL)
        for what in ({'host': 'n9'}, {'project_id': 'p'}):
            self.refused(403, rbac_mod.CANCEL_ALL, 'POST', PATH, {'cancel': what})
        self.assertEqual([], self.nova.seen)

    @ddt.data(b'', b'{', b'null', b'{"cancel": {}}', b'{"cancel": {"host": 5}}')
    def test_wrong_body(self, raw):
        self.refused(400, '', 'POST', PATH, raw=raw)
        self.assertEqual([], self.nova.seen)

    def test_other_methods(self):
        self.assertEqual('POST', self.refused(
            405, 'this path takes POST', 'GET', PATH).headers['Allow'])
