# SPDX-License-Identifier: Apache-2.0
"""Places in Nova's queue: who waits, who is being prepared, and who only looks as if.

What is cancelled early is taken out of it, once, and by nobody who is not needed.
"""

from __future__ import annotations

from concurrent import futures
import threading
import types
from unittest import mock

import fixtures
import nova.conf
import testtools

from nova_migpolicy.compute import pending

CONF = nova.conf.CONF
LONG_S = 30.0


class QueueTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        CONF([], project='nova', default_config_files=[], default_config_dirs=[])
        self.addCleanup(CONF.reset)
        self.waiting = {}
        self.queue = pending.NovaQueue(lambda: self.waiting, 'n1')

    def add(self, server, state='waiting'):
        future = futures.Future()
        if state != 'waiting':
            future.set_running_or_notify_cancel()
        if state == 'failed':
            future.set_exception(RuntimeError('not prepared'))
        self.waiting[server] = (types.SimpleNamespace(
            uuid=f'migration of {server}', _context=types.SimpleNamespace(
                request_id=f'request of {server}')), future)

    def find(self, server):
        return self.queue.find(server, f'migration of {server}')

    def test_who_waits(self):
        for server, state in (('a', 'running'), ('b', 'failed'), ('c', 'waiting'),
                              ('d', 'waiting'), ('e', 'waiting')):
            self.add(server, state)
        self.waiting['f'] = (None, None)
        self.assertEqual(pending.Place(None, 'request of a'), self.find('a'))
        # Nova leaves those behind whose preparation failed.
        self.assertIsNone(self.find('b'))
        self.assertIn('it is the next', self.find('c').waits_for)
        self.assertIn('2 more before it', self.find('e').waits_for)
        self.assertIn('3 more before it', self.find('f').waits_for)
        self.assertIsNone(self.find('g'))
        self.assertIsNone(self.queue.find('c', 'another migration'))

    def test_words_for_the_limit(self):
        self.add('a')
        for limit, words in ((1, '1 live migration at'), (2, '2 live migrations at'),
                             (0, 'as many live migrations at')):
            CONF.set_override('max_concurrent_live_migrations', limit)
            self.addCleanup(CONF.clear_override, 'max_concurrent_live_migrations')
            self.assertIn(f'n1 runs {words}', self.find('a').waits_for)


class RecallTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.waiting, self.aborted = {}, []
        self.early = pending.EarlyOrders()
        self.looked, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.recall = pending.QueueAborter(
            pending.NovaQueue(lambda: self.waiting, 'n1'),
            lambda migration: self.early.command(migration) == 'cancel', self.abort, self.sleep)
        self.addCleanup(self.go_on.release, 100)
        self.useFixture(fixtures.MockPatchObject(pending, 'NOVAS_S', 0.0))

    def sleep(self, seconds):
        self.looked.release()
        self.go_on.acquire(timeout=LONG_S)

    def abort(self, server):
        self.aborted.append(server)
        self.done.set()

    def cancel(self, number):
        self.done = threading.Event()
        self.early.remember(f'migration {number}', 'cancel')
        self.recall.add(f'server {number}', f'migration {number}')

    def put_in_queue(self, number):
        self.waiting[f'server {number}'] = (types.SimpleNamespace(
            uuid=f'migration {number}',
            _context=types.SimpleNamespace(request_id='r')), futures.Future())

    def watchers(self):
        return [one for one in threading.enumerate() if one.name == 'recall']

    def end(self):
        """Wait until nobody looks any more."""
        for watcher in self.watchers():
            self.go_on.release(100)
            watcher.join(LONG_S)
        self.assertEqual([], self.watchers())

    def test_taken_out_when_it_has_come(self):
        self.cancel(1)
        self.assertTrue(self.looked.acquire(timeout=LONG_S))
        # It is just being put in: Nova's record is not there yet.
        self.waiting['server 1'] = (None, None)
        self.go_on.release()
        self.assertTrue(self.looked.acquire(timeout=LONG_S))
        self.assertEqual([], self.aborted)
        self.put_in_queue(1)
        self.go_on.release()
        self.assertTrue(self.done.wait(LONG_S))
        self.end()
        self.assertEqual(['server 1'], self.aborted)
        # It is still remembered, should Nova have been too late.
        self.assertEqual('cancel', self.early.command('migration 1'))

    def test_novas_own_cancel_comes_first(self):
        with mock.patch.object(pending, 'NOVAS_S', LONG_S):
            self.put_in_queue(1)
            self.cancel(1)
            self.assertTrue(self.looked.acquire(timeout=LONG_S))
            self.assertEqual([], self.aborted)
            self.waiting.clear()
        self.early.take('migration 1')
        self.end()
        self.assertEqual([], self.aborted)

    def test_one_thread_for_all(self):
        for number in range(5):
            self.cancel(number)
        self.assertTrue(self.looked.acquire(timeout=LONG_S))
        self.assertEqual(1, len(self.watchers()))
        for number in range(5):
            self.put_in_queue(number)
        self.end()
        self.assertEqual(5, len(self.aborted))
        self.cancel(1)
        self.end()
        self.assertEqual(6, len(self.aborted))

    def test_what_has_begun_is_not_its_business(self):
        self.cancel(1)
        self.assertTrue(self.looked.acquire(timeout=LONG_S))
        self.early.take('migration 1')
        self.put_in_queue(1)
        self.end()
        self.assertEqual([], self.aborted)

    def test_an_error_of_novas_is_survived(self):
        def fail(server):
            self.aborted.append(server)
            raise RuntimeError('no database')

        self.recall._abort = fail
        for number in range(2):
            self.put_in_queue(number)
            self.cancel(number)
        self.end()
        self.assertEqual(2, len(self.aborted))

    def test_somebody_else_takes_it_out_at_the_same_moment(self):
        log = self.useFixture(fixtures.FakeLogger())

        def fail(server):
            if server == 'server 1':
                del self.waiting[server]
            raise RuntimeError('wrong state')

        self.recall._abort = fail
        for number, words in ((1, 'another caller has taken it out: wrong state'),
                              (2, 'Traceback')):
            self.put_in_queue(number)
            self.cancel(number)
            self.end()
            self.assertIn(words, log.output)
            self.assertEqual(number == 2, 'Traceback' in log.output)
