# SPDX-License-Identifier: Apache-2.0
"""The link of a host can be slowed, cut and mended."""

from __future__ import annotations

import sys
import textwrap

from lab import domain
from lab import link
from lab import needs
from tests.lab import base


class TestLink(base.HostsTest):

    def throughput(self, mib):
        """Send so many MiB from n1 to n2 through the link; returns MiB/s."""
        script = textwrap.dedent("""
            import socket, sys, time
            s = socket.create_connection((sys.argv[1], 5001))
            block, n = bytes(1 << 20), int(sys.argv[2])
            began = time.monotonic()
            for _ in range(n):
                s.sendall(block)
            s.shutdown(socket.SHUT_WR)
            s.recv(1)
            print(n / (time.monotonic() - began))
            """)
        sink = textwrap.dedent("""
            import socket
            s = socket.create_server(('', 5001))
            open('/run/ready', 'w').close()
            c = s.accept()[0]
            while c.recv(1 << 20):
                pass
            """)
        there = self.lab['n2'].machine
        server = there.spawn([sys.executable, '-c', sink], self.lab.work / 'sink.log')
        self.addCleanup(server.kill)
        domain.wait_until(there.path('/run/ready').exists)
        there.path('/run/ready').unlink()
        said = self.lab['n1'].machine.run(
            [sys.executable, '-c', script, self.lab['n2'].address, str(mib)])
        server.wait(5)
        return float(said.stdout)

    def test_a_rate_holds(self):
        self.shape(rate_mib_s=20)
        self.assertAlmostEqual(20, self.throughput(30), delta=3)
        self.assertIn('tbf', link.show(self.lab['n1'].machine))
        self.lab.shape('n1')
        self.assertEqual('', link.show(self.lab['n1'].machine))
        self.assertGreater(self.throughput(200), 100)

    def test_a_senseless_rate_is_refused(self):
        self.assertRaises(needs.LabError, self.lab.shape, 'n1', rate_mib_s=0)

    def test_a_cut_cable_can_be_mended(self):
        self.addCleanup(self.lab.mend, 'n1')
        self.lab.cut('n1')
        script = 'import socket, sys; socket.create_connection((sys.argv[1], 16509), 0.5)'
        probe = [sys.executable, '-c', script, self.lab['n2'].address]
        self.assertRaises(needs.LabError, self.lab['n1'].machine.run, probe)
        self.lab.mend('n1')
        self.lab['n1'].machine.run(probe)
