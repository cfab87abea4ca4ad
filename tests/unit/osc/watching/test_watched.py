# SPDX-License-Identifier: Apache-2.0
"""The state machine of watching: what is seen goes in, lines come out."""

from __future__ import annotations

import testtools

from nova_migpolicy.osc.watching import sentences
from nova_migpolicy.osc.watching import status as status_mod
from nova_migpolicy.osc.watching import watched
from tests.unit.osc import cases
from tests.unit.osc import cloud


def said(lines):
    return [f'{one.kind}: {one.text}' for one in lines]


class WatchTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.watch = watched.Watch('db-1', 7)

    def see(self, now_s=0.0, **facts):
        return said(self.watch.see(now_s, cases.plugin(**facts)))

    def test_the_first_look(self):
        lines = self.see()
        self.assertEqual('phase: passes', lines[0])
        self.assertStartsWith(lines[1], 'progress: 41 %, 50 MiB/s')
        self.assertEqual(2, len(lines))

    def test_it_says_once_what_is_watched(self):
        now = cases.plugin()
        self.assertEqual(['watching: migration 7 of db-1 from n1 to n2'],
                         said(self.watch.greet(now)))
        self.see()
        self.assertEqual([], self.watch.greet(now))
        unknown = cases.plugin(destination_host=None)
        self.assertEqual([], watched.Watch('db-1', 7).greet(unknown))

    def assertStartsWith(self, text, start):
        self.assertEqual(start, text[:len(start)])

    def test_only_what_is_new_is_said_and_where_it_is_now_and_then(self):
        self.see(0.0)
        self.assertEqual([], self.see(1.0, percent=45))
        self.assertEqual([], self.see(4.9, percent=47))
        self.assertEqual(1, len(self.see(5.0, percent=48)))
        self.assertEqual([], self.see(9.0, percent=49))
        self.assertEqual(['phase: finishing'], self.see(9.05, phase='finishing'))
        lines = self.see(9.1, phase='switchover')
        self.assertEqual('phase: switchover', lines[0])
        self.assertStartsWith(lines[1], 'progress: ')

    def test_waiting_says_what_for(self):
        lines = self.see(phase='waiting for a slot', waits_for='1 other runs', percent=None,
                         memory=None, disk=None, bandwidth_mib_s=None, pass_number=None,
                         eta_seconds=None, expected_blackout_ms=None, settings=None,
                         deadline_in_seconds=None)
        self.assertEqual(['phase: waiting for a slot', 'waits: 1 other runs'], lines)
        self.assertTrue(self.watch.view.waiting)

    def wait(self, now_s, waits_for):
        return [line for line in self.see(
            now_s, phase='waiting for a slot', waits_for=waits_for, percent=None, memory=None,
            disk=None, bandwidth_mib_s=None, pass_number=None, eta_seconds=None,
            expected_blackout_ms=None, settings=None, deadline_in_seconds=None)
            if line.startswith('waits')]

    def test_figures_of_a_wait_are_told_seldom(self):
        why = '{} of 9 for an incoming slot on n2 (2 of 2 used by a-1 and {}); about {} s'
        first, then, last = why.format('9th', 'b', 90), why.format('8th', 'c', 70), (
            'for an outgoing slot on n1 (1 of 1 used by d)')
        self.assertEqual([f'waits: {first}'], self.wait(0.0, first))
        for now_s in range(1, 30):
            self.assertEqual([], self.wait(now_s, why.format('8th', 'b', 90 - now_s)))
        self.assertEqual([f'waits: {then}'], self.wait(30.0, then))
        self.assertEqual([], self.wait(90.0, then))
        # What else it waits for is told at once, and so is the same after that.
        self.assertEqual([f'waits: {last}'], self.wait(91.0, last))
        self.assertEqual([f'waits: {then}'], self.wait(92.0, then))
        self.assertEqual([], self.wait(93.0, None))
        self.assertEqual([f'waits: {then}'], self.wait(94.0, then))

    def test_what_libvirt_does_is_told_whenever_it_changes(self):
        for age_s in (5, 6):
            why = f'libvirt, for {age_s} s'
            self.assertIn(f'waits: {why}', self.see(float(age_s), waits_for=why))

    def test_held_settings(self):
        self.see()
        self.assertEqual(['held: by the operator: bandwidth_mib_s'],
                         self.see(1.0, held=['bandwidth_mib_s']))
        self.assertEqual(['held: nothing any more'], self.see(2.0, held=[]))

    def test_how_it_ends(self):
        for outcome, status, ends in (('completed', 'completed', 0), ('cancelled', 'cancelled', 3),
                                      ('failed', 'error', 4), ('broken', 'error', 5)):
            self.watch = watched.Watch('db-1', 7)
            self.assertEqual(1, self.watch.exit_status)
            lines = said(self.watch.see(0.0, status_mod.of_plugin(
                cloud.done(outcome, status)['progress'])))
            self.assertStartsWith(
                lines[-1], f'outcome: {outcome} after 31 s, blackout 286 ms, 501 MiB sent')
            self.assertEqual((True, ends), (self.watch.over, self.watch.exit_status))

    def test_a_reason_is_said_of_what_did_not_complete(self):
        lines = self.see(outcome='cancelled', status='cancelled', final=None, reason='on_stall')
        self.assertEqual('outcome: cancelled: on_stall', lines[-1])

    def test_records_are_told_once_and_with_their_own_time(self):
        records = [cloud.record(3), cloud.record(4, 'sample'),
                   cloud.record(5, 'action', action='set_bandwidth', mib_s=170, done=True)]
        lines = self.watch.hear(records)
        self.assertEqual(['decision: raise_bandwidth: it would not finish',
                          'action: set bandwidth 170 MiB/s: done'], said(lines))
        self.assertEqual('2026-11-20T15:44:41.084+00:00', lines[0].time)
        self.assertEqual(5, self.watch.heard)
        self.assertEqual([], self.watch.hear(records))
        self.assertEqual(2, len(self.watch.story))

    def test_records_without_a_number_are_left_out(self):
        self.assertEqual([], self.watch.hear([{}, {'number': 'x'}, {'kind': 'decision'}]))

    def test_trouble_is_said_once_and_passes(self):
        self.see()
        self.assertEqual(['trouble: No answer. Asking again.'],
                         said(self.watch.miss(1.0, 'No answer.', 60)))
        self.assertEqual([], self.watch.miss(2.0, 'No answer.', 60))
        self.assertEqual(['trouble: Another. Asking again.'],
                         said(self.watch.miss(3.0, 'Another.', 60)))
        self.assertEqual(['note: there are answers again'], self.see(4.0))
        self.assertEqual('', self.watch.trouble)

    def test_trouble_that_stays_is_given_up(self):
        self.see()
        self.watch.miss(1.0, 'No answer.', 60)
        self.watch.miss(60.9, 'No answer.', 60)
        self.assertFalse(self.watch.over)
        lines = self.watch.miss(61.0, 'No answer.', 60)
        self.assertIn('Gave up after 60 s', lines[0].text)
        self.assertIn('may still be under way', lines[0].text)
        self.assertEqual((True, 1), (self.watch.over, self.watch.exit_status))


