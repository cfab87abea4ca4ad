# SPDX-License-Identifier: Apache-2.0
"""Tuning, and the actions that are ours; what is Nova's goes on untouched."""

import json

import ddt

from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.channel import client
from tests.unit.api import fakes


@ddt.ddt
class TestTuning(fakes.ApiCase):

    def tune(self, **changes):
        return self.call('PUT', f'{self.base}/tuning', {'tuning': changes})

    def test_applied(self):
        body = {'applied': {'bandwidth_mib_s': 9}, 'released': [], 'held': {}, 'settings': {},
                'reason': 'so'}
        self.channel.answers['tune'] = 200, body
        answer = self.tune(bandwidth_mib_s=9, release=['max_downtime_ms'])
        self.assertEqual((200, {'tuning': body}), (answer.code, answer.body))
        self.assertEqual([('n1', 'tune', {
            'server': fakes.SERVER, 'migration': fakes.RECORD, 'changes': {'bandwidth_mib_s': 9},
            'release': ['max_downtime_ms']})], self.channel.asked)
        self.assertEqual([(rbac_mod.TUNE, 'p')], self.rbac.checked)

    def test_libvirt_has_not_answered(self):
        self.channel.answers['tune'] = 202, {'pending': True}
        answer = self.tune(bandwidth_mib_s=9)
        self.assertEqual((202, {'tuning': {'pending': True}}), (answer.code, answer.body))

    @ddt.data(400, 409)
    def test_source_host_refuses(self, code):
        self.channel.answers['tune'] = client.Refused(code, 'not in the phase switchover')
        self.refused(code, 'phase switchover', 'PUT', f'{self.base}/tuning',
                     {'tuning': {'bandwidth_mib_s': 9}})

    def test_changed_and_released(self):
        self.refused(400, 'bandwidth_mib_s cannot be changed and released at once', 'PUT',
                     f'{self.base}/tuning',
                     {'tuning': {'bandwidth_mib_s': 9, 'release': ['bandwidth_mib_s']}})
        self.assertEqual([], self.channel.asked)

    def test_locked_server(self):
        self.lookup.found.locked = True
        self.assertEqual(200, self.tune(bandwidth_mib_s=9).code)
        self.context.is_admin = False
        self.refused(409, 'is locked', 'PUT', f'{self.base}/tuning',
                     {'tuning': {'bandwidth_mib_s': 9}})

    @ddt.data(b'', b'null', b'[]', b'{"tuning": null}', b'{"tuning": {}}', b'{', b'\xff',
              b'{"tuning": {"bandwidth_mib_s": ' + b'9' * 5000 + b'}}',
              b'[' * 5000, b'{"tuning": {"profile": "\\ud800"}}')
    def test_wrong_body(self, raw):
        self.refused(400, '', 'PUT', f'{self.base}/tuning', raw=raw)
        self.assertEqual([], self.channel.asked)

    def test_wrong_type(self):
        self.refused(415, "'text/xml'", 'PUT', f'{self.base}/tuning', raw=b'<a/>',
                     environ={'CONTENT_TYPE': 'text/xml'})

    def test_who_may_not_learns_nothing_of_the_body(self):
        self.rbac.denied.add(rbac_mod.TUNE)
        self.refused(403, rbac_mod.TUNE, 'PUT', f'{self.base}/tuning', raw=b'{')


@ddt.ddt
class TestAction(fakes.ApiCase):

    @ddt.data(('post_copy', rbac_mod.POST_COPY), ('pause', rbac_mod.PAUSE))
    @ddt.unpack
    def test_ours(self, name, rule):
        self.channel.answers['act'] = 202, {'action': name, 'phase': 'passes', 'reason': 'so'}
        answer = self.call('POST', f'{self.base}/action', {name: None})
        self.assertEqual((202, {'action': {'name': name, 'phase': 'passes', 'reason': 'so'}}),
                         (answer.code, answer.body))
        self.assertEqual([(rule, 'p')], self.rbac.checked)
        self.assertEqual(name, self.channel.asked[0][2]['action'])
        self.assertEqual([], self.nova.seen)

    def test_refused_by_the_source_host(self):
        self.channel.answers['act'] = client.Refused(409, 'not in the phase disks')
        self.refused(409, 'phase disks', 'POST', f'{self.base}/action', {'pause': None})

    @ddt.data({'pause': 1}, {'pause': None, 'post_copy': None},
              {'pause': None, 'force_complete': None}, {'pause': {'now': True}})
    def test_ours_but_wrong(self, body):
        self.refused(400, '', 'POST', f'{self.base}/action', body)
        self.assertEqual(([], []), (self.channel.asked, self.nova.seen))

    def test_locked_server(self):
        self.lookup.found.locked = True
        self.context.is_admin = False
        self.refused(409, 'is locked', 'POST', f'{self.base}/action', {'pause': None})

    @ddt.data(b'{"stop": null}', b'{}', b'[]', b'null', b'7', b'"pause"', b'["pause"]', b'{',
              b'', b'\xff', b'{"pause": "\\ud800"}', json.dumps({'x': [0] * 5000}).encode())
    def test_novas_to_refuse(self, raw):
        self.nova.status = 400
        self.assertEqual(400, self.call('POST', f'{self.base}/action', raw=raw).code)
        self.assertEqual(raw, self.nova.seen[0][2])
        self.assertEqual([], self.channel.asked)

    def test_wrong_type_is_novas_to_refuse(self):
        self.nova.status = 415
        self.assertEqual(415, self.call(
            'POST', f'{self.base}/action', raw=b'{"pause": null}',
            environ={'CONTENT_TYPE': 'text/xml'}).code)

    @ddt.data(b'{"force_complete": "x"}', b'{"force_complete": {}}', b'{"force_complete": false}',
              '{"force_complete": null}'.encode('utf-16'))
    def test_wrong_completion_is_not_taken_for_a_wrong_state(self, raw):
        self.nova.status = 400
        self.assertEqual(400, self.call('POST', f'{self.base}/action', raw=raw).code)
        self.assertEqual([], self.channel.asked)

    @ddt.data('n1', 'n1.node', 'n2', 'n2.node', '10.0.0.2')
    def test_hosts_are_not_told_to_who_may_not_look(self, host):
        for said in (f'{host} is busy', f'at {host}.', f'qemu+tcp://{host}/system', f'({host})'):
            self.rbac.denied = set()
            self.channel.answers['act'] = client.Refused(409, said)
            self.refused(409, said, 'POST', f'{self.base}/action', {'pause': None})
            self.rbac.denied = {rbac_mod.SHOW}
            told = self.refused(409, 'the ', 'POST', f'{self.base}/action', {'pause': None})
            self.assertNotIn(host, told.message)
            self.channel.answers['act'] = 202, {'phase': 'passes', 'reason': said}
            told = self.call('POST', f'{self.base}/action', {'pause': None})
            self.assertNotIn(host, told.body['action']['reason'])

    def test_words_like_a_host_stay(self):
        self.rbac.denied = {rbac_mod.SHOW}
        self.channel.answers['act'] = client.Refused(409, 'n10, xn1, n1-b and n2.other')
        self.refused(409, 'n10, xn1, n1-b and n2.other', 'POST', f'{self.base}/action',
                     {'pause': None})

    def test_nested_deep_never_reaches_nova(self):
        self.refused(400, 'nested', 'POST', f'{self.base}/action', raw=b'[' * 50_000)
        self.assertEqual([], self.nova.seen)
