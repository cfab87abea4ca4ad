# SPDX-License-Identifier: Apache-2.0
"""The page in the docs is the one that the declarations make."""

import pathlib

import testtools

from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import reference

ROOT = pathlib.Path(__file__).parents[3]


class TestReference(testtools.TestCase):

    def test_committed_page_is_the_generated_one(self):
        page = (ROOT / 'doc/source/reference.rst').read_text(encoding='utf-8')
        self.assertEqual(
            '\n'.join(reference.page()) + '\n', page,
            'run python -m nova_migpolicy.policy.reference > doc/source/reference.rst')

    def test_all_is_on_it(self):
        lines = list(reference.page())
        for name in (*keys.KEYS, *profiles.BUILT_IN):
            self.assertIn(f'``{name}``', lines)
