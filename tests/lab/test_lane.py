# SPDX-License-Identifier: Apache-2.0
"""A lane of tests that is stopped leaves nothing, nor does one that cannot stop by itself."""

from __future__ import annotations

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import fixtures

from lab import domain
from lab import machine
from tests.lab import base
from tests.lab import endless
from tests.lab import leftovers
from tests import telling
from tests.unit import tools    # the programs of tools can be imported then

import board
import lanes
import pool
import runs

PROGRAM = tools.TOOLS / 'lane.py'
TEST = 'tests.lab.endless.Endless.test_nothing'


class TestLane(base.RootTest):

    def start(self):
        """Start a lane with hosts up; its process, and the work folder."""
        told = self.work_folder().parent / 'told'
        lane = subprocess.Popen(
            [sys.executable, str(PROGRAM)], cwd=tools.TOOLS.parent, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, telling.TOLD: str(told)})
        self.addCleanup(lane.wait)
        self.addCleanup(lane.kill)
        lane.stdin.write(json.dumps([TEST]).encode() + b'\n')
        lane.stdin.close()
        work = pathlib.Path(domain.wait_until(
            lambda: told.exists() and told.read_text(), timeout=60, what='its hosts to be up'))
        self.assertEqual(['ctl', 'n1', 'n2'], machine.running(work))
        return lane, work

    def test_interrupted_it_leaves_nothing(self):
        lane, work = self.start()
        os.killpg(lane.pid, signal.SIGINT)
        self.assertNotEqual(0, lane.wait())
        self.assertEqual([], leftovers.footprint(work))

    def in_pool(self, name):
        """Run a class of tests in a lane of a pool; returns what was counted."""
        name = f'{endless.__name__}.{name}'
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.work = folder / 'work'
        self.useFixture(fixtures.EnvironmentVariable(endless.WORK, str(self.work)))
        self.useFixture(fixtures.MockPatchObject(pool, 'RECORD', folder / 'record'))
        self.useFixture(fixtures.MockPatchObject(sys, 'stdout', io.StringIO()))
        queue = lanes.Queue([lanes.Job(name, (f'{name}.test_nothing',))], 1)
        how = runs.How(board.Board(), time.monotonic() + 300)
        return pool.Pool('lanes', queue, how).run(1)

    def test_what_one_leaves_that_dies_is_swept_away(self):
        count = self.in_pool('Dies')
        self.assertEqual((0, 1), (count.passed, count.failed), count.failures)
        self.assertIn('ended with -9 before its end', count.failures[0])
        self.assertEqual([], leftovers.footprint(pathlib.Path(self.work.read_text())))

    def test_one_that_cannot_take_down_has_failed(self):
        count = self.in_pool('CannotGo')
        self.assertEqual((1, 1), (count.passed, count.failed), count.failures)
        self.assertIn('it stays up', count.failures[0])

    def test_what_a_killed_one_leaves_is_swept_away(self):
        lane, work = self.start()
        lane.kill()
        lane.wait()
        self.assertEqual(['ctl', 'n1', 'n2'], machine.running(work))
        subprocess.run([sys.executable, str(PROGRAM), '--sweep'], check=True)
        self.assertEqual([], leftovers.footprint(work))
