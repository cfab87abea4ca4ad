# SPDX-License-Identifier: Apache-2.0
"""Places in Nova's queue: who waits, who is being prepared, and who only looks as if."""

from __future__ import annotations

from concurrent import futures
import types

import nova.conf
import testtools

from nova_migpolicy.compute import pending

CONF = nova.conf.CONF


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
