# SPDX-License-Identifier: Apache-2.0
"""Taking the stack down leaves nothing."""

from __future__ import annotations

import pathlib

from lab import machine
from lab.openstack import services
from lab import workdir
from tests.stack.support import base


class TestDown(base.StackTest):

    # It takes down what others would go on with.
    last = True
    ports = True

    def test_nothing_is_left(self):
        work = base.work()
        server = self.boot(port=True)
        machines = [self.stack.hosts.ctl, *(
            self.stack.hosts[name].machine for name in self.stack.hosts.names)]
        inside = {pid for node in machines for pid in node.processes()}
        self.assertTrue(services.find(self.stack.hosts['n1'].machine, 'nova-compute'))
        self.assertTrue(services.find(self.stack.hosts['n1'].machine, 'ovs-vswitchd'))
        self.assertTrue([line for line in _command_lines(work, server) if server in line])
        base.SHARED.down()
        self.assertEqual([], machine.running(work))
        self.assertEqual([], _command_lines(work, server))
        self.assertEqual(set(), {pid for pid in inside if pathlib.Path(f'/proc/{pid}').exists()})
        mounts = pathlib.Path('/proc/self/mounts').read_text().replace(r'\040', ' ')
        self.assertNotIn(str(work), mounts)
        files = {path.name for path in work.iterdir()} if work.exists() else set()
        self.assertEqual(set(), files - {workdir.CACHE})


def _command_lines(work, server):
    """Return the command lines in which a work folder or a server is named."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            line = path.read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if f'{work}/' in line or server in line:
            found.append(line)
    return found
