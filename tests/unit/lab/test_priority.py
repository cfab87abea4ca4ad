# SPDX-License-Identifier: Apache-2.0
"""Commands that get the processors first, where the kernel lets somebody weigh processes."""

import pathlib
import subprocess
import tempfile

import fixtures
import testtools

from lab import priority


class TestFirst(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.MockPatchObject(
            priority, '_WAYS', ((self.root / 'old', 'cpu.shares', 20_480),
                                (self.root / 'new', 'cpu.weight', 2000))))

    def said(self, *argv):
        return subprocess.run(priority.first(argv), capture_output=True, text=True, check=True)

    def test_where_nothing_can_be_weighed_it_runs_as_it_is(self):
        self.assertEqual(['echo', 'a b'], priority.first(['echo', 'a b']))

    def test_it_joins_a_group_with_more_weight(self):
        (self.root / 'new').mkdir()
        self.assertEqual('a b\n', self.said('echo', 'a b').stdout)
        group = self.root / 'new/migpolicy-lab'
        self.assertEqual('2000', (group / 'cpu.weight').read_text())
        self.assertRegex((group / 'cgroup.procs').read_text(), r'^[0-9]+\n$')

    def test_one_that_cannot_join_runs_all_the_same(self):
        (self.root / 'old').mkdir()
        words = priority.first(['echo', 'here'])
        words[words.index(str(self.root / 'old/migpolicy-lab/cgroup.procs'))] = (
            tempfile.gettempdir())
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        self.assertEqual('here\n', done.stdout)
