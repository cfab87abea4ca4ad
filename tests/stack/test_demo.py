# SPDX-License-Identifier: Apache-2.0
"""The demo keeps what it promises, in an OpenStack of its own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import fixtures
import testtools

from lab import workdir
from tests.stack.support import base

PNG = b'\x89PNG'


class DemoTest(testtools.TestCase):

    seconds = 75

    def test_the_demo(self):
        if os.geteuid():
            self.skipTest('needs root')
        # Both would take twice the memory that a lane has.
        base.SHARED.down()
        out = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        done = subprocess.run(
            [sys.executable, '-m', 'lab.demo', '--out', str(out)], cwd=workdir.DEFAULT.parent,
            capture_output=True, text=True, check=False)
        self.addDetail('output', testtools.content.text_content(done.stdout + done.stderr))
        self.assertEqual(0, done.returncode)
        stock, policy = json.loads((out / 'demo.json').read_text())['migrations']
        self.assertEqual(('completed', 'n2', 'ACTIVE'),
                         (policy['status'], policy['host'], policy['server_status']))
        self.assertEqual(('n1', True), (stock['host'], stock['aborted']))
        done_by = {decided['rule']: decided['actions'] for decided in policy['decisions']}
        self.assertEqual([], done_by['operator'])
        self.assertIn('bandwidth', done_by['raise_bandwidth'][0])
        self.assertEqual([], stock['decisions'])
        self.assertTrue((out / 'demo.png').read_bytes().startswith(PNG))
        for word in ('still beats', 'blackout', 'nova live-migration-abort', 'migration watch',
                     'policy retune', 'raise_bandwidth'):
            self.assertIn(word, done.stdout)
