# SPDX-License-Identifier: Apache-2.0
"""Cancelling and forcing to complete in Nova's own way: Nova first, then the truth."""

import ddt

from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.channel import client
from tests.unit.api import fakes

_WAYS = (('DELETE', '', None, 'cancel'),
         ('POST', '/action', {'force_complete': None}, 'force_complete'))


@ddt.ddt
class TestBoth(fakes.ApiCase):

    def send(self, way):
        method, path, body, _ = way
        return self.call(method, self.base + path, body)

    def asked(self, action):
        return [('n1', 'act', {'server': fakes.SERVER, 'migration': fakes.RECORD,
                               'action': action})]

    @ddt.data(*_WAYS)
    def test_nova_accepts_and_it_is_done(self, way):
        answer = self.send(way)
        self.assertEqual((202, None), (answer.code, answer.body))
        self.assertEqual('compute 2.90', answer.headers['OpenStack-API-Version'])
        self.assertEqual(self.asked(way[3]), self.channel.asked)
        self.assertEqual(1, len(self.nova.seen))
        self.assertEqual([], self.rbac.checked)

    @ddt.data(*_WAYS)
    def test_nova_accepts_what_cannot_be_done(self, way):
        self.channel.answers['act'] = client.Refused(409, 'not in the phase post-copy')
        answer = self.send(way)
        self.assertEqual((409, 'not in the phase post-copy'), (answer.code, answer.message))

    @ddt.data(*_WAYS)
    def test_nova_refuses_for_the_state_what_is_done_all_the_same(self, way):
        self.lookup.migrations = [fakes.migration(status='accepted')]
        self.nova.status, self.nova.body = 400, b'{"badRequest": {}}'
        answer = self.send(way)
        self.assertEqual((202, None), (answer.code, answer.body))
        self.assertEqual('compute 2.90', answer.headers['OpenStack-API-Version'])

    @ddt.data(*_WAYS)
    def test_nova_refuses_for_the_state_and_the_reason_is_told(self, way):
        self.lookup.migrations = [fakes.migration(status='running (post-copy)')]
        self.nova.status = 400
        self.channel.answers['act'] = client.Refused(409, 'not in the phase post-copy')
        self.assertEqual(409, self.send(way).code)

    @ddt.data(*[(*way, code) for way in _WAYS for code in (403, 404, 409, 415, 500)])
    def test_all_other_refusals_of_novas_stand(self, way):
        self.nova.status = way[-1]
        self.assertEqual(way[-1], self.send(way[:-1]).code)
        self.assertEqual([], self.channel.asked)

    @ddt.data(*_WAYS)
    def test_nova_did_something_else(self, way):
        # It takes another method from ?_method=.
        self.nova.status = 200
        self.assertEqual(200, self.send(way).code)
        self.assertEqual([], self.channel.asked)

    @ddt.data(*_WAYS)
    def test_a_version_that_nova_cannot_read(self, way):
        self.nova.status, self.nova.headers = 400, {}
        self.assertEqual(400, self.send(way).code)
        self.assertEqual([], self.channel.asked)

    @ddt.data(*[(*way, novas) for way in _WAYS for novas in (202, 400)])
    def test_no_plugin_to_ask(self, way):
        *way, novas = way
        self.nova.status = novas
        self.channel.answers['act'] = client.Unreachable(409, 'no plugin there')
        self.assertEqual(novas, self.send(way).code)

    @ddt.data(*[(*way, novas) for way in _WAYS for novas in (202, 400)])
    def test_a_host_that_does_not_answer(self, way):
        *way, self.nova.status = way
        self.channel.answers['act'] = client.Off(503, 'n1 did not answer; try again.')
        answer = self.send(way)
        sent = 'Nova has accepted it, but its outcome is not known: '
        self.assertEqual(
            (503, (sent if self.nova.status == 202 else '') + 'n1 did not answer; try again.'),
            (answer.code, answer.message))

    @ddt.data(*_WAYS)
    def test_source_host_is_down(self, way):
        self.lookup.down.add('n1')
        answer = self.send(way)
        self.assertEqual((503, 'n1 is down'), (answer.code, answer.message))
        self.assertEqual([], self.nova.seen)

    @ddt.data(*_WAYS)
    def test_the_host_is_not_told_to_who_may_not_look(self, way):
        self.rbac.denied.add(rbac_mod.SHOW)
        self.lookup.down.add('n1')
        self.assertEqual('the source host is down', self.send(way).message)

    @ddt.data(*_WAYS)
    def test_who_may_not_learns_it_from_nova(self, way):
        self.lookup.down.add('n1')
        self.context = fakes.Context(novas=False)
        self.nova.status = 403
        self.assertEqual(403, self.send(way).code)
        self.assertEqual([], self.channel.asked)

    @ddt.data(*_WAYS)
    def test_one_that_is_over_is_novas_alone(self, way):
        self.lookup.migrations = [fakes.migration(status='completed')]
        self.lookup.down.add('n1')
        self.assertEqual(202, self.send(way).code)
        self.assertEqual([], self.channel.asked)

    @ddt.data(*[(way, status) for way in _WAYS for status in ('cancelled', 'completed')])
    @ddt.unpack
    def test_it_ends_while_nova_answers(self, way, status):
        def end(environ, start_response):
            self.lookup.migrations[0].status = status
            return type(self.nova).__call__(self.nova, environ, start_response)

        self.app._ours._onward = end
        untrue = (status, way[3]) == ('completed', 'cancel')
        self.assertEqual(409 if untrue else 202, self.send(way).code)
        self.assertEqual([], self.channel.asked)

    @ddt.data(*[(way, code) for way in _WAYS for code in (202, 400)])
    @ddt.unpack
    def test_under_novas_own_monitor_novas_answer_stands(self, way, code):
        self.nova.status = code
        self.channel.answers['act'] = 202, None
        self.assertEqual(code, self.send(way).code)
        self.assertEqual(self.asked(way[3]), self.channel.asked)

    @ddt.data(*_WAYS)
    def test_project_in_the_path(self, way):
        self.context.project_id = 'abc'
        self.base = '/abd' + self.base
        self.nova.status = 400
        self.assertEqual(400, self.send(way).code)
        self.assertEqual([], self.channel.asked)

    @ddt.data('/5.json', '/5/', '/5.json/')
    def test_as_novas_router_takes_it(self, end):
        path = f'/servers/{fakes.SERVER}/migrations{end}'
        self.assertEqual(202, self.call('DELETE', path).code)
        self.assertEqual(1, len(self.channel.asked))

    @ddt.data('5x', '%35x', '-5', '5.xml', "5'--")
    def test_what_is_no_number_is_novas_alone(self, text):
        self.call('DELETE', f'/servers/{fakes.SERVER}/migrations/{text}')
        self.assertEqual((1, []), (len(self.nova.seen), self.channel.asked))

    def test_unknown_server_or_migration_is_novas_to_refuse(self):
        self.nova.status = 404
        for server, number in ((fakes.OTHER, 5), (fakes.SERVER, 6)):
            self.assertEqual(404, self.call(
                'DELETE', f'/servers/{server}/migrations/{number}').code)
        self.assertEqual([], self.channel.asked)
