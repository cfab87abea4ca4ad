# SPDX-License-Identifier: Apache-2.0
"""A link that dies without a word, on real hosts: QEMU's ports alone are dropped."""

from __future__ import annotations

import testtools

from lab import domain as lab_domain
from nova_migpolicy.channel import protocol
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy import vocabulary
from tests.lab import base
from tests.lab import cases


class TestSaid(cases.DeadLinkTest):

    def test_in_the_bulk_copy_and_the_retune_is_told(self):
        self.boot(memory_mib=256, set_mib=8, rate_mib_s=1)
        moving = self.move(bandwidth_mib_s='10')
        self.in_phase(moving, 'bulk copy')
        self.drop()
        self.assertIn(cases.SAID, self.said(moving)['reason'])
        self.assert_dead(moving)
        tuned = moving.tune(bandwidth_mib_s=50)
        self.assertEqual(protocol.OK, tuned.status)
        self.assertIn('no effect until something does', tuned.body['reason'])
        refused = moving.act(vocabulary.PAUSE)
        self.assertEqual(protocol.CONFLICT, refused.status)
        self.assertIn(cases.SAID, refused.message)
        self.lab.deliver('n1')
        self.assertIn('moves again', self.said(moving, number=2, timeout=120)['reason'])
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)

    def test_in_the_disks(self):
        self.boot(set_mib=8, rate_mib_s=5, disks_mib=(256,))
        moving = self.move(bandwidth_mib_s='10')
        self.in_phase(moving, 'disks')
        lab_domain.wait_until(lambda: moving.progress()['percent'] >= 10, timeout=60,
                              what='10 %', still=lambda: moving.running)
        self.drop()
        self.assertIn(cases.SAID, self.said(moving)['reason'])
        self.assert_dead(moving)
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.CANCEL).status)
        self.assert_stays(moving)

    def test_in_the_passes_it_is_given_up(self):
        self.boot(set_mib=32)
        moving = self.move(on_stall='continue')
        self.in_pass(moving, 3)
        self.drop()
        self.said(moving)
        self.assert_dead(moving)
        # The rest of a grace of two minutes is not waited for.
        tuned = moving.tune(timeout_seconds=1, timeout_seconds_per_gib=0, on_timeout='post_copy')
        self.assertIn(cases.SAID, tuned.body['reason'])
        self.assertIn(cases.SAID, self.said(moving, rule='on_timeout')['reason'])
        self.assert_stays(moving)

    def test_a_trickle(self):
        self.boot(memory_mib=256, set_mib=8, rate_mib_s=1)
        moving = self.move(bandwidth_mib_s='10')
        # It has shown its rate for some time.
        lab_domain.wait_until(lambda: moving.progress()['percent'] >= 60, timeout=60,
                              what='60 %', still=lambda: moving.running)
        self.shape(rate_mib_s=0.2)
        self.assertThat(self.said(moving)['reason'], testtools.matchers.MatchesRegex(
            r'Only [\d.]+ MiB have moved over the link'))
        self.assert_dead(moving)


class TestGrace(cases.DeadLinkTest):

    def test_in_the_passes_it_is_aborted_after_two_minutes(self):
        self.boot(set_mib=32)
        moving = self.move(on_stall='post_copy', remedies='none')
        self.in_pass(moving, 1)
        self.drop()
        self.assertIn('has lasted for 120 s', self.said(moving)['reason'])
        self.assertIn(cases.SAID, self.said(moving, rule='on_stall', timeout=150.0)['reason'])
        self.assert_stays(moving)


class TestPaused(cases.EndsTest, cases.DeadLinkTest):

    def test_it_is_let_go(self):
        self.boot(memory_mib=96, set_mib=64, rate_mib_s=60)
        moving = self.move(bandwidth_mib_s='10')
        self.in_pass(moving, 2)
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.PAUSE).status)
        self.drop()
        reason = self.said(moving, rule='let_go')['reason']
        self.assertIn('has been standing still for ', reason)
        self.assert_stays(moving)
        # It stood still from the pause on, for three times some seconds.
        self.assertThat(self.beats.longest_gap_ms(), testtools.matchers.MatchesAll(
            testtools.matchers.GreaterThan(9000), testtools.matchers.LessThan(45_000)))


class TestSwitchover(cases.SwitchoverTest):

    def test_a_cancel_is_done(self):
        moving = self.hang()
        told = moving.act(vocabulary.CANCEL)
        self.assertEqual(protocol.ACCEPTED, told.status)
        self.assertIn('has not answered', told.body['reason'])
        ended = moving.wait()
        self.assertIs(outcome_mod.End.CANCELLED, ended.end)
        self.assertIn('cancelled through the API; the guest has been standing still', ended.reason)
        self.assertIn('unsent', self.events(moving))
        self.assert_stays(moving)

    def test_a_deadline_is_kept(self):
        moving = self.hang(timeout_seconds='80', timeout_seconds_per_gib='0', on_timeout='abort')
        ended = moving.wait()
        self.assertIs(outcome_mod.End.CANCELLED, ended.end)
        self.assertIn('so the connection of QEMU to the destination was closed', ended.reason)
        self.assert_stays(moving)


class TestTrixie(base.Trixie, TestPaused, cases.SwitchoverTest):
    """On a newer libvirt and QEMU."""

    test_a_cancel_in_a_switchover_is_done = TestSwitchover.test_a_cancel_is_done
