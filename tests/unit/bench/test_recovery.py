# SPDX-License-Identifier: Apache-2.0
"""The bench of recovery: its figures, the story of a seed, and what it says of one that fails."""

import argparse
import pathlib
from unittest import mock

import testtools

from bench import recovery
from lab import needs
from nova_migpolicy.recovery import plan
from nova_migpolicy.recovery import table


class TestRecovery(testtools.TestCase):

    def measure(self, *words):
        parser = argparse.ArgumentParser()
        recovery.arguments(parser)
        self.said = []
        return recovery.measure(pathlib.Path('unused'), parser.parse_args(words),
                                self.said.append)

    def test_figures(self):
        found = self.measure('--seeds', '30')
        self.assertEqual((60, []), (found['plays'], found['failed']))
        self.assertEqual(60, sum(found['ends'].values()))
        self.assertIn('seeds 0 to 29, safety and liveness: 60 plays',
                      recovery.lines(found)[0])

    def test_the_story_of_a_seed(self):
        found = self.measure('--seed', '3', '--mode', 'liveness')
        self.assertEqual([('liveness', 3, '')], [
            (one['mode'], one['seed'], one['broken']) for one in found['stories']])
        told = recovery.lines(found)
        self.assertIn('seed 3, liveness: all holds', told[0])
        self.assertTrue(any('all faults are over' in line for line in told))

    def test_a_seed_that_fails_is_told_and_replays(self):
        with mock.patch.dict(plan.PLAN, {table.Kind.FINISH: ()}):
            found = self.measure('--seeds', '5', '--seed', '1')
            self.assertTrue(found['failed'])
            first = found['failed'][0]
            words = ('--seed', str(first['seed']), '--mode', first['mode'])
            self.assertIn(f'python -m bench recovery {" ".join(words)}', self.said[0])
            again = self.measure(*words)['stories'][0]
        self.assertEqual(first['broken'], again['broken'])
        self.assertIn(f'VIOLATION: {first["broken"]}', again['lines'][-1])

    def test_no_seeds(self):
        self.assertRaises(needs.LabError, self.measure, '--seeds', '0')
