# SPDX-License-Identifier: Apache-2.0
"""A libvirtd that dies while a guest is migrated has one end: failed, and the guest goes on."""

from __future__ import annotations

import os
import pathlib
import signal

from lab import domain as lab_domain
from lab import libvirtd
from nova_migpolicy.monitor import outcome
from tests.lab import base
from tests.lab import steered

#: keeps it in its passes
ENDLESS = {'bandwidth_mib_s': '40', 'remedies': 'none', 'on_stall': 'continue',
           'timeout_seconds': '600'}


class LibvirtdTest(base.HostsTest):

    def restart(self, host):
        """Kill a host's libvirtd, and start it again when it is gone; QEMU runs on."""
        node = self.lab[host].machine
        for pid in self.pids(node):
            os.kill(pid, signal.SIGKILL)
        lab_domain.wait_until(lambda: not self.pids(node), what='libvirtd to be gone')
        libvirtd.start(node)
        self.lab[host].connect()

    @staticmethod
    def pids(node):
        found = []
        for pid in node.processes():
            try:
                words = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
            except OSError:
                continue
            if words[0] == b'libvirtd':
                found.append(pid)
        return found


class TestLibvirtd(LibvirtdTest):

    def check(self, host):
        self.boot()
        moving = steered.Move(self.guest, **ENDLESS)
        lab_domain.wait_until(lambda: (moving.progress()['pass_number'] or 0) >= 2,
                              what='the passes')
        self.restart(host)
        ended = moving.wait()
        self.assertEqual(outcome.End.FAILED, ended.end, ended.reason)
        # A destination's libvirtd that has just come back still has to take its half away.
        lab_domain.wait_until(lambda: list(steered.whereabouts(self.guest)) == ['n1'],
                              what='the guest to be on n1 alone')
        self.assert_beats('n1')
        # Nothing is left of it: it may be migrated again.
        again = steered.Move(self.guest, bandwidth_mib_s='0', max_downtime_ms='2000',
                             initial_downtime_ms='2000')
        self.assertIs(outcome.End.COMPLETED, again.wait().end)
        self.assert_beats('n2')

    def test_at_the_source(self):
        self.check('n1')

    def test_at_the_destination(self):
        self.check('n2')
