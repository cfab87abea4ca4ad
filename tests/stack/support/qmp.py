# SPDX-License-Identifier: Apache-2.0
"""What libvirt has no call for and goes to QEMU's monitor: the throttle and the rate of disks.

Under eventlet such a command takes another way through Nova than libvirt's own calls.
"""

from __future__ import annotations

import json

import libvirt_qemu

from lab import client as lab_client
from tests.stack.support import phases
from tests.stack.support import steering

MIB = 1 << 20
#: QEMU's own: ceiling, first step, next steps and threshold of auto-converge
FREE = (99, 20, 10, 50)
HELD = (1, 1, 1, 100)


class Monitor(phases.InPhase):
    """Shorthands."""

    def qmp(self, run, command):
        """What the QEMU of a server that is at its source says."""
        domain = self.stack.hosts[run.source].connect().lookupByUUIDString(run.server)
        text = json.dumps({'execute': command})
        return json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))['return']

    def throttle(self, run):
        """QEMU's parameters of auto-converge, as in FREE."""
        found = self.qmp(run, 'query-migrate-parameters')
        return tuple(found[name] for name in (
            'max-cpu-throttle', 'cpu-throttle-initial', 'cpu-throttle-increment',
            'throttle-trigger-threshold'))

    def speeds(self, run):
        """The rates at which disks are copied, MiB/s."""
        return [job['speed'] // MIB for job in self.qmp(run, 'query-block-jobs')]


class QmpTests(Monitor):
    """Each kind of command, where it is sent and in QEMU."""

    def test_a_throttle_is_held_off_set_and_freed(self):
        run = self.in_bulk_copy(remedies='auto_converge', max_throttle_percent=90,
                                bandwidth_mib_s=steering.CAP_MIB_S)
        self.assertEqual(HELD, self.throttle(run))
        # Too little for it to converge.
        told = self.tune(run, max_throttle_percent=25)
        self.assertEqual({'max_throttle_percent': 25}, told['applied'])
        self.assertEqual((25, 25, 25, 50), self.throttle(run))
        lab_client.wait(lambda: [s.get('throttle_percent') for s in run.records('sample')],
                        lambda seen: 25 in seen, steering.MIGRATION_TIMEOUT_S,
                        'QEMU to slow the guest')
        self.admin.abort(run.server, run.migration)
        self.assert_stayed(self.finish(run))
        self.assertEqual(FREE, self.throttle(run))

    def test_a_rate_while_disks_are_copied(self):
        run = self.in_disks(max_bandwidth_mib_s=400)
        self.assertEqual([steering.CAP_MIB_S], self.speeds(run))
        told = self.tune(run, bandwidth_mib_s=20)
        self.assertEqual({'bandwidth_mib_s': 20}, told['applied'])
        self.assertEqual([20], self.speeds(run))
        self.admin.abort(run.server, run.migration)
        self.assert_stayed(self.finish(run))
