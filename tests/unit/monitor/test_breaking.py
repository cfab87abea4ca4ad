# SPDX-License-Identifier: Apache-2.0
"""When a post-copy that hangs is broken off, and when not."""

from __future__ import annotations

import threading

import fixtures
import testtools

from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import breaking
from nova_migpolicy.monitor import guest as guest_mod
from tests.unit.monitor import fakes

TICK_S = 5.0
#: for what has to come; nothing waits for so long
LONG_S = 30.0


class BreakingTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.said, self.asked, self.obstacle = [], 0, None
        self.domain = fakes.Domain()
        self.at_s = 0.0
        self.tested = breaking.Breaking(
            guest_mod.MigratingGuest(self.domain), self.ask, self.said.append)

    def ask(self):
        self.asked += 1
        return self.obstacle

    def look(self, seconds, sent=7, left=9):
        """Look at the same counters at each tick for so long."""
        end_s = self.at_s + seconds
        while self.at_s < end_s:
            self.tested.look(samples.Sample(
                at_s=self.at_s, memory_processed_bytes=sent, memory_remaining_bytes=left))
            self.at_s += TICK_S

    @property
    def calls(self):
        return [call for call in self.domain.calls if call[0] == 'abortJobFlags']

    def test_one_that_hangs_is_broken_off(self):
        self.look(breaking.HANGS_S)
        self.assertEqual(([], 0), (self.calls, self.asked))
        self.look(TICK_S)
        self.assertEqual(1, len(self.calls))
        # Once: the destination has to notice, and that takes the link.
        self.look(3 * breaking.AGAIN_S)
        self.assertEqual(1, len(self.calls))
        [said] = self.said
        self.assertIn('nothing has come through in post-copy for 120 s: it was broken off', said)
        # It has gone on in spite of that.
        self.look(breaking.HANGS_S + TICK_S, left=8)
        self.assertEqual(2, len(self.calls))

    def test_one_in_which_anything_moves_is_not(self):
        for number in range(3):
            self.look(breaking.HANGS_S - TICK_S, sent=number)
            self.look(breaking.HANGS_S - TICK_S, sent=number, left=8)
        self.assertEqual(([], 0), (self.calls, self.asked))

    def test_where_libvirt_tells_nothing_nothing_is_known(self):
        self.look(3 * breaking.HANGS_S, sent=None)
        self.look(3 * breaking.HANGS_S, left=None)
        self.assertEqual(([], 0), (self.calls, self.asked))

    def test_one_that_could_not_be_taken_up_is_watched_and_that_is_told_once(self):
        self.obstacle = 'libvirt there dies of it'
        self.look(breaking.HANGS_S + 3 * breaking.AGAIN_S)
        self.assertEqual(([], 3), (self.calls, self.asked))
        [said] = self.said
        self.assertIn('not broken off but watched on, for libvirt there dies of it', said)
        # As soon as it could.
        self.obstacle = None
        self.look(breaking.AGAIN_S)
        self.assertEqual(1, len(self.calls))

    def test_one_that_cannot_be_broken_off_is_told_and_tried_again(self):
        self.domain.answers['abortJobFlags'] = fakes.error(1, 'QEMU does not answer')
        self.look(breaking.HANGS_S + breaking.AGAIN_S + TICK_S)
        self.assertEqual(2, len(self.calls))
        [said] = self.said
        self.assertIn('QEMU does not answer', said)


class WatchTest(testtools.TestCase):
    """The same while a thread waits for the call that takes post-copy up again."""

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.monitor.breaking.LOOK_EVERY_S', 0.01))
        self.said, self.clock = [], fakes.Clock()
        self.returned, self.looks = threading.Event(), threading.Semaphore(0)

    def stats(self):
        self.looks.release()
        self.clock.sleep(TICK_S)
        return {'type': 2, 'memory_total': 20, 'memory_processed': 7, 'memory_remaining': 9}

    def watch(self, **answers):
        self.domain = fakes.Domain(**{'jobStats': self.stats, 'abortJobFlags': self.returned.set,
                                      **answers})
        return breaking.Watch(guest_mod.MigratingGuest(self.domain), lambda: None,
                              self.said.append, self.clock)

    def wait_for_looks(self, number):
        for _ in range(number):
            self.assertTrue(self.looks.acquire(timeout=LONG_S))

    def test_one_that_hangs_again_is_broken_off(self):
        with self.watch():
            self.assertTrue(self.returned.wait(LONG_S))
        self.assertGreaterEqual(self.clock() - 1000.0, breaking.HANGS_S)

    def test_whatever_fails_it_looks_again(self):
        answers = [fakes.error(1, 'away'), RuntimeError('a bug'), self.stats]
        with self.watch(jobStats=answers):
            self.assertTrue(self.returned.wait(LONG_S))
        self.assertEqual(1, len(answers))

    def test_after_the_call_nobody_looks(self):
        with self.watch() as made:
            self.wait_for_looks(2)
        made._thread.join(LONG_S)
        self.assertFalse(made._thread.is_alive())
        self.assertEqual([], self.domain.called('abortJobFlags'))
