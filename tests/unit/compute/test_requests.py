# SPDX-License-Identifier: Apache-2.0
"""Policies of requests survive until their migration begins, and no name leads elsewhere."""

from __future__ import annotations

import os
import pathlib
import tempfile
import time
import uuid

import testtools

from nova_migpolicy.compute import early
from nova_migpolicy.compute import requests


def request_id():
    return f'req-{uuid.uuid4()}'


class RequestsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name) / 'requests'
        self.requests = requests.Requests(self.folder)
        self.server, self.id = str(uuid.uuid4()), request_id()

    def test_taken_once_by_its_own_migration(self):
        self.requests.keep(self.server, self.id, {'profile': 'evacuate'})
        again = requests.Requests(self.folder)      # as after a restart
        self.assertEqual({}, again.take(self.server, request_id()))
        self.assertEqual({}, again.take(str(uuid.uuid4()), self.id))
        self.assertEqual({'profile': 'evacuate'}, again.take(self.server, self.id))
        self.assertEqual({}, again.take(self.server, self.id))

    def test_waiting_shows_the_last_and_takes_nothing(self):
        self.assertEqual({}, self.requests.waiting(self.server))
        for number, values in enumerate(({'profile': 'evacuate'}, {'profile': 'post_copy'})):
            name = request_id()
            self.requests.keep(self.server, name, values)
            os.utime(self.folder / f'{self.server}.{name}.json', (number, time.time() + number))
        self.assertEqual({'profile': 'post_copy'}, self.requests.waiting(self.server))
        self.assertEqual({'profile': 'post_copy'}, self.requests.waiting(self.server))

    def test_dropped(self):
        self.requests.keep(self.server, self.id, {'profile': 'evacuate'})
        self.requests.drop(self.server, self.id)
        self.assertEqual({}, self.requests.take(self.server, self.id))
        self.assertEqual([], list(self.folder.iterdir()))

    def test_ids_that_are_none(self):
        for server, name in (('../x', self.id), (self.server, '../../etc/passwd'),
                             (self.server, self.id + '/..'), (self.server, ''), ('', self.id)):
            self.assertRaises(ValueError, self.requests.keep, server, name, {})
            self.assertEqual({}, self.requests.take(server, name))
        self.assertEqual({}, self.requests.waiting('../x'))
        self.assertEqual({}, self.requests.take(self.server, None))

    def test_a_file_that_is_not_whole_does_not_count(self):
        self.requests.keep(self.server, self.id, {'profile': 'evacuate'})
        for text in ('{"profile": "ev', '[]', ''):
            (self.folder / f'{self.server}.{self.id}.json').write_text(text)
            self.assertEqual({}, self.requests.take(self.server, self.id))

    def test_old_ones_go(self):
        self.requests.keep(self.server, self.id, {'profile': 'evacuate'})
        old = time.time() - requests.KEEP_S - 1
        os.utime(self.folder / f'{self.server}.{self.id}.json', (old, old))
        self.requests.keep(self.server, request_id(), {})
        self.assertEqual({}, self.requests.take(self.server, self.id))


class EarlyTest(testtools.TestCase):

    def test_once_and_the_last_counts(self):
        remembered = early.Early()
        remembered.remember('a', 'force_complete')
        remembered.remember('a', 'cancel')
        self.assertIsNone(remembered.take('b'))
        self.assertEqual('cancel', remembered.take('a'))
        self.assertIsNone(remembered.take('a'))

    def test_bounded(self):
        remembered = early.Early()
        for number in range(early.MOST + 1):
            remembered.remember(str(number), 'cancel')
        self.assertIsNone(remembered.take('0'))
        self.assertEqual('cancel', remembered.take('1'))
