# SPDX-License-Identifier: Apache-2.0
"""Ends that stop the guest, on real hosts: what is said of a blackout is what it is."""

from __future__ import annotations


from nova_migpolicy.channel import protocol
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy import vocabulary
from tests import announced
from tests.lab import base
from tests.lab import cases


class TestAnnounced(cases.EndsTest):

    def test_a_pause_in_the_middle_of_a_pass(self):
        self.boot(memory_mib=96, set_mib=64, rate_mib_s=60)
        moving = self.move(bandwidth_mib_s='10')
        self.in_pass(moving, 2)
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.PAUSE).status)
        self.assert_announced(moving)

    def test_a_pause_with_all_that_is_permitted(self):
        self.boot(memory_mib=96, set_mib=64, rate_mib_s=60)
        # A rate that a busy host can send at.
        moving = self.move(bandwidth_mib_s='10', max_bandwidth_mib_s='20', remedies='bandwidth',
                           on_stall='continue')
        self.in_phase(moving, 'bulk copy')
        self.assertEqual(protocol.OK, moving.tune(remedies=['pause', 'bandwidth']).status)
        self.assert_announced(moving)
        self.assertEqual(['set_bandwidth', 'pause'], moving.done[-2:])

    def test_a_paused_guest_is_hurried(self):
        self.boot(memory_mib=96, set_mib=64, rate_mib_s=60)
        moving = self.move(bandwidth_mib_s='4')
        self.in_pass(moving, 1)
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.PAUSE).status)
        least_s, _ = announced.blackout_s(self.said_of(moving)['reason'])
        tuned = moving.tune(bandwidth_mib_s=100)
        self.assertEqual(protocol.OK, tuned.status, tuned.message)
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)
        self.assertLess(self.beats.blackout_ms, 500 * least_s)

    def test_a_guest_that_ends_by_itself_is_not_paused(self):
        self.boot('idle', memory_mib=128)
        moving = self.move(bandwidth_mib_s='10', max_bandwidth_mib_s='60', remedies='bandwidth')
        self.in_phase(moving, 'bulk copy')
        told = moving.act(vocabulary.FORCE_COMPLETE)
        self.assertEqual(protocol.ACCEPTED, told.status)
        self.assertIn('sent once', told.body['reason'])
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)
        self.assertEqual(['set_bandwidth'], moving.done)


class TestTrixie(base.Trixie, TestAnnounced):
    """The same on a newer libvirt and QEMU."""
