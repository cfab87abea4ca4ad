# SPDX-License-Identifier: Apache-2.0
"""The table of Nova's own options is whole in itself, and the page in the docs is made from it.

That it has each option of Nova's is in tests/contract/test_nova_options.py.
"""

import pathlib

import testtools

from nova_migpolicy.policy import keys
from nova_migpolicy.policy import nova_options
from nova_migpolicy.policy import nova_reference
from nova_migpolicy.policy import nova_values
from nova_migpolicy.policy import profiles

ROOT = pathlib.Path(__file__).parents[3]


class TestTable(testtools.TestCase):

    def test_keys_are_there(self):
        for option in nova_options.OPTIONS.values():
            self.assertLessEqual(set(option.keys), set(keys.KEYS), option.title)
            self.assertEqual(
                option.fate is not nova_options.Fate.KEPT, bool(option.keys), option.title)
            self.assertTrue(option.says.endswith('.'), option.title)

    def test_connections_of_profiles_are_the_ones_that_are_told(self):
        for name, profile in profiles.BUILT_IN.items():
            self.assertEqual('parallel_connections' in profile.values,
                             name in nova_options.CONNECTIONS.says, name)
        many = profiles.BUILT_IN['very_large'].values['parallel_connections']
        self.assertIn(f'very_large has {many},', nova_options.CONNECTIONS.says)

    def test_what_is_taken_is_in_range(self):
        key = keys.KEYS['bandwidth_mib_s']
        for rate in (nova_values.GENTLE_MIB_S, nova_values.FASTEST_MIB_S):
            self.assertEqual(rate, key.parse(rate))
        self.assertGreaterEqual(nova_values.GENTLE_MIB_S * 2 ** 20 * 8, 250_000_000)


class TestPage(testtools.TestCase):

    def test_committed_page_is_the_generated_one(self):
        page = (ROOT / 'doc/source/nova_options.rst').read_text(encoding='utf-8')
        self.assertEqual(
            '\n'.join(nova_reference.page()), page,
            'run python -m nova_migpolicy.policy.nova_reference > doc/source/nova_options.rst')

    def test_all_is_on_it(self):
        page = '\n'.join(nova_reference.page())
        for option in nova_options.OPTIONS.values():
            self.assertEqual(1, page.count(f'* - ``[{option.group}]`` ``{option.name}``'),
                             option.title)
