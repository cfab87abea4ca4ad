# SPDX-License-Identifier: Apache-2.0
"""Of all connections of a host, exactly those of one domain's migration are found, and closed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import testtools

from nova_migpolicy.monitor import sockets

# What ss -Htanp printed on a host of the lab, with more of the kind around it.
LISTED = """\
LISTEN    0 128          0.0.0.0:5900          0.0.0.0:* users:(("qemu-system-x86",pid=77,fd=12))
LISTEN    0 64                 *:49152               *:* users:(("qemu-system-x86",pid=88,fd=9))
ESTAB     0 2345760  10.77.0.11:40000   10.77.0.12:49152 users:(("qemu-system-x86",pid=77,fd=30))
ESTAB     0 512      10.77.0.11:40002   10.77.0.12:49153 users:(("qemu-system-x86",pid=77,fd=31),\
("libvirtd",pid=5,fd=22))
ESTAB     0 0        10.77.0.11:40004   10.77.0.12:49154 users:(("qemu-system-x86",pid=77,fd=32))
ESTAB     0 99       10.77.0.11:40006   10.77.0.12:49155 users:(("qemu-system-x86",pid=88,fd=30))
ESTAB     0 99       10.77.0.11:40008   10.77.0.12:3260  users:(("qemu-system-x86",pid=77,fd=33))
ESTAB     0 99       10.77.0.11:40010   10.77.0.13:49152 users:(("qemu-system-x86",pid=77,fd=34))
ESTAB     0 99       10.77.0.11:5900    10.77.0.12:49160 users:(("qemu-system-x86",pid=77,fd=35))
ESTAB     0 99       10.77.0.11:40012   10.77.0.12:49156 users:(("qemu-system-x86",pid=777,fd=3))
FIN-WAIT-1 0 99      10.77.0.11:40014   10.77.0.12:49157
ESTAB     0 7 [::ffff:10.77.0.11]:40016 [::ffff:10.77.0.12]:49215 users:(("kvm",pid=77,fd=36))
ESTAB     0 8        10.77.0.11:40018   10.77.0.12:49216 users:(("qemu-system-x86",pid=77,fd=37))
ESTAB     0 9    [fd00::b%eth0]:40020       [fd00::c]:49158 users:(("kvm",pid=77,fd=38))
"""


class StuckTest(testtools.TestCase):

    def ports(self, pid, *addresses):
        return [one.local_port for one in sockets.stuck(
            list(sockets.parsed(LISTED)), pid, addresses)]

    def test_of_this_process_to_this_host_with_data_that_was_not_sent(self):
        self.assertEqual(['40000', '40002', '40016'], self.ports(77, '10.77.0.12'))
        self.assertEqual(['40010'], self.ports(77, '10.77.0.13'))
        self.assertEqual(['40006'], self.ports(88, '10.77.0.12'))
        self.assertEqual(['40000', '40002', '40016', '40020'],
                         self.ports(77, '10.77.0.12', 'fd00::c'))
        self.assertEqual([], self.ports(5555, '10.77.0.12'))
        self.assertEqual([], self.ports(77))


class QemuTest(testtools.TestCase):

    def proc(self, **lines):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for pid, words in lines.items():
            entry = pathlib.Path(folder.name, pid.strip('_'))
            entry.mkdir()
            (entry / 'cmdline').write_bytes(b'\0'.join(word.encode() for word in words) + b'\0')
        pathlib.Path(folder.name, 'self').mkdir()
        pathlib.Path(folder.name, '9').mkdir()
        return pathlib.Path(folder.name)

    def test_by_its_uuid_alone(self):
        proc = self.proc(
            _1=('init',), _2=('qemu-system-x86_64', '-name', 'a', '-uuid', 'one'),
            _3=('/usr/libexec/qemu-kvm', '-uuid', 'two', '-S'), _4=('grep', '-uuid', 'one'),
            _5=('qemu-img', '-uuid'), _6=('qemu-system-x86_64', '-name', 'one', '-uuid', 'three'))
        self.assertEqual((2, 3), (sockets.qemu_of('one', proc), sockets.qemu_of('two', proc)))

    def test_none_and_several(self):
        proc = self.proc(_2=('qemu', '-uuid', 'one'), _3=('qemu', '-uuid', 'one'))
        for uuid, said in (('one', '2 QEMU'), ('two', 'no QEMU')):
            error = self.assertRaises(sockets.Unclosable, sockets.qemu_of, uuid, proc)
            self.assertIn(said, str(error))


class CloseTest(testtools.TestCase):
    """With real sockets of this machine's loopback, and the kernel's own way to close them."""

    def hold(self, listener, uuid):
        """Start a process that looks like a QEMU, and sends more than the other end reads."""
        code = ('import socket, sys; end = "127.0.0.1", int(sys.argv[1]); '
                'socket.create_connection(end).sendall(bytes(1 << 26))')
        held = subprocess.Popen(
            ['qemu-like', '-c', code, str(listener.getsockname()[1]), '-uuid', uuid],
            executable=sys.executable, stderr=subprocess.DEVNULL)
        self.addCleanup(held.wait)
        self.addCleanup(held.kill)
        taken = listener.accept()[0]
        self.addCleanup(taken.close)
        return held

    def listener(self):
        """Listen on the first port of the range that is free."""
        for port in sockets.PORTS[:-1]:
            with contextlib.suppress(OSError):
                return socket.create_server(('127.0.0.1', port))
        return socket.create_server(('127.0.0.1', sockets.PORTS[-1]))

    def test_one_process_and_not_its_neighbour(self):
        if os.geteuid():
            self.skipTest('it takes root')
        listener = self.listener()
        self.addCleanup(listener.close)
        one, two = self.hold(listener, 'one'), self.hold(listener, 'two')
        closed = []
        while not closed:
            # Until it has filled its buffers.
            closed = sockets.close('one', ['127.0.0.1'])
        self.assertEqual(1, len(closed))
        self.assertIn(f'to 127.0.0.1:{listener.getsockname()[1]}', closed[0])
        self.assertNotEqual(0, one.wait(30))
        self.assertIsNone(two.poll())
