# SPDX-License-Identifier: Apache-2.0
"""What is not ours goes on untouched, and Nova's API works whatever happens to ours."""

from unittest import mock

import ddt
import fixtures
import hypothesis
from hypothesis import strategies
import webob

from nova_migpolicy import api
from nova_migpolicy.api import filter as filter_mod
from nova_migpolicy.api import routes
from tests.unit.api import fakes


@ddt.ddt
class TestFilter(fakes.ApiCase):

    def test_most_requests_go_past_our_application(self):
        self.app._ours = None
        for path in ('/servers', f'/servers/{fakes.SERVER}', '/os-services', '/', '',
                     '/servers/detail', f'/servers/{fakes.SERVER}/migrations',
                     f'/servers/{fakes.SERVER}/os-interface', '/os-migrations',
                     '/os-migration'):
            self.assertEqual(202, self.call('GET', path).code)

    @ddt.data(('GET', ''), ('GET', '.json'), ('POST', '/other'), ('GET', '/policy/more'),
              ('GET', '/Policy'), ('GET', '/policies'), ('GET', '/action'), ('PUT', ''))
    @ddt.unpack
    def test_neighbours_of_our_paths(self, method, end):
        self.call(method, self.base + end)
        self.assertEqual([(method, self.base + end)], [seen[:2] for seen in self.nova.seen])
        self.assertEqual([], self.channel.asked)

    @ddt.data('/servers/x/y/migrations/5/policy', '/x/servers/y/migrations/5/policy',
              '/a/b/servers/c/migrations/5/policy', '/servers//migrations/5/policy',
              '/servers/a/migrations//policy', '/os-migrations/cancel/all',
              '/os-migration-capacity/n1/limits', '/os-migration-capacities',
              '/x/y/os-migration-capacity')
    def test_paths_that_only_look_like_ours(self, path):
        self.call('GET', path)
        self.assertEqual(1, len(self.nova.seen))

    def test_before_keystonecontext_it_does_nothing(self):
        log = self.useFixture(fixtures.FakeLogger())
        self.context = None
        self.assertEqual(202, self.call('GET', f'{self.base}/policy').code)
        self.assertIn('has to come after keystonecontext', log.output)
        self.assertEqual([], self.channel.asked)

    def test_a_body_that_is_too_large(self):
        def reading(*args):
            raise webob.exc.HTTPRequestEntityTooLarge(detail='Request is too large.')

        with mock.patch.object(webob.Request, 'body', property(reading)):
            self.refused(413, 'Request is too large.', 'PUT', f'{self.base}/tuning')

    @hypothesis.given(
        strategies.sampled_from(['GET', 'PUT', 'POST', 'DELETE', 'HEAD']),
        strategies.text(strategies.characters(max_codepoint=255), max_size=8),
        strategies.text(strategies.characters(max_codepoint=255), max_size=8),
        strategies.sampled_from(['', '/policy', '/progress', '/timeline', '/tuning', '/action']),
        strategies.text(strategies.characters(max_codepoint=255), max_size=20),
        strategies.binary(max_size=40))
    def test_whatever_comes_is_answered(self, method, server, migration, end, query, raw):
        self.nova.status = 404
        answer = self.call(method, '/', raw=raw, environ={
            'PATH_INFO': f'/servers/{server}/migrations/{migration}{end}',
            'QUERY_STRING': query})
        self.assertIn(answer.code, (400, 404, 405, 415))


class TestFactory(fakes.ApiCase):

    def make(self, **make):
        with mock.patch.object(routes, 'make', **make):
            return filter_mod.factory({})(self.nova)

    def test_put_before(self):
        made = self.make(return_value=self.app._ours)
        self.app = made
        self.assertEqual(200, self.call('GET', f'{self.base}/policy').code)
        self.assertEqual(202, self.call('GET', '/servers').code)

    def test_ours_does_not_load(self):
        log = self.useFixture(fixtures.FakeLogger())
        self.assertIs(self.nova, self.make(side_effect=RuntimeError('broken')))
        self.assertIn('The API of nova_migpolicy is off', log.output)
        self.assertIn('RuntimeError: broken', log.output)

    def test_ours_is_not_there(self):
        log = self.useFixture(fixtures.FakeLogger())
        with mock.patch.dict('sys.modules', {routes.__name__: None}):
            with mock.patch.dict(api.__dict__):
                del api.routes
                self.assertIs(self.nova, filter_mod.factory({})(self.nova))
        self.assertIn('ModuleNotFoundError', log.output)

    def test_nova_has_moved(self):
        log = self.useFixture(fixtures.FakeLogger())
        moved = 'nova.compute.api:API.get is not there; it is needed to find a server'
        with mock.patch('nova_migpolicy.nova_contract.mismatches', lambda names: [moved]):
            self.assertIs(self.nova, filter_mod.factory({})(self.nova))
        self.assertIn(f'this Nova does not match: {moved}', log.output)
