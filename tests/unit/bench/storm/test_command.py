# SPDX-License-Identifier: Apache-2.0
"""What is told of storms."""

from __future__ import annotations

import argparse
import pathlib

import testtools

from bench.storm import command
from lab import needs
from tests.unit.bench.storm import cases


class TestCommand(testtools.TestCase):

    def test_lines(self):
        found = {'storm': [cases.storm(cases.move(), cases.lost()).to_dict()],
                 'failed': {'stock-12': 'n1 does not answer'}, 'nova': '34', 'guests': 2,
                 'link_mib_s': 50.0, 'timeout_s': 300.0, 'ideal_s': 2.0, 'png': ''}
        told = command.lines(found)
        self.assertEqual('2 guests from n1 and n2 to n3 over 50 MiB/s, Nova 34; ideal 2.0 s',
                         told[0])
        self.assertEqual('ours-2          1 of 2', told[3][:22])
        self.assertEqual(len(told[2]), len(told[3]))
        self.assertIn('ours-2: max_incoming 2; not arrived: 1 error', told)
        self.assertIn('stock-12: FAILED: n1 does not answer', told)

    def arguments(self, *words):
        parser = argparse.ArgumentParser()
        command.arguments(parser)
        return parser.parse_args(words)

    def test_a_timeout_of_nothing(self):
        found = self.assertRaises(
            needs.LabError, command.measure, pathlib.Path('work'),
            self.arguments('--timeout', '0'), lambda line: None)
        self.assertIn('--timeout', str(found))

    def test_what_can_be_asked_for(self):
        args = self.arguments('--only', 'ours-1', 'stock-12', '--guests', '3')
        self.assertEqual((['ours-1', 'stock-12'], 3, 300.0),
                         (args.only, args.guests, args.timeout))
