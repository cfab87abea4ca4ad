# SPDX-License-Identifier: Apache-2.0
"""The words that leave the process: each has one place, and what is documented is all of them."""

from __future__ import annotations

import pathlib
import re

import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy import vocabulary

ROOT = pathlib.Path(__file__).parents[2]


class TestVocabulary(testtools.TestCase):

    def test_the_rules_are_documented(self):
        text = (ROOT / 'doc/source/admin.rst').read_text()
        table = text.partition('The rules are:')[2].partition('When a migration is stopped')[0]
        rows = dict(re.findall(r'\* - ``(\w+)``\n     - (.+)\n', table))
        self.assertEqual(dict(vocabulary.RULES), rows)

    def test_a_rule_for_each_remedy_that_is_taken_alone(self):
        self.assertEqual(set(), {remedies.AUTO_CONVERGE, remedies.POST_COPY, remedies.PAUSE}
                         - set(vocabulary.RULES))

    def test_novas_words(self):
        self.assertEqual({'completed', 'done', 'cancelled', 'error', 'failed'},
                         vocabulary.FINAL_STATUSES)
        self.assertEqual(('preparing', 'running', 'running (post-copy)', 'post-migrating'),
                         vocabulary.AT_WORK_STATUSES)
        self.assertEqual(('accepted', 'queued', *vocabulary.AT_WORK_STATUSES),
                         vocabulary.UNDER_WAY_STATUSES)

    def test_words_of_several_parts_are_written_once(self):
        found = {}
        for path in (ROOT / 'nova_migpolicy').rglob('*.py'):
            for word in ('waiting for a slot', 'running (post-copy)', 'bulk copy'):
                if re.search(rf"'{re.escape(word)}'", path.read_text()):
                    found.setdefault(word, []).append(path.name)
        self.assertEqual({'waiting for a slot': ['vocabulary.py'],
                          'running (post-copy)': ['vocabulary.py'],
                          'bulk copy': ['vocabulary.py']}, found)
