# SPDX-License-Identifier: Apache-2.0
"""Policies of requests survive until their migration begins, and no name leads elsewhere."""

from __future__ import annotations

import os
import pathlib
import tempfile
import time
from unittest import mock
import uuid

import testtools

from nova_migpolicy.compute import pending
from nova_migpolicy.compute import request_policies


def request_id():
    return f'req-{uuid.uuid4()}'


class RequestsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name) / 'requests'
        self.requests = request_policies.RequestPolicies(self.folder)
        self.server, self.request = str(uuid.uuid4()), request_id()

    def test_taken_once_by_its_own_migration(self):
        self.requests.keep(self.server, self.request, {'profile': 'evacuate'})
        again = request_policies.RequestPolicies(self.folder)      # as after a restart
        self.assertEqual({}, again.read(self.server, request_id()))
        self.assertEqual({}, again.take(str(uuid.uuid4()), self.request))
        self.assertEqual({'profile': 'evacuate'}, again.take(self.server, self.request))
        self.assertEqual({}, again.take(self.server, self.request))

    def test_reading_takes_nothing(self):
        self.assertEqual({}, self.requests.read(self.server, self.request))
        self.requests.keep(self.server, self.request, {'profile': 'post_copy'})
        for _ in range(2):
            self.assertEqual({'profile': 'post_copy'},
                             self.requests.read(self.server, self.request))

    def test_what_came_to_nothing_goes_when_another_begins(self):
        refused = request_id()
        self.requests.keep(self.server, refused, {'profile': 'evacuate'})
        self.requests.keep(self.server, self.request, {'profile': 'post_copy'})
        self.assertEqual({'profile': 'post_copy'},
                         self.requests.take(self.server, self.request))
        self.assertEqual({}, self.requests.read(self.server, refused))

    def test_one_without_a_policy_forgets_the_others_too(self):
        self.requests.keep(self.server, self.request, {'profile': 'evacuate'})
        self.assertEqual({}, self.requests.take(self.server, request_id()))
        self.assertEqual({}, self.requests.take(self.server, self.request))

    def test_a_host_that_was_named(self):
        self.requests.note_named(self.server, self.request)
        again = request_policies.RequestPolicies(self.folder)
        self.assertTrue(again.is_named(self.server, self.request))
        self.assertEqual({}, again.read(self.server, self.request))
        for server, request in ((self.server, request_id()), (str(uuid.uuid4()), self.request),
                                (self.server, '../x'), ('x', self.request)):
            self.assertFalse(again.is_named(server, request))
        self.requests.keep(self.server, self.request, {'profile': 'evacuate'})
        self.assertEqual({'profile': 'evacuate'}, again.take(self.server, self.request))
        self.assertFalse(again.is_named(self.server, self.request))
        again.note_named(self.server, self.request)
        again.drop(self.server, self.request)
        self.assertEqual([], list(self.folder.iterdir()))
        self.assertRaises(ValueError, again.note_named, self.server, '../x')

    def test_dropped_alone(self):
        for name in (self.request, request_id()):
            self.requests.keep(self.server, name, {'profile': 'evacuate'})
        self.requests.drop(self.server, name)
        self.requests.drop(self.server, '../x')
        self.assertEqual({'profile': 'evacuate'}, self.requests.read(self.server, self.request))
        self.assertEqual({}, self.requests.read(self.server, name))

    def test_what_another_thread_removes_meanwhile_is_no_error(self):
        real = pathlib.Path.iterdir

        def with_a_ghost(path):
            return [*real(path), path / 'gone.json']

        self.requests.keep(self.server, self.request, {})
        with mock.patch.object(pathlib.Path, 'iterdir', with_a_ghost):
            other = request_id()
            self.requests.keep(self.server, other, {'profile': 'evacuate'})
        self.assertEqual({'profile': 'evacuate'}, self.requests.read(self.server, other))

    def test_bounded(self):
        with mock.patch.object(request_policies, 'MOST', 2):
            for number in range(5):
                server = str(uuid.uuid4())
                self.requests.keep(server, self.request, {})
                os.utime(self.folder / f'{server}.{self.request}.json',
                         (time.time(), time.time() + number))
        # Those that were there when the last one came, and that one.
        self.assertEqual(3, len(list(self.folder.iterdir())))

    def test_dropped(self):
        self.requests.keep(self.server, self.request, {'profile': 'evacuate'})
        self.requests.drop(self.server, self.request)
        self.assertEqual({}, self.requests.take(self.server, self.request))
        self.assertEqual([], list(self.folder.iterdir()))

    def test_ids_that_are_none(self):
        for server, name in (('../x', self.request), (self.server, '../../etc/passwd'),
                             (self.server, self.request + '/..'), (self.server, ''),
                             ('', self.request)):
            self.assertRaises(ValueError, self.requests.keep, server, name, {})
            self.assertEqual({}, self.requests.take(server, name))
        self.assertEqual({}, self.requests.read('../x', self.request))
        self.assertEqual({}, self.requests.take(self.server, None))

    def test_a_file_that_is_not_whole_does_not_count(self):
        self.requests.keep(self.server, self.request, {'profile': 'evacuate'})
        for text in ('{"profile": "ev', '[]', '', '[' * 100_000):
            (self.folder / f'{self.server}.{self.request}.json').write_text(text)
            self.assertEqual({}, self.requests.take(self.server, self.request))

    def test_old_ones_go(self):
        self.requests.keep(self.server, self.request, {'profile': 'evacuate'})
        old = time.time() - request_policies.KEEP_S - 1
        os.utime(self.folder / f'{self.server}.{self.request}.json', (old, old))
        self.requests.keep(self.server, request_id(), {})
        self.assertEqual({}, self.requests.take(self.server, self.request))


class EarlyTest(testtools.TestCase):

    def test_once_and_the_last_counts(self):
        remembered = pending.EarlyOrders()
        remembered.remember('a', 'force_complete')
        remembered.remember('a', 'cancel')
        self.assertIsNone(remembered.take('b'))
        self.assertEqual('cancel', remembered.take('a'))
        self.assertIsNone(remembered.take('a'))

    def test_bounded(self):
        remembered = pending.EarlyOrders()
        for number in range(pending.MOST_ORDERS + 1):
            remembered.remember(str(number), 'cancel')
        self.assertIsNone(remembered.take('0'))
        self.assertEqual('cancel', remembered.take('1'))