class SentenceTest(testtools.TestCase):

    def test_of_each_kind(self):
        for record, sentence in (
                (cloud.record(1, 'action', action='start_post_copy', done=False, error='no'),
                 'start post copy: refused: no'),
                (cloud.record(1, 'action', action='set_max_downtime', limit_ms=800,
                              promised_ms=400, done=True),
                 "set max downtime 800 ms for QEMU's limit, 400 ms promised: done"),
                (cloud.record(1, 'retune', values={'bandwidth_mib_s': 400}, released=[]),
                 'by the operator: bandwidth_mib_s=400'),
                (cloud.record(1, 'retune', values={}, released=['bandwidth_mib_s']),
                 'by the operator: released bandwidth_mib_s'),
                (cloud.record(1, 'event', text='it broke'), 'it broke'),
                (cloud.record(1, 'link', seen_mib_s=325.8, held_mib_s=300),
                 'seen_mib_s=325.8, held_mib_s=300'),
                (cloud.record(1, 'end', outcome='failed', reason='no route'), 'failed: no route'),
                (cloud.record(1, 'start', destination='n2', policy={'profile': 'balanced'}),
                 'to n2, profile balanced'),
                (cloud.record(1, 'sample', memory_remaining_bytes=96 << 20,
                              memory_rate_bytes_s=50 << 20, forecast={
                                  'pass_number': 3, 'eta_low_s': 2, 'eta_high_s': 4}),
                 'pass 3, 96 MiB of memory left, 50 MiB/s, ends in 2-4 s'),
                (cloud.record(1, 'sample', forecast='?'), ''),
                ({}, '')):
            self.assertEqual(sentence, sentences.sentence(record))
