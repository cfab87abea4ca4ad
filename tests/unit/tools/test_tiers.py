# SPDX-License-Identifier: Apache-2.0
"""The whole program with tiers of its own: what it prints last, and its exit status."""

import os
import pathlib
import re
import subprocess
import sys
import textwrap

import fixtures
import testtools

import changed
from tests.unit import tools
import tiers

PROGRAM = """
import os
import sys
import threading

sys.path.append({tools!r})
import runs
import tiers
from tiers import Lanes, Tier
from runs import Run

Good, Bad = Run('good', ('true',)), Run('bad', ('sh', '-c', 'echo alas; exit 3'))
{more}
tiers.program()
"""


class TestTiers(testtools.TestCase):

    def test_what_is_changed_may_touch_each(self):
        # The tests of `eventlet` are those of `contract`.
        self.assertEqual([*changed.STATIC, *changed.TESTED], [
            tier.name for tier in tiers.TIERS if tier.name != 'eventlet'])


class TestProgram(testtools.TestCase):

    def run_it(self, more, *words, **env):
        """Run the program with some lines before it; returns its status and its output."""
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'program.py'
        path.write_text(PROGRAM.format(tools=str(tools.TOOLS), more=textwrap.dedent(more)))
        done = subprocess.run([sys.executable, str(path), *words], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                              env={**os.environ, 'CI': '', **env})
        self.addDetail('output', testtools.content.text_content(done.stdout))
        return done.returncode, done.stdout.splitlines()

    def tiers(self, *runs, more='', **env):
        text = f"tiers.TIERS = (Tier('first', '', ({''.join(f'{run}, ' for run in runs)}), 60),)"
        return self.run_it(f'{text}\n{textwrap.dedent(more)}', **env)

    def test_all_is_well(self):
        status, lines = self.tiers('Good', 'Good')
        self.assertEqual((0, '2 passed, 0 failed, 0 skipped'), (status, lines[-1]))

    def test_what_failed_is_named_with_its_reason(self):
        status, lines = self.tiers('Good', 'Bad')
        self.assertEqual((1, '1 passed, 1 failed, 0 skipped'), (status, lines[-1]))
        self.assertIn('FAILED first: bad: alas', lines)

    def test_a_tier_without_a_test_has_failed(self):
        status, lines = self.tiers("Run('none', tests='releasenotes')")
        self.assertEqual((1, '0 passed, 1 failed, 0 skipped'), (status, lines[-1]))
        self.assertIn('FAILED first: no test ran', lines)

    def skipped(self, ci):
        return self.run_it("""
            os.geteuid = lambda: 1000
            tiers.TIERS = (Tier('first', '', (Good,), 60),
                           Tier('second', '', (Good,), 60, root=True))
            """, CI=ci)

    def test_without_root_a_tier_is_skipped(self):
        status, lines = self.skipped('')
        self.assertEqual((0, '1 passed, 0 failed, 1 skipped'), (status, lines[-1]))

    def test_in_ci_none_may_be(self):
        status, lines = self.skipped('true')
        self.assertEqual((1, '1 passed, 1 failed, 0 skipped'), (status, lines[-1]))
        self.assertIn('FAILED second: needs root: run it as root (sudo)', lines)

    def test_a_fault_of_the_runner_is_a_failure_and_the_rest_goes_on(self):
        status, lines = self.tiers('Good', "Run('odd', ('no such program',))", 'Good')
        self.assertEqual((1, '2 passed, 1 failed, 0 skipped'), (status, lines[-1]))
        self.assertTrue(any(re.match('FAILED first: odd: FileNotFoundError', line)
                            for line in lines))

    def test_what_hangs_does_not_keep_the_summary(self):
        status, lines = self.tiers('Good', 'Bad', more="""
            runs.command = lambda run, how: threading.Event().wait()
            tiers.WHOLE_S = tiers.AFTER_S = 1
            """)
        self.assertEqual((1, '0 passed, 1 failed, 0 skipped'), (status, lines[-1]))
        self.assertIn('FAILED first: it has not come to an end', lines)

    def test_an_expression_that_is_none(self):
        status, lines = self.run_it('', '-k', 'test_(')
        self.assertEqual(2, status)
        self.assertIn('-k test_(: missing )', lines[-1])
