# SPDX-License-Identifier: Apache-2.0
"""What is made of the CPU times that were measured, and the clock that they are read from."""

from __future__ import annotations

import argparse
import os
import time

import testtools

from bench.monitor_cost import command
from bench.monitor_cost import crowd
from bench.monitor_cost import watcher_process

ALONE = {'seconds': 10.0, 'server': 0.02}
OURS = {'seconds': 10.0, 'client': 0.06, 'server': 0.04, 'looks': 12}
POLL = {'seconds': 10.0, 'client': 0.16, 'server': 0.10, 'looks': 40}


class TestFigures(testtools.TestCase):

    def test_a_row_is_of_one_migration_and_second(self):
        row = command.row(OURS, ALONE, 2)
        self.assertAlmostEqual(3.0, row['client'])
        self.assertAlmostEqual(1.0, row['server'])
        self.assertAlmostEqual(4.0, row['sum'])
        self.assertAlmostEqual(0.6, row['looks_a_second'])

    def test_windows_of_different_lengths(self):
        alone = {'seconds': 20.0, 'server': 0.04}
        self.assertAlmostEqual(1.0, command.row(OURS, alone, 2)['server'])

    def test_ratios(self):
        ours, poll = command.row(OURS, ALONE, 1), command.row(POLL, ALONE, 1)
        found = command.ratios(ours, poll)
        self.assertAlmostEqual(6 / 16, found['client'])
        self.assertAlmostEqual(2 / 8, found['server'])
        self.assertAlmostEqual(8 / 24, found['sum'])

    def test_the_table(self):
        ours, poll = command.row(OURS, ALONE, 2), command.row(POLL, ALONE, 2)
        *_, last = command.lines({'rows': [{
            'migrations': 2, 'passes_a_second': 0.08, 'ours': ours, 'poll': poll,
            'ratio': command.ratios(ours, poll)}]})
        self.assertEqual(
            ['2', '0.08', '3.000', '1.000', '4.000', '8.000', '4.000', '12.000',
             '0.38', '0.25', '0.33'], last.split())


class TestArguments(testtools.TestCase):

    def parse(self, *words):
        parser = argparse.ArgumentParser(exit_on_error=False)
        command.arguments(parser)
        return parser.parse_args(words)

    def test_numbers(self):
        self.assertEqual((1, 10, 100), self.parse().migrations)
        self.assertEqual((5, 7), self.parse('--migrations', '5,7').migrations)

    def test_no_numbers(self):
        for text in ('', '0', '3,-1', 'many'):
            self.assertRaises(argparse.ArgumentError, self.parse, '--migrations', text)


class TestClock(testtools.TestCase):

    def test_of_another_process_as_of_this_one(self):
        before = time.process_time()
        seen = watcher_process.cpu_s(os.getpid())
        self.assertTrue(before <= seen <= time.process_time())


class TestImage(testtools.TestCase):

    def test_it_boots(self):
        image = crowd.image()
        self.assertEqual(1 << 20, len(image))
        self.assertEqual(b'\x55\xaa', image[510:512])
        # Where interrupt 8 is sent.
        self.assertEqual(bytes.fromhex('b0 20 e6 20 cf'), image[0x40:0x45])
