# SPDX-License-Identifier: Apache-2.0
"""Flavors and images as the openstack command prints them, good and hostile."""

from __future__ import annotations

import json

import ddt

from tests.unit.cmd import base

WRITES = ('--writable-set-mib', '512', '--dirty-mib-s', '400')


@ddt.ddt
class CatalogTest(base.CommandTest):

    def test_a_flavor_gives_memory_and_policy(self):
        flavor = {'name': 'db.large', 'ram': 8192, 'vcpus': 4, 'properties': {
            'migpolicy:profile': 'post_copy', 'migpolicy:max_downtime_ms': '200',
            'hw:cpu_policy': 'dedicated'}}
        found = self.as_json('--flavor', self.file('f.json', flavor), *WRITES)
        self.assertEqual(8192, found['guest']['memory_mib'])
        [policy] = found['policies']
        self.assertEqual('db.large', policy['policy'])
        self.assertEqual(200, policy['values']['max_downtime_ms'])
        self.assertEqual('flavor', policy['origins']['max_downtime_ms'])
        self.assertEqual('profile post_copy (flavor)', policy['origins']['on_stall'])
        self.assertEqual([], policy['warnings'])

    def test_from_the_standard_input_beside_a_profile(self):
        text = json.dumps({'name': 'tiny', 'ram': 1024, 'properties': {}}).encode()
        found = self.as_json('--flavor', '-', '--profile', 'evacuate', *WRITES, stdin=text)
        self.assertEqual(['tiny', 'evacuate'], [one['policy'] for one in found['policies']])

    def test_a_bad_value_falls_back_with_a_warning(self):
        flavor = self.file('f.json', {'name': 'x', 'ram': 1024, 'properties': {
            'migpolicy:max_downtime_ms': 'soon', 'migpolicy:nonsense': '1',
            'migpolicy:on_stall': {'a': 1}}})
        found = self.as_json('--flavor', flavor)
        [policy] = found['policies']
        self.assertEqual(500, policy['values']['max_downtime_ms'])
        self.assertIn("flavor: max_downtime_ms = 'soon': ignored, not a whole number",
                      policy['warnings'])
        self.assertEqual(3, len(policy['warnings']))
        self.assertIn('note: flavor: max_downtime_ms', self.simulate('--flavor', flavor))

    def test_the_command_line_outranks_the_flavor(self):
        flavor = self.file('f.json', {'ram': 1024, 'properties': {
            'migpolicy:max_downtime_ms': 200}})
        found = self.as_json('--flavor', flavor, '--memory-mib', 2048,
                             '--set', 'max_downtime_ms=300')
        self.assertEqual(2048, found['guest']['memory_mib'])
        self.assertEqual('flavor', found['policies'][0]['policy'])
        self.assertEqual(300, found['policies'][0]['values']['max_downtime_ms'])

    def test_an_image_is_clamped(self):
        flavor = self.file('f.json', {'name': 'f', 'ram': 1024, 'properties': {
            'migpolicy:max_downtime_ms': '200'}})
        image = self.file('i.json', {'name': 'i', 'properties': {
            'migpolicy_max_downtime_ms': '9000'}})
        [policy] = self.as_json('--flavor', flavor, '--image', image)['policies']
        self.assertEqual('f + i', policy['policy'])
        self.assertEqual(200, policy['values']['max_downtime_ms'])
        self.assertEqual('image, clamped by flavor', policy['origins']['max_downtime_ms'])

    def test_an_image_as_the_api_has_it(self):
        image = self.file('i.json', {'id': 'x', 'migpolicy_max_downtime_ms': '150'})
        [policy] = self.as_json('--image', image, '--memory-mib', 1024)['policies']
        self.assertEqual(('image', 150), (policy['policy'], policy['values']['max_downtime_ms']))

    @ddt.data(
        (b'', 'not a JSON object'), (b'[1]', 'not a JSON object'), (b'\xff\xfe', 'not a JSON'),
        (b'[' * 100_000, 'not a JSON object'), (b'{"ram": ' + b'9' * 5000 + b'}', ''),
        (b'{"ram": "a lot"}', "ram 'a lot': not a whole number"),
        (b'{"ram": -1}', 'ram -1: below the minimum'), (b'{"ram": true}', 'not a number'),
        (b'{"ram": NaN}', 'not a whole number'), (b'{}', 'the flavor has no ram'),
        (b'{"ram": 64, "properties": "a=b"}', 'not an object with names and values'),
        (b' ' * (5 << 20), 'larger than 4 MiB'),
    )
    @ddt.unpack
    def test_junk(self, text, sentence):
        path = self.file('f.json', text)
        self.assertIn(sentence, self.refused('--flavor', path))
        if sentence.startswith(('not a JSON', 'larger', 'not an object')):
            self.assertIn(sentence, self.refused('--image', path, '--memory-mib', 64))

    def test_no_file(self):
        for path in (self.folder, self.folder / 'none', 'nul\0'):
            self.assertIn('it cannot be read', self.refused('--flavor', path))

    def test_a_hostile_name_is_cut_and_obeyed_by_no_terminal(self):
        flavor = self.file('f.json', {'name': '\x1b[31m' + 'x' * 500 + '\n', 'ram': 64})
        out = self.simulate('--flavor', flavor)
        self.assertNotIn('\x1b', out)
        self.assertTrue(all(len(line) <= 100 for line in out.splitlines()))

    def test_a_flavor_with_stock_behaviour(self):
        flavor = self.file('f.json', {'name': 'stock', 'ram': 64, 'properties': {
            'migpolicy:profile': 'nova'}})
        self.assertIn("stock is Nova's own loop", ' '.join(
            self.simulate('--flavor', flavor).split()))
