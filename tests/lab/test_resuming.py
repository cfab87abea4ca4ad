# SPDX-License-Identifier: Apache-2.0
"""A post-copy that broke off is taken up again on real hosts, and no memory is lost."""

from __future__ import annotations

from concurrent import futures
import struct

import fixtures
import libvirt

from lab import domain as lab_domain
from lab import libvirtd
from nova_migpolicy.channel import protocol
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import resuming
from nova_migpolicy import vocabulary
from tests.lab import base
from tests.lab import cases
from tests.lab import evidence

# Of lab/guest.S: the first page that it writes to. Each has its own address in its first word,
# and in its third one how often it was written.
BASE = 0x100000
PAGE = 4096
SET = 32 << 20
BUSY = 'being actively monitored'


class ResumingTest(evidence.EvidenceTest):

    def setUp(self):
        super().setUp()
        self.told_s = 0.0
        self.said = []
        # Each look at the clock is after the longest pause.
        self.resuming = resuming.Resuming(self.later)

    def later(self):
        self.told_s += resuming.LONGEST_PAUSE_S
        return self.told_s

    def attempt(self):
        """Try as another client than the one that began it."""
        own = self.lab['n1'].another_connection()
        self.addCleanup(own.close)
        there = self.lab['n2']
        params, flags = self.guest.arguments('n2')
        return self.resuming.attempt(
            guest_mod.MigratingGuest(lambda: own.lookupByUUIDString(self.uuid)),
            resuming.Call(there.uri, {**params, libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: 0}, flags),
            libvirt_here=own.getLibVersion(), libvirt_there=there.connect().getLibVersion(),
            say=self.said.append)

    def assert_whole(self):
        """The guest runs on n2 alone, and each page has what was written to it."""
        self.becomes(evidence.ABSENT, evidence.HERE)
        self.guest.host = self.lab['n2']
        self.assert_beats('n2')
        [switch] = self.beats.switches()
        self.assertTrue(switch.same_guest)
        self.guest.domain.suspend()
        size = (self.guest.memory_mib - 2) << 20
        self.qmp('pmemsave', val=BASE, size=size, filename='/var/lib/libvirt/memory')
        memory = (self.lab['n2'].machine.folder / 'lib/memory').read_bytes()
        addresses, counts = zip(*(struct.unpack_from('<I4xI', memory, at)
                                  for at in range(0, size, PAGE)), strict=True)
        self.assertEqual(tuple(range(BASE, BASE + size, PAGE)), addresses)
        # It writes the first ones, its set, in order.
        written = counts[:SET // PAGE]
        self.assertLessEqual(max(written) - min(written), 1)
        self.assertGreater(min(written), 1)

    def finish(self):
        """Try until it is done; the first tries may come too early."""
        self.lab.deliver('n1')
        self.lab.shape('n1')
        lab_domain.wait_until(self.attempt, what='post-copy to be complete', timeout=60,
                              found=lambda: self.said)
        self.assertIn('all of the memory is on the destination', self.said[-1])
        self.assert_whole()


class TestResuming(ResumingTest):

    def test_a_link_that_was_dead(self):
        self.addCleanup(self.lab.deliver, 'n1')
        self.post_copy()
        self.lab.drop('n1')
        self.assertFalse(self.attempt())
        # QEMU had not noticed, and the destination's still has not.
        self.assert_told(evidence.BROKEN_LEFT, evidence.HALF_HERE)
        self.assertIn(BUSY, self.said[-1])
        self.assertIn('both halves of the memory are kept', self.said[-1])
        self.finish()
        # Nothing is left to be done.
        self.assertTrue(self.attempt())

    def test_a_try_while_the_link_is_dead(self):
        """libvirt reaches the destination, QEMU's connection hangs until the link is back.

        Until then libvirt on the source says nothing of the guest; if that is too long, the try
        fails, and both halves are there as before.
        """
        migration = self.post_copy()
        migration.domain.abortJobFlags(evidence.BREAK_OFF)
        self.becomes(evidence.BROKEN_LEFT, evidence.BROKEN_HERE)
        self.addCleanup(self.lab.deliver, 'n1')
        self.lab.drop('n1')
        with futures.ThreadPoolExecutor(1) as other:
            trying = other.submit(self.attempt)
            lab_domain.wait_until(self.is_connecting, what='the connection of QEMU',
                                  still=lambda: not trying.done())
            self.assertEqual(evidence.BROKEN_HERE, self.look('n2'))
            self.lab.deliver('n1')
            self.lab.shape('n1')
            self.assertTrue(trying.result(60), self.said)
        self.assert_whole()

    def is_connecting(self):
        return self.lab['n1'].machine.network(['ss', '-Htn', 'state', 'syn-sent']).stdout

    def test_after_the_death_of_who_had_begun_it(self):
        """And of libvirt on the source; disks had been copied, too."""
        migration = self.post_copy(disks_mib=(8,))
        migration.domain.abortJobFlags(evidence.BREAK_OFF)
        self.becomes(evidence.BROKEN_LEFT, evidence.BROKEN_HERE)
        self.restart('n1')
        self.finish()


class TestHung(cases.DeadLinkTest, ResumingTest):
    """Its monitor breaks off what hangs, for nobody else notices it."""

    def hang(self):
        """Let the link die in post-copy; return the migration."""
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.monitor.breaking.HANGS_S', 15.0))
        self.boot()
        self.addCleanup(self.kill_qemu, 'n2')
        moving = self.move(remedies='post_copy', on_timeout='post_copy')
        self.in_pass(moving, 2)
        self.shape(rate_mib_s=evidence.SLOW)
        self.assertEqual(protocol.ACCEPTED, moving.act(vocabulary.START_POST_COPY).status)
        self.becomes(evidence.HALF_LEFT, evidence.HALF_HERE)
        self.drop()
        return moving

    def events(self, moving):
        return [one['text'] for one in moving.records('event')]

    def test_it_is_broken_off_and_can_be_taken_up(self):
        moving = self.hang()
        lab_domain.wait_until(lambda: any('was broken off' in one for one in self.events(moving)),
                              timeout=60, what='it to be broken off',
                              found=lambda: self.events(moving))
        # The destination has not noticed, and libvirt waits for it.
        self.assert_told(evidence.BROKEN_LEFT, evidence.HALF_HERE)
        self.assertTrue(moving.running)
        self.lab.deliver('n1')
        self.shape()
        self.assertIs(outcome_mod.End.BROKEN, moving.wait(150).end)
        self.finish()

    def test_a_link_that_comes_back_before_needs_nothing(self):
        moving = self.hang()
        self.lab.deliver('n1')
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assertEqual([], [text for text in self.events(moving) if 'in post-copy' in text])
        self.assert_whole()


class TestTrixie(base.Trixie, ResumingTest):
    """libvirt 11.3, which dies of it on the destination."""

    def broken(self):
        migration = self.post_copy()
        migration.domain.abortJobFlags(evidence.BREAK_OFF)
        self.becomes(evidence.BROKEN_LEFT, evidence.BROKEN_HERE)
        migration.wait()

    def test_it_is_not_tried(self):
        self.broken()
        self.assertFalse(self.attempt())
        [said] = self.said
        self.assertIn('libvirt on the destination is 11.3.0, which dies of it', said)
        self.assert_told(evidence.BROKEN_LEFT, evidence.BROKEN_HERE)

    def test_it_does_die(self):
        self.broken()
        self.addCleanup(self.start_again)
        params, flags = self.guest.arguments('n2')
        guest = guest_mod.MigratingGuest(lambda: self.guest.domain)
        self.assertRaises(exception.GuestError, guest.resume_post_copy, self.lab['n2'].uri,
                          params, flags)
        lab_domain.wait_until(lambda: not self.pids(self.lab['n2'].machine),
                              what='the death of libvirtd')
        self.assertEqual(evidence.BROKEN_LEFT, self.look('n1'))

    def start_again(self):
        """Start libvirtd, which would get no answer of the half that is there."""
        self.kill_qemu('n2')
        self.lab['n2'].close()
        libvirtd.start(self.lab['n2'].machine)
        self.lab['n2'].connect()
