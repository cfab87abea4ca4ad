# SPDX-License-Identifier: Apache-2.0
"""What is typed wrongly is answered with a sentence that names field, value and reason."""

from __future__ import annotations

import io

import ddt
import fixtures

from nova_migpolicy.cmd import main
from nova_migpolicy.cmd.simulate import patterns
from tests.unit.cmd import base

MEMORY = ('--memory-mib', '1024')


@ddt.ddt
class ArgumentsTest(base.CommandTest):

    @ddt.data(
        (('--memory-mib', '-5'), "--memory-mib '-5': below the minimum of 1 MiB"),
        (('--memory-mib', '1e3'), "--memory-mib '1e3': not a whole number"),
        (('--memory-mib', '9' * 30), 'not a whole number'),
        (('--memory-mib', '99999999999'), 'above the maximum of 67,108,864 MiB'),
        ((*MEMORY, '--link-mib-s', '0'), "--link-mib-s '0': below the minimum of 1 MiB/s"),
        ((*MEMORY, '--link-mib-s', 'nan'), "--link-mib-s 'nan': not a finite number"),
        ((*MEMORY, '--link-mib-s', '1e999'), 'not a finite number'),
        ((*MEMORY, '--jitter', '51'), "--jitter '51': above the maximum of 50 percent"),
        ((*MEMORY, '--seed', '1.5'), "--seed '1.5': not a whole number"),
        ((*MEMORY, '--writable-set-mib', '2048', '--dirty-mib-s', '1'),
         '--writable-set-mib 2048: larger than the memory of the server, 1024 MiB'),
        ((*MEMORY, '--writable-set-mib', '20'), '--dirty-mib-s is missing'),
        ((*MEMORY, '--pattern', 'idle', '--dirty-mib-s', '1'),
         '--dirty-mib-s 1: pattern idle does not use it'),
        ((*MEMORY, '--pattern', 'sweep', '--writable-set-mib', '9', '--dirty-mib-s', '1',
          '--skew', '1'), '--skew 1: pattern sweep does not use it; zipf does'),
        ((*MEMORY, '--hot-mib', '9', '--writable-set-mib', '9', '--dirty-mib-s', '1'),
         '--hot-mib 9: not smaller than the set that it is a part of, 9 MiB'),
        ((*MEMORY, '--phase', '3:4'), "--phase '3:4': write it as SECONDS:MIB_S:SET_MIB"),
        ((*MEMORY, '--phase', ''), '--phase'),
        ((*MEMORY, '--phase', '1:2:3:4:5:6'), 'write it as'),
        ((*MEMORY, '--phase', '1:x:3'), "'x': not a number"),
        ((*MEMORY, '--phase', '1:2:3', '--phase', '1:2:3000'), '--phase 3000: larger than'),
        ((*MEMORY, '--phase', '1:2:3', '--pattern', 'idle'), 'it does not use --phase'),
        ((*MEMORY, '--pattern', 'phases'), '--phase is missing'),
        ((*MEMORY, '--untouched-mib', '1000', '--writable-set-mib', '100', '--dirty-mib-s', '1'),
         '--untouched-mib 1000: with the 100 MiB'),
        ((*MEMORY, '--pattern', 'wild'), "invalid choice: 'wild'"),
        ((*MEMORY, '--profile', 'nope'), "--profile 'nope': there is no such profile; there are "),
        ((*MEMORY, '--profiles-file', '/nowhere'), 'profiles file /nowhere: No such file'),
        ((*MEMORY, '--set', 'word'), "--set 'word': write it as KEY=VALUE"),
        ((*MEMORY, '--set', 'a=1', '--set', 'a=2'), 'a is given twice'),
        ((*MEMORY, '--set', 'profile=nova'), 'use --profile'),
        ((*MEMORY, '--set', 'max_downtime=3'), 'did you mean max_downtime_ms'),
        ((*MEMORY, '--set', 'max_downtime_ms=x'),
         "--set max_downtime_ms = 'x': not a whole number"),
        ((*MEMORY, '--set', 'bandwidth_mib_s=200', '--set', 'max_bandwidth_mib_s=100'),
         'bandwidth_mib_s = 200: above max_bandwidth_mib_s'),
        ((*MEMORY, '--plot', '/nowhere/a.png'), "--plot '/nowhere/a.png': "),
        ((*MEMORY, '--nonsense'), 'unrecognized arguments: --nonsense'),
        ((), '--memory-mib is missing'),
    )
    @ddt.unpack
    def test_refused(self, words, sentence):
        self.assertIn(sentence, self.refused(*words))

    def test_no_command(self):
        status, out, errors = self.run_it()
        self.assertEqual((2, ''), (status, out))
        self.assertIn('COMMAND', errors)

    def test_help(self):
        out = io.StringIO()
        with fixtures.MonkeyPatch('sys.stdout', out):
            error = self.assertRaises(SystemExit, main.main, ['simulate', '--help'])
        self.assertEqual(0, error.code)
        for option in patterns.OPTIONS:
            self.assertIn(option.flag, out.getvalue())
        self.assertTrue(all(len(line) <= 100 for line in out.getvalue().splitlines()))

    def test_extremes_are_survived(self):
        most = ('--memory-mib', 64 << 20, '--link-mib-s', 1)
        self.simulate(*most)
        self.simulate(*most, '--disk-mib', 1 << 30, '--writable-set-mib', 64 << 20,
                      '--dirty-mib-s', 1_000_000, '--set', 'on_stall=continue')
        self.simulate('--memory-mib', 1, '--link-mib-s', 1_000_000)
        for skew in (0, 0.999999, 5):
            self.simulate('--memory-mib', 1, '--writable-set-mib', 1, '--dirty-mib-s', 1,
                          '--skew', skew)
        self.simulate(*base.SERVER, '--on-seconds', 0.1, '--off-seconds', 0.1)

    def test_the_pattern_is_meant_by_its_options(self):
        for words, pattern in ((('--hot-mib', 9), 'hot_cold'), (('--skew', 1), 'zipf'),
                               (('--off-seconds', 9), 'bursts'),
                               (('--to-mib-s', 9, '--seconds', 9), 'ramp'), ((), 'uniform')):
            self.assertEqual(pattern, self.as_json(*base.SERVER, *words)['guest']['pattern'])
        self.assertEqual('phases', self.as_json(
            *MEMORY, '--phase', '60:400:512', '--phase', '60:0:512:uniform')['guest']['pattern'])
        self.assertEqual('idle', self.as_json(*MEMORY)['guest']['pattern'])
