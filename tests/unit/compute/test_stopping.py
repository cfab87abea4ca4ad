# SPDX-License-Identifier: Apache-2.0
"""What is done with each migration when nova-compute is stopped, and what is waited for."""

from __future__ import annotations

import threading
from unittest import mock

import fixtures
import testtools

from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import stopping
from nova_migpolicy import exception
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy import vocabulary

#: for what has to come; nothing waits for so long
LONG_S = 30.0


class StoppingTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.useFixture(fixtures.MonkeyPatch(
            'nova_migpolicy.compute.stopping.LOOK_EVERY_S', 0.01))
        self.make()

    def make(self):
        self.current, self.queued, self.taken_out = {}, [], []
        self.busy = False
        self.stopped = threading.Event()
        self.guest = mock.Mock()
        self.wish = vocabulary.LEAVE
        self.tested = stopping.Stopping(
            lambda: self.wish, self.current, stopping.Others(
                lambda: self.queued, self.taken_out.append, self.stopped.set,
                lambda: self.busy), lambda server: self.guest)

    def add(self, server, *, session=True, stock=None):
        """Let Nova hand a migration over."""
        made = self.current[server] = migration_mod.Migration(f'of {server}', inbox_mod.Inbox())
        made.session = mock.Mock(is_watched=True) if session else None
        made.stock = stock
        return made

    def stop(self, wish):
        self.wish = wish
        self.tested.begin()
        self.assertTrue(self.tested._orders_given.wait(LONG_S))

    def waits(self, **given):
        """Wait in a thread; return the thread."""
        thread = threading.Thread(target=self.tested.wait, args=(LONG_S,), kwargs=given)
        thread.start()
        self.addCleanup(thread.join)
        return thread

    def test_nothing_new_is_begun_whatever_is_wished(self):
        self.queued = ['a', 'b']
        self.assertFalse(self.tested.has_begun)
        self.stop(vocabulary.FINISH)
        self.assertTrue(self.tested.has_begun and self.stopped.is_set())
        self.assertEqual(['a', 'b'], self.taken_out)
        # Once.
        self.stop(vocabulary.ABORT_ALL)
        self.assertEqual(['a', 'b'], self.taken_out)

    def test_one_that_cannot_be_taken_out_does_not_keep_the_others(self):
        self.queued = ['a', 'b']
        self.tested._others = stopping.Others(
            lambda: self.queued, mock.Mock(side_effect=[RuntimeError('no neutron'), None]),
            lambda: None, lambda: False)
        self.stop(vocabulary.FINISH)
        self.assertEqual(2, self.tested._others.take_out.call_count)
        self.assertIn('no neutron', self.log.output)

    def test_only_abort_cancels_what_is_under_way(self):
        for wish, orders in ((vocabulary.FINISH, []), (vocabulary.LEAVE, []),
                             (vocabulary.ABORT_ALL, [(vocabulary.CANCEL, commands.STOPPED)])):
            self.make()
            watched, prepared = self.add('a'), self.add('b', session=False)
            self.add('c', session=False, stock=object())
            self.stop(wish)
            for one in (watched, prepared):
                self.assertEqual(orders, [(item.name, item.why) for item in one.inbox.close()])
            self.assertEqual(len(orders), self.guest.abort.call_count)

    def test_an_abort_that_libvirt_refuses_does_not_keep_the_others(self):
        self.guest.abort.side_effect = exception.GuestError('abortJob', 'post-copy')
        self.add('a', session=False, stock=object())
        other = self.add('b')
        self.stop(vocabulary.ABORT_ALL)
        self.assertTrue(other.inbox.holds(vocabulary.CANCEL))
        self.assertIn('post-copy', self.log.output)

    def test_all_of_it_is_waited_for_unless_it_is_to_be_left(self):
        for wish in (vocabulary.FINISH, vocabulary.ABORT_ALL):
            self.make()
            self.busy = True
            self.add('a')
            self.stop(wish)
            thread = self.waits()
            del self.current['a']
            self.assertTrue(thread.is_alive())
            self.busy = False
            thread.join(LONG_S)
            self.assertFalse(thread.is_alive())

    def test_what_is_left_is_watched_until_nova_has_nothing_else_to_do(self):
        self.busy = True
        self.add('a')
        self.add('c', session=False, stock=mock.Mock())
        self.stop(vocabulary.LEAVE)
        asked, novas = threading.Semaphore(0), {'needs': True}

        def needs_time(servers):
            self.assertEqual({'a'}, servers)
            asked.release()
            return novas['needs']

        thread = self.waits(needs_time=needs_time)
        for _ in range(3):
            self.assertTrue(asked.acquire(timeout=LONG_S))
        self.assertFalse(self.current['a'].leave.is_given)
        novas['needs'] = False
        thread.join(LONG_S)
        self.assertFalse(thread.is_alive())

    def test_one_that_has_not_begun_is_rolled_back_before(self):
        self.add('a')
        self.add('b', session=False)
        self.stop(vocabulary.LEAVE)
        looked, is_done = threading.Semaphore(0), self.tested._is_done

        def look(needs_time):
            looked.release()
            return is_done(needs_time)

        self.tested._is_done = look
        thread = self.waits()
        for _ in range(3):
            self.assertTrue(looked.acquire(timeout=LONG_S))
        self.assertTrue(thread.is_alive())
        del self.current['b']
        thread.join(LONG_S)
        self.assertFalse(thread.is_alive())

    def test_the_time_is_up(self):
        self.add('a')
        self.stop(vocabulary.FINISH)
        self.tested.wait(0.0)
        self.assertIn('a', self.current)

    def test_all_are_told_to_leave_and_their_monitors_are_waited_for(self):
        left = [self.add('a'), self.add('b', session=False)]
        left[0].leave.when_given(lambda: self.current.pop('a'))
        self.tested.leave()
        self.assertEqual([True, True], [one.leave.is_given for one in left])
        # One that libvirt holds up is not waited for for ever.
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.compute.stopping.LEAVE_S', 0.05))
        self.add('a')
        self.tested.leave()
        self.assertIn('a', self.current)
