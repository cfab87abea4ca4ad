# SPDX-License-Identifier: Apache-2.0
"""Learnt link rates outlive a restart, and a broken file counts as nothing learnt."""

from __future__ import annotations

import pathlib
import time

import fixtures
import testtools

from nova_migpolicy.engine.estimation import link_rate
from nova_migpolicy.monitor import link_rates


class LinksTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'links.json'

    def learn(self, known, rate, host='n2', server='a'):
        return known.learn(host, server, rate, is_bound=False).low_mib_s

    def test_nothing_is_known_at_first(self):
        self.assertIsNone(link_rates.LinkRates(self.path).get('n2'))

    def test_what_was_learnt_is_there_after_a_restart(self):
        self.assertEqual(100.0, self.learn(link_rates.LinkRates(self.path), 100.0))
        again = link_rates.LinkRates(self.path)
        self.assertEqual(100.0, again.get('n2').low_mib_s)
        self.assertIsNone(again.get('n3'))
        # And goes on from there.
        self.assertEqual(100.0, self.learn(again, 50.0, server='b'))

    def test_it_is_forgotten_in_time(self):
        now_s = 1e9
        self.learn(link_rates.LinkRates(self.path, lambda: now_s), 100.0)
        later = link_rates.LinkRates(self.path, lambda: now_s + link_rate.KEPT_S)
        self.assertIsNone(later.get('n2'))

    def test_a_broken_file_is_nothing_learnt(self):
        one = '{"server": "a", "mib_s": %s, "at_s": %s, "is_bound": false}'
        for content in ('', '[1]', '{"n2": "fast"}', '{"n2": 100.0}', '\x00', '{"n2": [1]}',
                        '{"n2": [{"mib_s": 1}]}', f'{{"n2": [{one % (-5, 1)}]}}',
                        f'{{"n2": [{one % (5, "true")}]}}', f'{{"n2": [{one % (1e999, 1)}]}}',
                        f'{{"n2": [{one % (10 ** 400, time.time())}]}}', '[' * 100_000):
            self.path.write_text(content)
            self.assertIsNone(link_rates.LinkRates(self.path).get('n2'), content)

    def test_a_file_that_cannot_be_written_keeps_it_in_memory(self):
        known = link_rates.LinkRates(self.path.parent / 'none' / 'links.json')
        self.assertEqual(100.0, self.learn(known, 100.0))

    def test_what_could_not_be_written_leaves_no_files(self):
        self.path.mkdir()
        self.learn(link_rates.LinkRates(self.path), 100.0)
        self.assertEqual([self.path], list(self.path.parent.iterdir()))

    def test_hosts_are_bounded(self):
        known = link_rates.LinkRates(None)
        for number in range(link_rates.MAX_HOSTS + 5):
            self.learn(known, 10.0, host=f'n{number}')
        self.assertIsNone(known.get('n0'))
        self.assertEqual(10.0, known.get(f'n{link_rates.MAX_HOSTS + 4}').low_mib_s)
