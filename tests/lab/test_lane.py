# SPDX-License-Identifier: Apache-2.0
"""A lane of tests that is stopped leaves nothing, nor does one that cannot stop by itself."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys

from lab import domain
from lab import machine
from tests.lab import base
from tests.lab import test_machine
from tests import telling

PROGRAM = test_machine.ROOT / 'tools/lane.py'
TEST = 'tests.lab.endless.Endless.test_nothing'


class TestLane(base.RootTest):

    def start(self):
        """Start a lane with hosts up; its process, and the work folder."""
        told = self.work_folder().parent / 'told'
        lane = subprocess.Popen(
            [sys.executable, str(PROGRAM)], cwd=test_machine.ROOT, stdin=subprocess.PIPE,
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
        self.assertEqual([], test_machine.footprint(work))

    def test_what_a_killed_one_leaves_is_swept_away(self):
        lane, work = self.start()
        lane.kill()
        lane.wait()
        self.assertEqual(['ctl', 'n1', 'n2'], machine.running(work))
        subprocess.run([sys.executable, str(PROGRAM), '--sweep'], check=True)
        self.assertEqual([], test_machine.footprint(work))
