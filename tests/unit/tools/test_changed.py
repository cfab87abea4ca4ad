# SPDX-License-Identifier: Apache-2.0
"""Which tests a change touches."""

import pathlib
import shutil
import subprocess

import fixtures
import testtools

import changed
from tests.unit import tools

ROOT = tools.TOOLS.parent
FILES = {
    'nova_migpolicy/__init__.py': '',
    'nova_migpolicy/engine/__init__.py': '',
    'nova_migpolicy/engine/sample.py': '',
    'nova_migpolicy/engine/forecast.py': 'from nova_migpolicy.engine import sample\n',
    'nova_migpolicy/osc/watch.py': 'from . import words\n',
    'nova_migpolicy/osc/words.py': '',
    'lab/guests.py': 'SOURCE = "guest.S"\n',
    'lab/demo/__main__.py': '',
    'tests/unit/engine/test_sample.py': 'from nova_migpolicy.engine import sample\n',
    'tests/unit/engine/test_forecast.py': 'import nova_migpolicy.engine.forecast as it\n',
    'tests/unit/osc/test_watch.py': 'def test():\n    from nova_migpolicy.osc import watch\n',
    'tests/unit/test_purity.py': '',
    'tests/lab/base.py': 'from lab import guests\n',
    'tests/lab/test_guests.py': 'from tests.lab import base\n',
    'tests/lab/test_pure.py': '"""Not about guest.S at all."""\n',
    'tests/simulation/replay.py': '',
    'tests/simulation/test_traces.py': 'from tests.simulation import replay\n',
    'tests/stack/test_34_cli.py': '',
    'tests/stack/test_34_faults.py': '',
    'tests/stack/test_demo.py': 'ARGV = ["-m", "lab.demo"]\n',
    'tests/stack/test_other.py': 'PROGRAM = "support/other_version.py"\n',
    'tests/stack/support/other_version.py': '',
    'tests/stack/test_wheel.py': '',
    'tools/lanes.py': '',
    'tools/pool.py': 'import lanes\n',
    'tests/unit/tools/test_pool.py': 'import pool\n',
}


class TestChoose(testtools.TestCase):

    def choose(self, *files, without=()):
        tree = changed.Tree(changed.module(path, text) for path, text in FILES.items()
                            if path not in without)
        return {tier: choice.modules and {name.split('.', 2)[-1] for name in choice.modules}
                for tier, choice in changed.choose(files, tree).items()}

    def test_who_imports_it_however_far(self):
        found = self.choose('nova_migpolicy/engine/sample.py')
        self.assertEqual({'engine.test_sample', 'engine.test_forecast', 'test_purity'},
                         found['unit'])
        found = self.choose('nova_migpolicy/engine/forecast.py')
        self.assertEqual({'engine.test_forecast', 'test_purity'}, found['unit'])

    def test_who_imports_it_by_a_relative_name_or_in_a_function(self):
        self.assertEqual({'osc.test_watch'}, self.choose('nova_migpolicy/osc/words.py')['unit'])

    def test_a_package_that_is_imported_on_the_way(self):
        self.assertEqual({'engine.test_sample', 'engine.test_forecast', 'test_purity'},
                         self.choose('nova_migpolicy/engine/__init__.py')['unit'])

    def test_what_runs_in_nova_touches_the_stack(self):
        found = self.choose('nova_migpolicy/engine/sample.py')
        self.assertEqual({'test_34_cli', 'test_34_faults', 'test_demo', 'test_other',
                          'test_wheel'}, found['stack'])

    def test_the_commands_touch_their_part_of_the_stack(self):
        self.assertEqual({'test_34_cli', 'test_demo', 'test_wheel'},
                         self.choose('nova_migpolicy/osc/watch.py')['stack'])

    def test_a_program_that_a_test_starts(self):
        self.assertEqual({'test_other'},
                         self.choose('tests/stack/support/other_version.py')['stack'])
        self.assertEqual({'test_demo'}, self.choose('lab/demo/__main__.py')['stack'])

    def test_data_that_a_module_names_but_not_in_its_text(self):
        self.assertEqual({'lab': {'test_guests'}}, self.choose('lab/guest.S'))

    def test_data_that_nobody_names_belongs_to_the_folder_above(self):
        self.assertEqual({'simulation': {'test_traces'}},
                         self.choose('tests/simulation/traces/one.json'))

    def test_a_test_that_is_changed_itself(self):
        found = self.choose('tests/lab/test_pure.py')
        self.assertEqual({'style': None, 'types': None, 'lab': {'test_pure'}}, found)

    def test_a_file_that_is_gone(self):
        gone = 'nova_migpolicy/engine/sample.py'
        self.assertEqual({'engine.test_sample', 'engine.test_forecast', 'test_purity'},
                         self.choose(gone, without=(gone,))['unit'])

    def test_the_tools_see_each_other_by_their_own_names(self):
        self.assertEqual({'tools.test_pool'}, self.choose('tools/lanes.py')['unit'])

    def test_the_environment_touches_everything(self):
        self.assertEqual(dict.fromkeys((*changed.STATIC, *changed.TESTED)),
                         self.choose('requirements/constraints.txt'))

    def test_what_stestr_is_told_touches_everything(self):
        self.assertEqual(dict.fromkeys((*changed.STATIC, *changed.TESTED)),
                         self.choose('.stestr.conf'))

    def test_words_for_readers_touch_no_test(self):
        self.assertEqual({}, self.choose('LICENSE', 'README.rst'))
        self.assertEqual({'docs': None}, self.choose('doc/source/admin.rst'))
        self.assertEqual({'style': None}, self.choose('releasenotes/notes/one.yaml'))

    def test_it_says_why(self):
        tree = changed.Tree(changed.module(path, text) for path, text in FILES.items())
        found = changed.choose(['lab/guest.S'], tree)
        self.assertEqual('test_guests, because of lab/guest.S', str(found['lab']))


