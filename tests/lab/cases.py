# SPDX-License-Identifier: Apache-2.0
"""What tests of migrations on real hosts have in common; the tests are in test_*."""

from __future__ import annotations

import os
import pathlib
import signal

import libvirt
import testtools

from lab import domain as lab_domain
from lab import libvirtd
from nova_migpolicy.monitor import hung
from nova_migpolicy.monitor import outcome as outcome_mod
from tests import announced
from tests.lab import base
from tests.lab import steered

MIB = 1 << 20
# Never ends by itself, whatever the boot's guest is.
ENDLESS = {'bandwidth_mib_s': '20', 'max_bandwidth_mib_s': '0', 'remedies': 'none',
           'on_stall': 'continue', 'on_timeout': 'continue'}
# A beat comes each 10 ms, and is seen late by as much.
BEATS_MS = 40
#: what is said of a dead link, by its middle
SAID = 'othing has moved over the link to the destination for '


class CommandsTest(base.HostsTest):
    """A migration that an operator gives commands to."""

    def move(self, **more):
        moving = steered.Move(self.guest, **{**ENDLESS, **more})
        self.addCleanup(moving.stop)
        return moving

    def in_phase(self, moving, phase, timeout=30.0):
        lab_domain.wait_until(lambda: moving.progress()['phase'] == phase, timeout=timeout,
                              what=f'the phase {phase}', still=lambda: moving.running)

    def in_pass(self, moving, number, timeout=60.0):
        lab_domain.wait_until(lambda: (moving.progress()['pass_number'] or 0) >= number,
                              timeout=timeout, what=f'pass {number}',
                              still=lambda: moving.running)

    def assert_at(self, host, moving):
        self.assertEqual({host: libvirt.VIR_DOMAIN_RUNNING}, steered.whereabouts(self.guest))
        self.assert_beats(host)

    def speeds(self):
        """Of each disk that is being copied, in MiB/s."""
        return [job['speed'] / MIB for job in self.qmp('query-block-jobs')[0]]


class EndsTest(CommandsTest):
    """An end that stops the guest."""

    def said_of(self, moving):
        """The decision that paused the guest."""
        return [one for one in moving.records('decision')
                if any(action['action'] == 'pause' for action in one['actions'])][-1]

    def assert_announced(self, moving):
        """The blackout lies within a quarter of what was said."""
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)
        said = self.said_of(moving)['reason']
        least_s, most_s = announced.blackout_s(said)
        self.assertThat(self.beats.blackout_ms, testtools.matchers.GreaterThan(
            1000 * least_s / 1.25 - BEATS_MS), said)
        self.assertThat(self.beats.least_blackout_ms, testtools.matchers.LessThan(
            1000 * most_s / 0.75 + BEATS_MS), said)


class DeadLinkTest(CommandsTest):
    """A link that dies: QEMU's ports alone are dropped."""

    def drop(self):
        self.addCleanup(self.lab.deliver, 'n1')
        self.lab.drop('n1')

    def decisions(self, moving, rule):
        return [one for one in moving.records('decision') if one['rule'] == rule]

    def said(self, moving, rule='standstill', number=1, timeout=60.0):
        """Wait for a decision of a rule, and return it."""
        lab_domain.wait_until(lambda: len(self.decisions(moving, rule)) >= number,
                              timeout=timeout, what=f'a decision {rule}',
                              still=lambda: moving.running)
        return self.decisions(moving, rule)[number - 1]

    def assert_dead(self, moving):
        """Its view names the link and has no end."""
        now = moving.progress()
        self.assertEqual((False, None), (now['converges'], now['eta_seconds']))
        self.assertIn('over which nothing moves', now['waits_for'])

    def assert_stays(self, moving):
        self.assertIs(outcome_mod.End.CANCELLED, moving.wait().end)
        self.assertEqual({'n1': libvirt.VIR_DOMAIN_RUNNING}, steered.whereabouts(self.guest))
        self.assert_beats('n1')


class SwitchoverTest(DeadLinkTest):
    """A link that dies in a switchover.

    QEMU's main thread waits for its socket then, and libvirt for QEMU.
    """

    def hang(self, **more):
        """Drop the ports in a switchover; the migration.

        The link is believed to be too fast, so the switchover takes some ten seconds: far more
        than what the sockets hold is still to be sent then.
        """
        self.shape(rate_mib_s=6)
        self.boot(memory_mib=96, set_mib=64)
        moving = self.move(bandwidth_mib_s='5', max_bandwidth_mib_s='5', link_mib_s=200.0,
                           max_downtime_ms='500', initial_downtime_ms='500', **more)
        # Its monitor may see it late: libvirt does not answer it in a switchover that is long.
        way = steered.Outside(self.guest)
        lab_domain.wait_until(lambda: way.state() == hung.STOPPED, timeout=60,
                              what='the switchover', still=lambda: moving.running)
        self.drop()
        lab_domain.wait_until(moving.session.note_silence, timeout=60, what='silence',
                              still=lambda: moving.running)
        return moving

    def events(self, moving):
        return ' '.join(one['text'] for one in moving.records('event'))


class LibvirtdTest(base.HostsTest):
    """A libvirtd that dies."""

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
