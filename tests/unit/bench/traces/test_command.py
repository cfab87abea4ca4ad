# SPDX-License-Identifier: Apache-2.0
"""Scenarios are checked before anything runs, and a trace has one form."""

from __future__ import annotations

import argparse
import dataclasses
import json

import testtools

from bench.traces import command
from bench.traces import scenarios
from bench.traces import trace
from lab import guests
from nova_migpolicy.engine import remedies

GOOD = scenarios.Scenario('good', 'It is good.', guests.Guest('sweep', 128), 40)
STATS = {'memory_remaining': 5, 'memory_processed': 6, 'memory_normal': 7, 'memory_constant': 8,
         'memory_dirty_rate': 9, 'memory_bps': 10, 'disk_total': 11}


def sync(at_s, **more):
    return {'iteration': 1, 'at_s': at_s, 'read_at_s': at_s, **trace.sample(STATS), **more}


def recorded(*times, **end):
    syncs = [sync(at_s) for at_s in times]
    return {'about': GOOD.about, 'versions': {}, 'guest': trace.guest(GOOD),
            'start': trace.start(GOOD, 2.00049), 'actions': [], 'syncs': syncs, 'ticks': [],
            'marks': [],
            'end': trace.end({'memory_processed': 3 << 20, **end}, 'completed', 9.87654, 51.6,
                             syncs)}


class ScenariosTest(testtools.TestCase):

    def test_all_of_the_list_can_be_recorded(self):
        every = scenarios.by_name()
        self.assertEqual([], [text for one in every for text in one.problems()])
        self.assertEqual(len(every), len({one.name for one in every}))

    def test_each_guest_has_an_image(self):
        for one in scenarios.by_name():
            phases, again = one.guest.phases()
            self.assertLess(again, len(phases))
            self.assertTrue(all(phase.set_mib <= one.guest.memory_mib - guests.RESERVED_MIB
                                for phase in phases))

    def test_what_cannot_be_recorded_is_told(self):
        abort, limit = remedies.Abort(), remedies.SetMaxDowntime(1, 1)
        for change, text in (
                ({'name': '../x'}, 'file name'), ({'about': ''}, 'about'),
                ({'guest': guests.Guest('idle', 512)}, 'memory'), ({'cap_mib_s': 200}, 'rate'),
                ({'cap_mib_s': -1}, 'rate'), ({'link_mib_s': 101}, 'rate'),
                ({'limit_ms': 0}, 'limit'), ({'throttle_initial': 100}, 'throttle'),
                ({'then': ((3, limit), (2, abort))}, 'order'), ({'then': ((0, abort),)}, 'order'),
                ({'then': ((1, remedies.SetThrottle(5)),)}, 'throttle'),
                ({'then': ((1, remedies.StartPostCopy()),)}, 'flag'),
                ({'switchover_mib_s': 5}, 'newer')):
            [problem] = dataclasses.replace(GOOD, **change).problems()
            self.assertIn(text, problem)
            self.assertTrue(problem.startswith(change.get('name', 'good')))

    def test_a_name_that_is_not_there(self):
        self.assertEqual(['pause', 'disks'],
                         [one.name for one in scenarios.by_name(['disks', 'pause'])])
        error = self.assertRaises(ValueError, scenarios.by_name, ['disks', 'none'])
        self.assertIn('none', str(error))


class TraceTest(testtools.TestCase):

    def test_it_is_json_with_a_line_for_each_sample(self):
        one = recorded(1.0, 2.0)
        text = trace.dumps(one)
        self.assertEqual(one, json.loads(text))
        self.assertEqual(list(trace.KEYS), list(json.loads(text)))
        self.assertEqual(2, sum(line.startswith('{"iteration"') for line in text.splitlines()))

    def test_a_sample_says_null_for_what_was_not_told(self):
        self.assertEqual(
            {'remaining': 5, 'processed': 6, 'normal': 7, 'constant': 8, 'dirty_pages_s': 9,
             'throttle_percent': None, 'bps': 10}, trace.sample(STATS))
        self.assertEqual(11, trace.sample(STATS, disks=True)['disk_total'])
        self.assertEqual({None}, set(trace.sample({}, disks=True).values()))

    def test_the_end(self):
        end = recorded(1.0, 2.0, downtime=35)['end']
        self.assertEqual((9.877, 52, 35), (end['total_s'], end['blackout_ms'],
                                           end['downtime_ms']))
        self.assertEqual((3 << 20) - 6, end['switchover_bytes'])
        self.assertEqual(0, end['throttle_percent'])
        throttled = [sync(1.0, throttle_percent=30), sync(2.0, throttle_percent=None)]
        late = [sync(1.0, read_at_s=1.2), sync(1.01)]
        self.assertIsNone(trace.end({'memory_processed': 9}, 'completed', 2.0, 5.0, late)
                          ['switchover_bytes'])
        aborted = trace.end({'downtime': 5}, 'aborted', 1.0, None, throttled)
        self.assertEqual(30, aborted['throttle_percent'])
        self.assertEqual({None}, {aborted[key] for key in (
            'downtime_ms', 'blackout_ms', 'switchover_bytes')})

    def test_how_two_recordings_differ(self):
        one = recorded(1.0, 3.0, 4.0)
        self.assertEqual(0.0, trace.difference_percent(one, recorded(1.5, 3.5, 4.5)))
        self.assertEqual(10.0, trace.difference_percent(one, recorded(1.0, 3.0, 3.7)))
        self.assertEqual(25.0, trace.difference_percent(one, recorded(1.0, 3.0, 4.0, 5.0)))
        self.assertEqual(0.0, trace.difference_percent(recorded(), recorded(2.0)))

    def test_versions_as_people_write_them(self):
        self.assertEqual('7.2.22', trace.version(7_002_022))


class RecordTest(testtools.TestCase):

    def test_the_list_runs_nothing(self):
        parser = argparse.ArgumentParser()
        command.arguments(parser)
        found = command.measure(None, parser.parse_args(['--list', '--only', 'disks']), print)
        [line] = command.lines(found)
        self.assertTrue(line.startswith('disks '))

    def test_the_table(self):
        runs = [trace.summary(recorded(1.0, 2.0)) for _ in range(2)]
        runs[1]['blackout_ms'] = None
        head, row = command.lines({'recorded': {'x': {'runs': runs, 'difference_percent': 1.5}}})
        self.assertEqual(len(head), len(row))
        self.assertEqual('x 9.877 9.877 1 1 3.0 3.0 52 - 1.5 %', ' '.join(row.split()))
