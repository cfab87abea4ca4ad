# SPDX-License-Identifier: Apache-2.0
"""The page of the tree is what the docstrings say."""

from __future__ import annotations

import testtools

from tests.unit import tools
import tree

ROOT = tools.TOOLS.parent


class TestTree(testtools.TestCase):

    def test_the_page_is_up_to_date(self):
        page = (ROOT / 'doc/source/contributor/tree.rst').read_text(encoding='utf-8')
        self.assertEqual(tree.page(), page, 'run python tools/tree.py > '
                         'doc/source/contributor/tree.rst')

    def test_every_module_has_its_line(self):
        count = sum(path.stem != '__init__' for path in tree.PACKAGE.rglob('*.py'))
        self.assertEqual(count, tree.page().count('   * - '))
