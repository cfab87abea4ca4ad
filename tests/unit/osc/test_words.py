# SPDX-License-Identifier: Apache-2.0
"""Figures and sentences for people, from whatever came over HTTP."""

from __future__ import annotations

import time
from unittest import mock

from hypothesis import given
from hypothesis import strategies
import testtools

from nova_migpolicy.osc import words
from tests.unit.osc import cases


class WordsTest(testtools.TestCase):

    def test_numbers(self):
        self.assertEqual([1, 2.5], [words.number(1), words.number(2.5)])
        for bad in (None, True, '1', float('nan'), float('inf'), [1], {}):
            self.assertIsNone(words.number(bad))

    def test_figures_have_as_many_digits_as_anybody_needs(self):
        self.assertEqual(['0', '0.4', '9.5', '12', '340 ms', ''],
                         [words.figure(0), words.figure(0.42), words.figure(9.49),
                          words.figure(12.2), words.figure(340.4, 'ms'), words.figure('x')])

    def test_spans(self):
        self.assertEqual(['12-30 s', '2.5 s', '12 s', '30 s', ''],
                         [words.span(12, 30), words.span(2.5, 2.52), words.span(12, None),
                          words.span(None, 30), words.span(None, 'soon')])

    def test_bytes(self):
        self.assertEqual([1.5, None], [words.mib(1572864), words.mib('many')])

    def test_a_tenants_name_cannot_steer_the_terminal(self):
        self.assertEqual('[31mdb 1 [2J', words.text('\x1b[31mdb\n1\x1b[2J'))
        self.assertEqual('a, b=c', words.text(['a', {'b': 'c'}]))

    def test_times(self):
        with mock.patch.dict('os.environ', {'TZ': 'UTC'}):
            time.tzset()
            self.addCleanup(time.tzset)
            self.assertEqual('15:44:32', words.clock('2026-11-20T15:44:32.906+00:00'))
            self.assertEqual('15:44:32', words.clock('2026-11-20T15:44:32Z'))
        self.assertRegex(words.clock('yesterday'), r'^\d\d:\d\d:\d\d$')

    @given(cases.ANYTHING)
    def test_anything_can_be_printed(self, value):
        for shown in (words.text(value), words.figure(value), words.span(value, value),
                      words.clock(value), words.Sentence(value, 60).human_readable()):
            self.assertTrue(all(one.isprintable() or one == '\n' for one in shown), shown)

    @given(strategies.text(alphabet='ab -,', max_size=300), strategies.integers(0, 200))
    def test_a_column_keeps_to_its_room(self, value, taken):
        with mock.patch.object(words, 'table_width', return_value=100):
            lines = words.Sentence(value, taken).human_readable().splitlines()
        self.assertTrue(all(len(line) <= max(12, 100 - taken) for line in lines))

    def test_a_column_is_whole_for_programs(self):
        self.assertEqual('long ' * 40 + 'x', words.Sentence('long ' * 40 + 'x', 60)
                         .machine_readable())
        self.assertEqual(['a', 'b'], words.Plain(('a', 'b')).machine_readable())
        self.assertIsNone(words.Sentence(None, 60).machine_readable())
