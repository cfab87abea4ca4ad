# SPDX-License-Identifier: Apache-2.0
"""A libvirtd that dies while a guest is migrated has one end: failed, and the guest goes on."""

from __future__ import annotations

import libvirt

from lab import domain as lab_domain
from nova_migpolicy.channel import protocol
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy import vocabulary
from tests.lab import cases
from tests.lab import steered

#: keeps it in its passes
ENDLESS = {'bandwidth_mib_s': '40', 'remedies': 'none', 'on_stall': 'continue',
           'timeout_seconds': '600'}


#: What libvirtd says where it starts while QEMU hangs, and takes what QEMU answers to the libvirtd
#: before it for the answer to its own first questions; it ends the guest then (1 in some 20 here).
MISTAKEN = b'unexpected type returned by QEMU command'


class TestLibvirtd(cases.LibvirtdTest):

    def check(self, host):
        self.boot()
        moving = steered.Move(self.guest, **ENDLESS)
        lab_domain.wait_until(lambda: (moving.progress()['pass_number'] or 0) >= 2,
                              what='the passes')
        self.restart(host)
        ended = moving.wait()
        self.assertEqual(outcome_mod.End.FAILED, ended.end, ended.reason)
        # A destination's libvirtd that has just come back still has to take its half away.
        lab_domain.wait_until(lambda: list(steered.whereabouts(self.guest)) == ['n1'],
                              what='the guest to be on n1 alone',
                              found=lambda: steered.whereabouts(self.guest))
        self.assert_beats('n1')
        # Nothing is left of it: it may be migrated again.
        again = steered.Move(self.guest, bandwidth_mib_s='0', max_downtime_ms='2000',
                             initial_downtime_ms='2000')
        self.assertIs(outcome_mod.End.COMPLETED, again.wait().end)
        self.assert_beats('n2')

    def test_at_the_source(self):
        self.check('n1')

    def test_at_the_destination(self):
        self.check('n2')


class TestSwitchover(cases.LibvirtdTest, cases.SwitchoverTest):

    def runs_on_n1(self):
        """Whether it does for libvirt and QEMU, which a libvirtd that starts has not asked yet."""
        try:
            return (steered.whereabouts(self.guest) == {'n1': libvirt.VIR_DOMAIN_RUNNING}
                    and self.qmp('query-status')[0]['running'])
        except libvirt.libvirtError:
            return False

    def what_there_is(self):
        return steered.whereabouts(self.guest), self.log().decode(errors='replace')[-300:]

    def log(self):
        return (self.lab['n1'].machine.folder / 'log' / 'libvirtd.log').read_bytes()

    def is_mistaken(self, known):
        """Wait until libvirt has made its mistake, or the guest runs on n1.

        :param known: how long libvirt's log was before
        """
        return MISTAKEN is lab_domain.wait_until(
            lambda: MISTAKEN if MISTAKEN in self.log()[known:] else self.runs_on_n1(),
            timeout=60, what='the guest to run on n1 alone', found=self.what_there_is)

    def outlives(self, die):
        """Check that the guest runs on at n1 after a death, unless libvirt makes its mistake.

        Then the guest is gone, and this is checked again with another one.
        """
        for _ in range(3):
            known = len(self.log())
            die()
            if not self.is_mistaken(known):
                break
            lab_domain.wait_until(lambda: not steered.whereabouts(self.guest),
                                  what='libvirt to end the guest')
            self.beats.stop()
            self.guest.destroy()
            self.lab.deliver('n1')
            self.lab.shape('n1')
        self.assertTrue(self.runs_on_n1())
        self.assert_beats('n1')

    def test_at_the_source_while_the_link_is_dead(self):
        """Nobody waits for the migration any more, and the guest is not left standing still."""
        self.outlives(self.die_in_the_switchover)

    def die_in_the_switchover(self):
        moving = self.hang()
        self.restart('n1')
        ended = moving.wait(120)
        self.assertEqual(outcome_mod.End.FAILED, ended.end, ended.reason)
        self.assertIn('unsent', self.events(moving))

    def test_at_the_source_while_the_link_of_disks_is_dead(self):
        self.outlives(self.die_in_the_disks)

    def die_in_the_disks(self):
        self.boot(set_mib=8, rate_mib_s=5, disks_mib=(128,))
        moving = self.move(bandwidth_mib_s='10')
        self.in_phase(moving, 'disks')
        lab_domain.wait_until(lambda: moving.progress()['percent'] >= 10, timeout=60, what='10 %',
                              still=lambda: moving.running)
        self.drop()
        self.assertIn(cases.SAID, self.said(moving)['reason'])
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.CANCEL).status)
        self.restart('n1')
        moving.wait(180)
        self.assertIn('unsent', self.events(moving))
