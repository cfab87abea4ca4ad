# SPDX-License-Identifier: Apache-2.0
"""Taking the stack down leaves nothing. By its name the last module: all others are over."""

from __future__ import annotations

import pathlib

from lab import machine
from lab import workdir
from tests.stack import base


class TestDown(base.StackTest):

    def test_nothing_is_left(self):
        work = base.work()
        server = self.boot()
        self.assertIn('nova-compute', _command_lines())
        base.SHARED.down()
        self.assertEqual([], machine.running(work))
        left = [line for line in _command_lines().splitlines()
                if str(work) in line or server in line]
        self.assertEqual([], left)
        self.assertNotIn(str(work), pathlib.Path('/proc/self/mounts').read_text())
        files = {path.name for path in work.iterdir()} if work.exists() else set()
        self.assertEqual(set(), files - {workdir.CACHE})


def _command_lines():
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            found.append(path.read_bytes().replace(b'\0', b' ').decode(errors='replace'))
        except OSError:
            continue
    return '\n'.join(found)
