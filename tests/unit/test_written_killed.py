# SPDX-License-Identifier: Apache-2.0
"""A process that writes records is killed with SIGKILL, again and again: they stay whole."""

from __future__ import annotations

import contextlib
import pathlib
import random
import subprocess
import sys

import fixtures
import testtools

from nova_migpolicy import written
from tests.unit.recovery import cases

ROOT = pathlib.Path(__file__).parents[2]
TIMES = 50
#: keeps and changes one record, and keeps and drops another, and says how far it has come
PROGRAM = """
import dataclasses, itertools, pathlib, sys
from nova_migpolicy import written
from nova_migpolicy.recovery import record
records = written.Records(pathlib.Path(sys.argv[1]))
one, other = (record.Record.from_bytes(given.encode()) for given in sys.argv[3:])
for number in itertools.count(int(sys.argv[2])):
    if number % 3:
        records.change(one.migration, tries=number)
    else:
        records.keep(dataclasses.replace(
            one, tries=number, migrate_data={'x': ['x' * 4000] * (number % 7)}))
    print(number, flush=True)
    if number % 2:
        records.keep(dataclasses.replace(other, tries=number))
    else:
        records.drop(other.migration)
"""


class KilledTest(testtools.TestCase):

    def killed(self, folder, first, after_s):
        """Let it write from this number on, and kill it; return the last number that it said."""
        documents = [one.to_bytes().decode() for one in (
            cases.a_record(), cases.a_record(migration=cases.OTHER))]
        # Without a buffer here, in which `communicate` would not look.
        with subprocess.Popen(
                [sys.executable, '-c', PROGRAM, str(folder), str(first), *documents], cwd=ROOT,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as child:
            said = child.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.fail(f'it ended by itself: {child.wait(after_s)}')
            child.kill()
            rest, errors = child.communicate()
        self.assertEqual(b'', errors)
        return int((said + rest).split(b'\n')[-2])

    def test_what_was_kept_is_whole_and_there(self):
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'recovery'
        log = self.useFixture(fixtures.FakeLogger('nova_migpolicy.written'))
        draw = random.Random(13)
        last, leftovers, other = 0, 0, None
        for _ in range(TIMES):
            first = (last // 6 + 1) * 6
            last = self.killed(folder, first, draw.uniform(0, 0.03))
            records = written.Records(folder)
            found = {one.migration: one for one in records.look()[0]}
            self.assertIn(found[cases.MIGRATION].tries, (last, last + 1))
            if cases.OTHER in found:
                self.assertEqual(cases.a_record(
                    migration=cases.OTHER, tries=found[cases.OTHER].tries), found[cases.OTHER])
                # It may have been killed before it has dropped what the one before it has left.
                self.assertIn(found[cases.OTHER].tries, (
                    last - 1, last, *([other] if last == first else [])))
            other = found[cases.OTHER].tries if cases.OTHER in found else None
            leftovers += any(path.suffix == '.new' for path in folder.iterdir())
            if draw.random() < 0.5:     # else the next process finds what is left
                self.assertEqual(len(found), len(records.all()))
        self.assertGreater(leftovers, 0)
        self.assertEqual('', log.output)
