# SPDX-License-Identifier: Apache-2.0
"""How the tests are filed."""

from __future__ import annotations

import ast
import pathlib

import testtools

TESTS = pathlib.Path(__file__).parents[1]


def imported_tests(source: str) -> set[str]:
    """Return the modules of tests that a module imports, or imports something from."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = '.' * node.level + (f'{node.module}.' if node.module else '')
            found |= {base + alias.name for alias in node.names}
    return {name for name in found if name.startswith(('tests.', '.'))
            and any(part.startswith('test_') for part in name.split('.'))}


class TestShared(testtools.TestCase):
    """What several modules of tests need is in a module without tests, such as cases."""

    def test_nobody_imports_a_module_of_tests(self):
        paths = [*TESTS.rglob('*.py')]
        self.assertIn(pathlib.Path(__file__), paths)
        self.assertEqual({}, {
            str(path.relative_to(TESTS)): names for path in paths
            if (names := imported_tests(path.read_text()))})

    def test_the_check_itself(self):
        self.assertEqual(
            {'tests.lab.test_ends', 'tests.unit.test_conf', 'tests.unit.test_conf.TestConf',
             '..test_conf'},
            imported_tests('from tests.lab import base, test_ends as ends\n'
                           'import tests.unit.test_conf\nimport tests.lab.base\n'
                           'def late():\n    from tests.unit.test_conf import TestConf\n'
                           'from .. import test_conf\nfrom . import cases\n'
                           'from other import test_conf\n'))
