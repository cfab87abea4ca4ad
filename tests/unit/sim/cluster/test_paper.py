# SPDX-License-Identifier: Apache-2.0
"""The record's bytes: whole, torn anywhere, or not there."""

import random

import testtools

from nova_migpolicy.recovery import evidence
from nova_migpolicy.sim.cluster import paper as paper_mod

Written = evidence.Written


class TestPaper(testtools.TestCase):

    def test_what_is_written_is_read(self):
        paper = paper_mod.Paper(random.Random(1))
        self.assertEqual(Written.LOST, paper.read())
        for written in set(Written) - {Written.LOST}:
            paper.write(written)
            self.assertEqual(written, paper.read())
        paper.forget()
        self.assertEqual(Written.LOST, paper.read())

    def test_torn_it_says_nothing(self):
        for seed in range(200):
            paper = paper_mod.Paper(random.Random(seed))
            self.assertFalse(paper.tear())
            paper.write(Written.COPYING)
            self.assertTrue(paper.tear())
            self.assertEqual(Written.LOST, paper.read())
            # It was set aside.
            self.assertFalse(paper.tear())