class TestThisTree(testtools.TestCase):
    """The tables fit the checkout."""

    def setUp(self):
        super().setUp()
        self.tree = changed.Tree.read(ROOT)

    def test_patterns_match_something(self):
        paths = [module.path for module in self.tree.modules.values()]
        for table in (changed.STACK, changed.NARROW, changed.READ, changed.RUNNER):
            for pattern, modules in table.items():
                self.assertTrue(changed.matching(paths, [pattern]), pattern)
                for module in modules:
                    self.assertTrue(changed.matching(self.tree.modules, [module]), module)

    def test_each_file_of_the_product_touches_a_test(self):
        for module in self.tree.modules.values():
            if module.path.startswith('nova_migpolicy/') and '.' in module.name:
                found = changed.choose([module.path], self.tree)
                self.assertTrue(found.keys() & set(changed.TESTED), module.path)

    def test_each_tool_of_the_tests_touches_some(self):
        for name in ('tiers', 'runs', 'lane', 'lanes', 'pool', 'board', 'changed'):
            found = changed.choose([f'tools/{name}.py'], self.tree)
            self.assertIn('unit', found, name)

    def test_what_runs_the_lanes_touches_each_tier_that_has_some(self):
        for name in ('tiers', 'runs', 'lane', 'lanes', 'pool'):
            found = changed.choose([f'tools/{name}.py'], self.tree)
            self.assertLessEqual({'lab', 'stack'}, found.keys(), name)

    def test_a_change_of_the_engine(self):
        found = changed.choose(['nova_migpolicy/engine/estimation/forecast.py'], self.tree)
        self.assertLessEqual({'unit', 'property', 'contract', 'lab', 'stack'}, found.keys())
        self.assertIn('tests.unit.engine.estimation.test_forecast', found['unit'].modules)
        self.assertNotIn('tests.unit.osc.test_words', found['unit'].modules)


class TestFiles(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'a folder'
        self.root.mkdir()
        self.trusted = f'safe.directory={self.root.resolve()}'
        self.git('init', '-q')
        for name in ('kept', 'edited', 'moved', 'removed'):
            (self.root / name).write_text(name * 20)
        (self.root / '.gitignore').write_text('ignored\n')
        self.git('add', '.')
        self.git('commit', '-qm', 'first')

    def git(self, *words):
        subprocess.run(['git', '-c', 'user.name=a', '-c', 'user.email=a@b', '-c', self.trusted,
                        *words], cwd=self.root, check=True)

    def test_a_checkout_of_another_user(self):
        self.useFixture(fixtures.EnvironmentVariable('GIT_TEST_ASSUME_DIFFERENT_OWNER', '1'))
        self.assertEqual([], changed.files(self.root, 'HEAD'))
        (self.root / 'new.py').write_text('')
        self.assertEqual({'new'}, changed.Tree.read(self.root).modules.keys())

    def test_a_release_has_no_history(self):
        shutil.rmtree(self.root / '.git')
        for path in ('lab/one.py', '.venv/lib/other.py'):
            (self.root / path).parent.mkdir(parents=True)
            (self.root / path).write_text('')
        self.assertEqual({'lab.one'}, changed.Tree.read(self.root).modules.keys())
        error = self.assertRaises(changed.GitError, changed.files, self.root, 'HEAD')
        self.assertIn('git', str(error))

    def test_what_differs(self):
        (self.root / 'edited').write_text('other')
        (self.root / 'removed').unlink()
        self.git('mv', 'moved', 'to "ä there')
        (self.root / 'new').write_text('')
        (self.root / 'ignored').write_text('')
        expected = ['edited', 'moved', 'new', 'removed', 'to "ä there']
        self.assertEqual(expected, changed.files(self.root, 'HEAD'))
        self.git('add', '.')
        self.git('commit', '-qm', 'second')
        self.assertEqual([], changed.files(self.root, 'HEAD'))
        self.assertEqual(expected, changed.files(self.root, 'HEAD~1'))

    def test_an_unknown_revision(self):
        error = self.assertRaises(changed.GitError, changed.files, self.root, 'nowhere')
        self.assertIn('nowhere', str(error))
