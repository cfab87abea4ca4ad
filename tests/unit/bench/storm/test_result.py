# SPDX-License-Identifier: Apache-2.0
"""From what was seen of a storm to its figures."""

from __future__ import annotations

import json

import testtools

from bench.storm import plan
from bench.storm import result
from tests.unit.bench.storm import cases


class TestMove(testtools.TestCase):

    def test_one_that_arrives(self):
        one = cases.move()
        self.assertTrue(one.has_arrived)
        self.assertEqual([('waiting', 0.1, 2.0), ('copying', 2.0, 5.0), ('switchover', 5.0, 5.25),
                          ('finishing', 5.25, 6.0)], one.spans())

    def test_a_first_beat_after_the_job(self):
        self.assertEqual(('finishing', 5.25, 5.25), cases.move(ended_s=5.2).spans()[-1])

    def test_arrived_is_what_all_say(self):
        for wrong in ({'outcome': 'error'}, {'homes': ('n1',)}, {'homes': ('n1', 'n3')},
                      {'homes': ()}, {'left_s': None, 'came_s': None, 'blackout_ms': None}):
            self.assertFalse(cases.move(**wrong).has_arrived, wrong)

    def test_one_that_is_aborted(self):
        self.assertEqual([('waiting', 0.1, 2.0), ('copying', 2.0, 6.0)], cases.lost().spans())

    def test_one_that_never_flows(self):
        one = cases.lost(flowed_s=None, ended_s=None, settled_s=9.0)
        self.assertEqual(9.0, one.over_s)
        self.assertEqual([('waiting', 0.1, 9.0)], one.spans())

    def test_one_that_is_not_over(self):
        self.assertEqual([], cases.lost(ended_s=None, settled_s=None).spans())


class TestStorm(testtools.TestCase):

    def test_figures(self):
        storm = cases.storm(cases.move('a'), cases.move('b', blackout_ms=100.0, ended_s=7.0),
                            cases.move('c', blackout_ms=130.0), cases.lost(sent_bytes=30 << 20))
        self.assertEqual(['a', 'b', 'c'], [one.name for one in storm.arrived])
        self.assertEqual((7.0, 3.5, 5.0), (storm.makespan_s, storm.share, storm.flowing_s))
        self.assertEqual([100.0, 130.0, 250.0], storm.blackouts_ms())
        self.assertEqual((210, 60), (storm.sent_bytes / plan.MIB, storm.resent_bytes / plan.MIB))
        self.assertEqual({'error': 1}, storm.outcomes())
        self.assertEqual(('ours-2', '3 of 4', '7.0', '3.50', '5.0', '130', '250', '1 of 2', '210',
                          '60'), result.cells(storm))
        self.assertEqual(['ours-2: max_incoming 2; not arrived: 1 error'], result.told([storm]))
        self.assertEqual(['ours-2: max_incoming 2; not arrived: 1 error', '  lost: stalled'],
                         result.told([cases.storm(cases.lost(why='stalled'))]))

    def test_nobody_flows(self):
        self.assertEqual(0.0, cases.storm(cases.lost(flowed_s=None)).flowing_s)

    def test_nobody_arrives(self):
        storm = cases.storm(cases.lost(ended_s=301.0, outcome='cancelled', overdue=True))
        self.assertEqual(('ours-2', '0 of 1', '> 301.0', '> 150.50', '299.0', '-', '-', '1 of 2',
                          '60', '60'), result.cells(storm))
        self.assertEqual({'at the timeout': 1}, storm.outcomes())
        self.assertIsNone(storm.to_dict()['figures']['blackout_p50_ms'])

    def test_completed_for_nova_alone(self):
        storm = cases.storm(cases.move(homes=('n1', 'n3')), cases.move(homes=()))
        self.assertEqual({'completed, but runs on n1 and n3': 1,
                          'completed, but runs on no host': 1}, storm.outcomes())

    def test_a_limit_that_is_exceeded(self):
        storm = cases.storm(cases.move(), incoming=((0.0, 0), (1.0, 2), (1.5, 3), (2.0, 0)))
        self.assertFalse(storm.is_within)
        self.assertIn('3 of 2 EXCEEDED', result.cells(storm))
        self.assertTrue(cases.storm(cases.move(), incoming=((0.0, 0), (1.0, 2))).is_within)

    def test_to_a_file_and_back(self):
        storm = cases.storm(cases.move(), cases.lost())
        written = json.loads(json.dumps(storm.to_dict()))
        self.assertEqual(storm, result.Storm.from_dict(written))
        self.assertEqual(1, written['figures']['arrived'])
        self.assertEqual(250.0, written['figures']['blackout_max_ms'])


class TestCounted(testtools.TestCase):

    def test_as_they_come_and_go(self):
        self.assertEqual(((0.0, 0), (1.0, 1), (2.0, 2), (3.0, 1), (4.0, 2), (5.0, 1), (6.0, 0)),
                         result.counted([
                             (1.0, 'a', True), (2.0, 'b', True), (3.0, 'a', False),
                             (4.0, 'c', True), (5.0, 'b', False), (6.0, 'c', False)]))

    def test_one_that_stops_later_counts_once(self):
        self.assertEqual(((0.0, 0), (1.0, 1), (2.0, 0)), result.counted([
            (1.0, 'a', True), (2.0, 'a', False), (9.0, 'a', False)]))
