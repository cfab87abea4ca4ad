# SPDX-License-Identifier: Apache-2.0
"""Messages to other hosts: the newest of each migration, one after the other, side by side."""

from __future__ import annotations

import queue
import threading
from unittest import mock

import fixtures
import testtools

from nova_migpolicy.capacity import messages
from nova_migpolicy.compute import post as post_mod

#: for what has to come; nothing waits for so long
LONG_S = 30.0


def release(number, migration='m'):
    return messages.Release(source='here', destination='there', migration=migration, epoch=1,
                            number=number)


class PostTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.begun: queue.Queue = queue.Queue()
        self.sent: queue.Queue = queue.Queue()
        self.doors = {}
        self.together = []
        self.wrong = {}
        self.tested = post_mod.Post(self.send)

    def send(self, host, together):
        """Be as slow as the door of a host, which stands open where there is none."""
        self.together.append(len(together))
        for message in together:
            self.begun.put((host, message.migration, message.number))
        if host in self.doors:
            self.assertTrue(self.doors[host].wait(LONG_S))
        if host in self.wrong:
            raise self.wrong[host]
        for message in together:
            self.sent.put((host, message.migration, message.number))

    def shut(self, *hosts):
        for host in hosts:
            self.doors[host] = threading.Event()
            self.addCleanup(self.doors[host].set)

    def next_of(self, one):
        return one.get(timeout=LONG_S)

    def test_who_has_something_to_say_is_not_kept(self):
        self.shut('a')
        self.tested.put('a', release(1))
        self.assertEqual(('a', 'm', 1), self.next_of(self.begun))
        self.assertTrue(self.sent.empty())
        self.doors['a'].set()
        self.assertEqual(('a', 'm', 1), self.next_of(self.sent))

    def test_the_newest_of_a_migration_takes_the_place_of_what_was_not_sent(self):
        self.shut('a')
        self.tested.put('a', release(1))
        self.next_of(self.begun)
        for number, migration in ((2, 'm'), (3, 'n'), (4, 'm')):
            self.tested.put('a', release(number, migration))
        self.doors['a'].set()
        self.assertEqual([('a', 'm', 1), ('a', 'm', 4), ('a', 'n', 3)],
                         [self.next_of(self.sent) for _ in range(3)])

    def test_what_has_come_together_is_sent_at_once_but_not_too_much(self):
        self.shut('a')
        self.tested.put('a', release(1))
        self.next_of(self.begun)
        for number in range(post_mod.MOST_TOGETHER + 5):
            self.tested.put('a', release(number, f'm{number}'))
        self.doors['a'].set()
        for _ in range(1 + post_mod.MOST_TOGETHER + 5):
            self.next_of(self.sent)
        self.assertEqual([1, post_mod.MOST_TOGETHER, 5], self.together)

    def test_a_host_that_does_not_answer_keeps_no_other(self):
        self.shut('a')
        self.tested.put('a', release(1))
        self.next_of(self.begun)
        self.tested.put('b', release(2))
        self.assertEqual(('b', 'm', 2), self.next_of(self.sent))

    def test_a_host_gets_one_after_the_other(self):
        self.shut('a')
        for number, migration in enumerate('mno'):
            self.tested.put('a', release(number, migration))
        self.next_of(self.begun)
        # Others are at work, and have nothing to do.
        self.tested.put('b', release(9))
        self.next_of(self.sent)
        self.assertEqual([('b', 'm', 9)], [self.begun.get_nowait()])
        self.assertTrue(self.begun.empty())

    def test_so_many_hosts_at_once_and_the_others_after_them(self):
        hosts = [f'h{number}' for number in range(post_mod.MOST_AT_ONCE + 1)]
        self.shut(*hosts)
        for host in hosts:
            self.tested.put(host, release(1))
        at_work = {self.next_of(self.begun)[0] for _ in range(post_mod.MOST_AT_ONCE)}
        [last] = set(hosts) - at_work
        self.assertTrue(self.begun.empty())
        self.doors[at_work.pop()].set()
        self.assertEqual((last, 'm', 1), self.next_of(self.begun))

    def test_what_fails_is_told_and_the_next_is_sent(self):
        self.shut('a')
        self.wrong['a'] = ValueError('no bus')
        self.tested.put('a', release(1))
        self.next_of(self.begun)
        self.tested.put('a', release(2, 'n'))
        self.doors['a'].set()
        self.assertEqual(('a', 'n', 2), self.next_of(self.begun))
        self.assertIn('no bus', self.log.output)

    def refuse_threads(self):
        patch = mock.patch.object(threading.Thread, 'start',
                                  side_effect=RuntimeError("can't start new thread"))
        patch.start()
        self.addCleanup(mock.patch.stopall)
        return patch

    def test_without_a_thread_it_is_sent_with_the_next_thing_that_is_said(self):
        patch = self.refuse_threads()
        for number in (1, 2):
            self.tested.put('a', release(number))
        self.assertIn("can't start new thread", self.log.output)
        patch.stop()
        self.tested.put('b', release(3))
        self.assertEqual({('a', 'm', 2), ('b', 'm', 3)},
                         {self.next_of(self.sent) for _ in range(2)})

    def test_without_a_thread_who_is_at_work_sends_it(self):
        """Whoever is at work may take it in the very moment in which none can be started."""
        self.shut('a', 'b')
        self.tested.put('a', release(1))
        self.next_of(self.begun)

        def fail(thread):
            self.doors['a'].set()
            self.assertEqual(('b', 'm', 2), self.next_of(self.begun))
            raise RuntimeError("can't start new thread")

        with mock.patch.object(threading.Thread, 'start', fail):
            self.tested.put('b', release(2))
        self.tested.put('b', release(3))
        self.doors['b'].set()
        self.assertEqual([('a', 'm', 1), ('b', 'm', 2), ('b', 'm', 3)],
                         [self.next_of(self.sent) for _ in range(3)])
