# SPDX-License-Identifier: Apache-2.0
"""The command that plays faults: what it keeps, goes on from, and tells."""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

import testtools

from bench.faults import command
from bench.faults import judge
from bench.faults import plan
from bench.faults import play
from lab import needs


def result(number, driver='migpolicy', verdict=judge.Kind.AGREED, what='moved', seed=1):
    is_agreed = verdict is judge.Kind.AGREED
    return play.Result(
        driver=driver, plan=plan.plan(seed, number).to_dict(), verdict=verdict.value, what=what,
        agreed_s=number + 0.5 if is_agreed else None, seconds=30.0, in_phase=True,
        forced=() if is_agreed else ('deleting it',), notes=('1 s  killed',))


class TestCommand(testtools.TestCase):

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / 'faults.jsonl'

    def measure(self, *words):
        parser = argparse.ArgumentParser()
        command.arguments(parser)
        return command.measure(pathlib.Path('unused'), parser.parse_args(words), lambda line: None)

    def test_a_result_comes_back_from_its_line(self):
        for one in (result(3), result(4, verdict=judge.Kind.LOST_GUEST)):
            self.assertEqual(one, play.Result.from_dict(json.loads(json.dumps(one.to_dict()))))

    def test_each_result_is_kept_as_it_comes_and_not_played_again(self):
        kept = command.Kept(self.path)
        for one in (result(0), result(1, verdict=judge.Kind.TWO_COPIES), result(0, 'stock')):
            kept.add(one)
            self.assertEqual(one.to_dict(), json.loads(self.path.read_text().splitlines()[-1]))
        again = command.Kept(self.path)
        self.assertTrue(again.has('migpolicy', plan.plan(1, 1)))
        self.assertFalse(again.has('stock', plan.plan(1, 1)))
        self.assertFalse(again.has('migpolicy', plan.plan(2, 1)))
        self.assertEqual([result(0)], again.of('migpolicy', [plan.plan(1, 0)]))

    def test_all_of_them_in_the_file_need_no_stack(self):
        kept = command.Kept(self.path)
        for number in range(3):
            kept.add(result(number))
        found = self.measure('--n', '3', '--driver', 'migpolicy', '--resume', str(self.path))
        self.assertEqual([0, 1, 2], [one['plan']['number'] for one in found['faults']])

    def test_a_line_that_is_no_result_is_named(self):
        self.path.write_text(json.dumps(result(0).to_dict()) + '\n{"driver": "st')
        found = self.assertRaises(needs.LabError, command.Kept, self.path)
        self.assertIn('line 2: it is no result of a fault', str(found))
        self.assertIn('remove that line', str(found))

    def test_no_faults(self):
        found = self.assertRaises(needs.LabError, self.measure, '--n', '0')
        self.assertIn('--n: 0', str(found))

    def test_the_plans(self):
        told = command.lines(self.measure('--list', '--seed', '5', '--only', '8', '2'))
        self.assertEqual([f'{number:5}  {plan.plan(5, number).told()}' for number in (8, 2)],
                         told)

    def test_a_table_of_both_drivers_with_what_to_play_again(self):
        results = [result(0), result(1), result(0, 'stock', judge.Kind.TWO_COPIES, 'both run it'),
                   result(1, 'stock', judge.Kind.UNDECIDED, 'halves')]
        told = command.lines({'faults': [one.to_dict() for one in results], 'seed': 1,
                              'nova': '34', 'n': 2})
        self.assertIn('ours: 2 faults of seed 1 on Nova 34: 0 violations (2 agreed); '
                      'agreed after 1.5 s (median), 1.5 s (worst)', told)
        self.assertIn('stock: 2 faults of seed 1 on Nova 34: 1 violations '
                      '(1 undecided, 1 two copies)', told)
        one = plan.plan(1, 0)
        row, = (line.split() for line in told if line.startswith(f'{one.fault.value:34}'))
        self.assertEqual(['1', '0', '1', '1'], row[-4:])
        self.assertIn(f'stock, seed 1 number 0: {one.fault.value} in {one.phase.value}: '
                      'two copies: both run it', told)
