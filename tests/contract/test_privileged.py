# SPDX-License-Identifier: Apache-2.0
"""A QEMU's connection is closed through the privsep daemon that Nova starts for itself."""

import contextlib
import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import textwrap
import uuid

import testtools

from nova_migpolicy.monitor import sockets

# What nova-compute does, with the daemon started without sudo, for there may be none.
PROGRAM = """
    import json
    import sys

    from oslo_config import cfg

    from nova_migpolicy.compute import privileged

    cfg.CONF([], project='nova', default_config_files=[], default_config_dirs=[])
    cfg.CONF.set_override('helper_command', sys.argv[1], group='nova_sys_admin')
    print(json.dumps([privileged.close_migration(uuid, ['127.0.0.1'])
                      for uuid in sys.argv[2:]]), flush=True)
    """
SENDER = ('import socket, sys; made = socket.create_connection(("127.0.0.1", int(sys.argv[1]))); '
          'made.setblocking(False); print(made.send(bytes(1 << 26)), flush=True); '
          'made.setblocking(True); made.sendall(bytes(1 << 26))')
NOBODY = 65534


class PrivilegedTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        if os.geteuid():
            self.skipTest('privileges take root')
        self.taken = []

    def listen(self):
        for port in sockets.PORTS[:-1]:
            with contextlib.suppress(OSError):
                return socket.create_server(('127.0.0.1', port))
        return socket.create_server(('127.0.0.1', sockets.PORTS[-1]))

    def qemu(self, listener, name):
        """Start a process of another user that looks like a QEMU whose migration hangs."""
        started = subprocess.Popen(
            ['qemu-like', '-c', SENDER, str(listener.getsockname()[1]), '-uuid', name],
            executable=os.path.realpath(sys.executable), user=NOBODY, group=NOBODY, cwd='/',
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(started.stdout.close)
        self.addCleanup(started.wait)
        self.addCleanup(started.kill)
        # Kept as it is: eventlet's socket ends with its last reference.
        self.taken.append(listener.accept()[0])
        started.stdout.readline()
        return started

    def test_of_one_domain_and_no_other(self):
        listener = self.listen()
        self.addCleanup(listener.close)
        # Other runs of this test may be under way, with QEMUs of their own.
        mine, others, nobodys = (str(uuid.uuid4()) for _ in range(3))
        one, two = self.qemu(listener, mine), self.qemu(listener, others)
        helper = shlex.join([sys.executable, str(pathlib.Path(sys.prefix, 'bin/privsep-helper'))])
        done = subprocess.run(
            [sys.executable, '-c', textwrap.dedent(PROGRAM), helper, mine, nobodys],
            capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(0, done.returncode, done.stderr)
        [[closed, trouble], [none, said]] = json.loads(done.stdout)
        self.assertEqual((1, '', []), (len(closed), trouble, none), (closed, done.stderr))
        self.assertIn(f'to 127.0.0.1:{listener.getsockname()[1]}', closed[0])
        self.assertIn(f'no QEMU processes with -uuid {nobodys}', said)
        self.assertNotEqual(0, one.wait(30))
        self.assertIsNone(two.poll())
