# SPDX-License-Identifier: Apache-2.0
"""What is made of the plugin's answers and of Nova's own, missing and odd ones included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies
import testtools

from nova_migpolicy.osc.watching import sentences
from nova_migpolicy.osc.watching import status as status_mod
from tests.unit.osc import cases
from tests.unit.osc import cloud

plugin = cases.plugin
FIELDS = tuple(cloud.progress()['progress'])


class PluginTest(testtools.TestCase):

    def test_all_of_it(self):
        now = plugin(held=['bandwidth_mib_s'])
        self.assertEqual(
            'passes, 41 %, 50 MiB/s, pass 3, 96 MiB left, ends in 12-30 s, '
            'blackout 340 of 500 ms, deadline in 250 s',
            f'{now.phase}, {sentences.where(now)}')
        self.assertEqual((('bandwidth_mib_s',), 'n1', 'n2', False, False),
                         (now.held, now.source, now.destination, now.over, now.waiting))

    def test_nothing_of_it(self):
        now = status_mod.of_plugin({})
        self.assertEqual(('', '', False), (sentences.where(now), now.outcome, now.over))

    @given(strategies.dictionaries(strategies.sampled_from(FIELDS), cases.ANYTHING))
    def test_anything_in_any_field(self, body):
        now = status_mod.of_plugin(body)
        for shown in (sentences.where(now), sentences.ending(now)):
            self.assertTrue(all(one.isprintable() for one in shown), shown)
        self.assertTrue(now.percent is None or 0 <= now.percent <= 100)

    def test_what_is_expected_badly(self):
        self.assertIn('does not converge as it is', sentences.where(plugin(converges=False)))
        self.assertIn('ends at any moment', sentences.where(plugin(
            eta_seconds={'low': 0.2, 'expected': 0.3, 'high': 0.9})))
        self.assertIn('deadline in 250 s, will miss it',
                      sentences.where(plugin(makes_deadline=False)))
        self.assertIn('deadline passed 3 s ago', sentences.where(plugin(deadline_in_seconds=-3)))

    def test_an_end_that_was_missed(self):
        for facts, words in (({'phase': 'passes'}, 'takes longer than expected'),
                             ({'phase': 'passes', 'converges': False}, 'does not converge'),
                             ({'phase': 'passes', 'converges': None}, ''),
                             # There no rate is known at first.
                             ({'phase': 'bulk copy'}, '')):
            self.assertEqual(words, sentences.eta(plugin(eta_seconds=None, **facts))[:len(words)])
            if not words:
                self.assertEqual('', sentences.eta(plugin(eta_seconds=None, **facts)))

    def test_old_figures(self):
        for facts, words in (({'age_seconds': 23.4}, ', no news for 23 s'),
                             ({'age_seconds': None}, ', figures of unknown age'),
                             ({'age_seconds': 4.9}, ', deadline in 250 s'),
                             # libvirt is done with it, and has no more to tell.
                             ({'age_seconds': 23.4, 'phase': 'finishing'}, ', deadline in 250 s'),
                             ({'age_seconds': None, 'phase': 'queued'}, ', deadline in 250 s')):
            self.assertEqual(words, sentences.where(plugin(**facts))[-len(words):])
        self.assertEqual('', sentences.where(plugin(**dict.fromkeys(FIELDS))))

    def test_it_is_over_when_nova_says_so(self):
        self.assertFalse(plugin(outcome='completed', status='running', phase='finishing').over)
        self.assertTrue(plugin(outcome='completed', status='completed').over)
        self.assertTrue(plugin(outcome='failed', status='running', phase='done').over)
        self.assertTrue(plugin(outcome=None, status='error').over)

    def test_it_is_not_while_its_host_still_mends_it(self):
        for phase in ('post-copy', 'finishing', 'aborting'):
            now = plugin(outcome=None, status='error', phase=phase)
            self.assertEqual((False, ''), (now.over, now.outcome))
            held = plugin(outcome='broken', status='error', phase=phase)
            self.assertEqual((True, 'broken'), (held.over, held.outcome))

    def test_how_it_ended(self):
        for said, status, outcome in (
                ('completed', 'completed', 'completed'), (None, 'completed', 'completed'),
                ('cancelled', 'cancelled', 'cancelled'), (None, 'cancelled', 'cancelled'),
                ('failed', 'error', 'failed'), (None, 'failed', 'failed'),
                ('cancelled', 'error', 'cancelled'),    # what Nova 34 itself calls an abort
                ('completed', 'error', 'failed'),       # the guest moved, what followed broke
                ('broken', 'error', 'broken'), ('nonsense', 'running', '')):
            self.assertEqual(outcome, plugin(outcome=said, status=status).outcome, (said, status))


class NovaTest(testtools.TestCase):

    def test_its_figures(self):
        row = {**cloud.migration(), 'memory_total_bytes': 300 * cloud.MIB,
               'memory_processed_bytes': 500 * cloud.MIB, 'memory_remaining_bytes': 75 * cloud.MIB,
               'disk_total_bytes': 0, 'disk_processed_bytes': 0, 'disk_remaining_bytes': 0}
        now = status_mod.of_nova(row)
        self.assertEqual(('running', '75 %, 75 MiB left'), (now.phase, sentences.where(now)))
        later = status_mod.of_nova({**row, 'memory_remaining_bytes': 150 * cloud.MIB}, now)
        self.assertEqual(75, later.percent)

    def test_its_words(self):
        for status, phase, over in (
                ('accepted', 'queued', False), ('queued', 'waiting for a slot', False),
                ('running (post-copy)', 'post-copy', False), ('cancelled', 'done', True),
                ('something new', 'running', False)):
            now = status_mod.of_nova(cloud.migration(status=status))
            self.assertEqual((phase, over), (now.phase, now.over))

    @given(strategies.dictionaries(
        strategies.sampled_from(['status', 'memory_total_bytes', 'memory_remaining_bytes',
                                 'disk_total_bytes', 'source_compute']), cases.ANYTHING))
    def test_anything_in_any_field(self, row):
        now = status_mod.of_nova(row)
        self.assertTrue(now.percent is None or 0 <= now.percent <= 100)
        self.assertTrue(all(one.isprintable() for one in sentences.where(now)))
