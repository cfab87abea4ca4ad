# SPDX-License-Identifier: Apache-2.0
"""A policy in os-migrateLive: kept by the source host, and never seen by Nova."""

import json

import ddt

from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.channel import client
from tests.unit.api import fakes

PATH = f'/servers/{fakes.SERVER}/action'
POLICY = {'profile': 'evacuate', 'timeout_seconds': 300}
PLAIN = {'host': None, 'block_migration': 'auto', 'ß': [1.0, 'ü']}


def body(**more):
    return {'os-migrateLive': {**PLAIN, **more}}


@ddt.ddt
class TestStart(fakes.ApiCase):

    def held(self):
        return ('n1', 'hold_request', {
            'server': fakes.SERVER, 'request_id': fakes.REQUEST, 'values': POLICY})

    def test_kept_and_stripped(self):
        answer = self.call('POST', PATH, body(migpolicy=POLICY))
        self.assertEqual((202, 'compute 2.90'),
                         (answer.code, answer.headers['OpenStack-API-Version']))
        self.assertEqual([self.held()], self.channel.asked)
        self.assertEqual([(rbac_mod.REQUEST, 'p')], self.rbac.checked)
        [(method, path, raw, _)] = self.nova.seen
        self.assertEqual(('POST', PATH, body()), (method, path, json.loads(raw)))

    def noted(self):
        return ('n1', 'note_named', {'server': fakes.SERVER, 'request_id': fakes.REQUEST})

    def test_a_named_host_is_noted_with_the_source(self):
        self.call('POST', PATH, body(host='n2'))
        self.assertEqual([self.noted()], self.channel.asked)
        self.assertEqual(body(host='n2'), json.loads(self.nova.seen[0][2]))

    def test_a_named_host_is_noted_beside_a_policy(self):
        self.call('POST', PATH, body(host='n2', migpolicy=POLICY))
        self.assertEqual([self.held(), self.noted()], self.channel.asked)

    def test_a_named_host_that_cannot_be_noted_stops_nothing(self):
        self.channel.answers['note_named'] = client.Unreachable(409, 'no plugin there')
        self.assertEqual(202, self.call('POST', PATH, body(host='n2')).code)
        self.assertEqual(1, len(self.nova.seen))

    def test_nothing_is_noted_for_who_may_not_migrate(self):
        self.context = fakes.Context(novas=False)
        self.call('POST', PATH, body(host='n2'))
        self.call('POST', f'/servers/{fakes.OTHER}/action', body(host='n2'))
        self.assertEqual([], self.channel.asked)
        self.assertEqual(2, len(self.nova.seen))

    def test_letters_may_be_written_as_numbers(self):
        raw = json.dumps(body(migpolicy=POLICY)).replace('"migpolicy', '"\\u006digpolicy')
        self.call('POST', PATH, raw=raw.encode())
        self.assertEqual([self.held()], self.channel.asked)

    @ddt.data(400, 403, 404, 409, 500)
    def test_nova_refuses(self, code):
        self.nova.status = code
        self.assertEqual(code, self.call('POST', PATH, body(migpolicy=POLICY)).code)
        self.assertEqual([self.held(), ('n1', 'drop_request', {
            'server': fakes.SERVER, 'request_id': fakes.REQUEST})], self.channel.asked)

    def test_nova_fails(self):
        self.app._ours._onward = lambda environ, start_response: 1 / 0
        self.assertRaises(ZeroDivisionError, self.call, 'POST', PATH, body(migpolicy=POLICY))
        self.assertEqual('drop_request', self.channel.asked[-1][1])

    def test_nova_refuses_and_it_cannot_be_dropped(self):
        self.nova.status = 409
        self.channel.answers['drop_request'] = client.Unreachable(503, 'gone')
        self.assertEqual(409, self.call('POST', PATH, body(migpolicy=POLICY)).code)

    @ddt.data((client.Refused, 400, "timeout_seconds = 1: below the operator's 60"),
              (client.Unreachable, 409, 'no plugin there'))
    @ddt.unpack
    def test_source_host_does_not_take_it(self, kind, code, words):
        self.channel.answers['hold_request'] = kind(code, words)
        self.refused(code, words, 'POST', PATH, body(migpolicy=POLICY))
        self.assertEqual([], self.nova.seen)

    def test_source_host_is_down(self):
        self.lookup.down.add('n1')
        self.refused(503, 'n1 is down', 'POST', PATH, body(migpolicy=POLICY))
        self.assertEqual(([], []), (self.channel.asked, self.nova.seen))

    def test_the_host_is_not_told_to_who_may_not_look(self):
        self.rbac.denied.add(rbac_mod.SHOW)
        self.lookup.down.add('n1')
        self.refused(503, 'the source host is down', 'POST', PATH, body(migpolicy=POLICY))

    def test_server_without_a_host(self):
        self.lookup.found.host = None
        self.refused(409, 'on no host yet', 'POST', PATH, body(migpolicy=POLICY))

    def test_who_may_not(self):
        self.rbac.denied.add(rbac_mod.REQUEST)
        self.refused(403, rbac_mod.REQUEST, 'POST', PATH, body(migpolicy={'wrong': 1}))
        self.refused(404, 'no such server', 'POST', f'/servers/{fakes.OTHER}/action',
                     body(migpolicy=POLICY))
        self.assertEqual(([], []), (self.channel.asked, self.nova.seen))

    @ddt.data(None, {}, [], 'evacuate', {'profil': 'x'}, {'max_downtime_ms': 0},
              {'profile': 'x' * 64}, {'migpolicy': POLICY})
    def test_wrong_policy(self, policy):
        self.refused(400, 'os-migrateLive.migpolicy', 'POST', PATH, body(migpolicy=policy))
        self.assertEqual(([], []), (self.channel.asked, self.nova.seen))

    def test_version_and_project(self):
        self.refused(406, 'there is only', 'POST', PATH, body(migpolicy=POLICY),
                     headers={'OpenStack-API-Version': 'migration-policy 3.0'})
        self.refused(400, "names project 'abd'", 'POST', '/abd' + PATH, body(migpolicy=POLICY))
        self.assertEqual([], self.nova.seen)

    @ddt.data(b'{"os-migrateLive": {"host": null}}', b'{"reboot": {"type": "SOFT"}}', b'', b'{',
              b'null', b'[]', b'"migpolicy"', b'{"migpolicy": 1}', b'{"migpolicy',
              b'{"os-migrateLive": "migpolicy"}', b'{"rebuild": {"migpolicy": {}}}',
              b'\xffmigpolicy', b'{"reboot": "\\ud800 migpolicy"}',
              b'{"os-migrateLive":\n {"host" : null,  "x": "\\u00df"}}',
              json.dumps(body()).encode())
    def test_all_else_goes_on_as_it_came(self, raw):
        self.call('POST', PATH, raw=raw)
        self.assertEqual([raw], [seen[2] for seen in self.nova.seen])
        self.assertEqual(([], []), (self.channel.asked, self.rbac.checked))

    def test_nested_deep_never_reaches_nova(self):
        self.refused(400, 'nested', 'POST', PATH, raw=b'{"migpolicy": ' + b'[' * 50_000)
        self.assertEqual([], self.nova.seen)

    def test_wrong_type_is_novas_to_refuse(self):
        self.nova.status = 415
        self.assertEqual(415, self.call(
            'POST', PATH, body(migpolicy=POLICY),
            environ={'CONTENT_TYPE': 'text/xml'}).code)
