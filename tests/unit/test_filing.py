# SPDX-License-Identifier: Apache-2.0
"""How the tests are filed: what they share, and how they are named."""

from __future__ import annotations

import ast
from collections.abc import Iterable
import pathlib

import testtools

TESTS = pathlib.Path(__file__).parents[1]
ROOT = TESTS.parent
UNIT = TESTS / 'unit'
#: rooms whose modules are not the product's: their folders
ELSEWHERE = {'bench': ROOT / 'bench', 'lab': ROOT / 'lab', 'tools': ROOT / 'tools',
             'stack': TESTS / 'stack/support'}
#: unit tests, or folders of them, that are of no one module; what they are of instead
OF_NO_MODULE = {
    'test_filing': 'these folders',
    'test_imports': 'the imports of all rooms',
    'test_purity': 'the imports of the pure rooms',
    'cmd/test_purity': 'the imports of the room',
    'osc/test_purity': 'the imports of the room',
    'engine/play': 'whole migrations on the model',
    'engine/test_recorded': 'whole migrations that were recorded',
    'tools/test_folders': 'tests/folders.py, by which several runs go on at the same time',
    'tools/test_pictures': 'doc/pictures.py, which draws the pictures of the pages',
}


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


def without_module(tests: Iterable[str], modules: Iterable[str]) -> set[str]:
    """Return the tests that are not named after a module.

    A module's tests are in a module `test_NAME`, or in several `test_NAME_ASPECT`, in a folder of
    the same name as the module's.

    :param tests: their paths below the folder of unit tests, without a suffix
    :param modules: likewise, below the folders of the rooms
    """
    known = set(modules)
    found = set()
    for test in tests:
        folder, _, name = test.rpartition('test_')
        words = name.split('_')
        if not any(f'{folder}{"_".join(words[:number])}' in known
                   for number in range(1, len(words) + 1)):
            found.add(test)
    return found


def paths(folder: pathlib.Path, pattern: str = '*.py') -> set[str]:
    """Return the modules and packages below a folder: their paths from there, without a suffix."""
    found = (path.relative_to(folder) for path in folder.rglob(pattern))
    return {(path.parent if path.stem == '__init__' else path.with_suffix('')).as_posix()
            for path in found}


class TestShared(testtools.TestCase):
    """What several modules of tests need is in a module without tests, such as cases."""

    def test_nobody_imports_a_module_of_tests(self):
        found = [*TESTS.rglob('*.py')]
        self.assertIn(pathlib.Path(__file__), found)
        self.assertEqual({}, {
            str(path.relative_to(TESTS)): names for path in found
            if (names := imported_tests(path.read_text()))})

    def test_the_stack_keeps_it_in_a_folder_of_its_own(self):
        self.assertEqual(['__init__'], [
            path.stem for path in (TESTS / 'stack').glob('*.py')
            if not path.stem.startswith('test_')])

    def test_the_check_itself(self):
        self.assertEqual(
            {'tests.lab.test_ends', 'tests.unit.test_conf', 'tests.unit.test_conf.TestConf',
             '..test_conf'},
            imported_tests('from tests.lab import base, test_ends as ends\n'
                           'import tests.unit.test_conf\nimport tests.lab.base\n'
                           'def late():\n    from tests.unit.test_conf import TestConf\n'
                           'from .. import test_conf\nfrom . import cases\n'
                           'from other import test_conf\n'))


class TestNames(testtools.TestCase):
    """A unit test is named after the module that it is of."""

    def setUp(self):
        super().setUp()
        modules = paths(ROOT / 'nova_migpolicy') | {
            f'{room}/{module}' for room, folder in ELSEWHERE.items() for module in paths(folder)}
        self.found = without_module(paths(UNIT, 'test_*.py'), modules)

    def test_each_has_its_module(self):
        self.assertEqual(set(), {
            test for test in self.found
            if not any(f'{test}/'.startswith(f'{one}/') for one in OF_NO_MODULE)})

    def test_what_has_none_is_needed_in_the_table(self):
        for one in OF_NO_MODULE:
            self.assertTrue(any(f'{test}/'.startswith(f'{one}/') for test in self.found), one)

    def test_the_check_itself(self):
        self.assertEqual(
            {'engine/test_lost', 'engine/test_settings', 'test_engine/test_limit'},
            without_module(
                ['engine/test_lost', 'engine/test_settings', 'engine/steering/test_retune',
                 'engine/steering/test_retune_policy', 'engine/test_steering', 'test_conf',
                 'test_engine/test_limit'],
                ['engine/steering/retune', 'engine/steering/settings', 'engine/steering', 'conf',
                 'engine/limit']))
