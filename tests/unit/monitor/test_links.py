# SPDX-License-Identifier: Apache-2.0
"""Learnt link rates outlive a restart, and a broken file counts as nothing learnt."""

from __future__ import annotations

import pathlib

import fixtures
import testtools

from nova_migpolicy.monitor import links


class LinksTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'links.json'

    def test_nothing_is_known_at_first(self):
        self.assertIsNone(links.Links(self.path).get('n2'))

    def test_what_was_learnt_is_there_after_a_restart(self):
        self.assertEqual(100.0, links.Links(self.path).learn('n2', 100.0))
        again = links.Links(self.path)
        self.assertEqual(100.0, again.get('n2'))
        self.assertIsNone(again.get('n3'))

    def test_less_is_believed_at_once_and_more_slowly(self):
        known = links.Links(self.path)
        known.learn('n2', 100.0)
        self.assertEqual(60.0, known.learn('n2', 60.0))
        risen = known.learn('n2', 100.0)
        self.assertGreater(risen, 60.0)
        self.assertLess(risen, 80.0)

    def test_a_broken_file_is_nothing_learnt(self):
        for content in ('', '[1]', '{"n2": "fast"}', '{"n2": -5}', '\x00', '{"n2": [1]}'):
            self.path.write_text(content)
            self.assertIsNone(links.Links(self.path).get('n2'))

    def test_a_file_that_cannot_be_written_keeps_it_in_memory(self):
        known = links.Links(self.path.parent / 'none' / 'links.json')
        known.learn('n2', 100.0)
        self.assertEqual(100.0, known.get('n2'))

    def test_hosts_are_bounded(self):
        known = links.Links(None)
        for number in range(links.MAX_HOSTS + 5):
            known.learn(f'n{number}', 10.0)
        self.assertIsNone(known.get('n0'))
        self.assertEqual(10.0, known.get(f'n{links.MAX_HOSTS + 4}'))
