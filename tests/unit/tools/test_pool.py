# SPDX-License-Identifier: Apache-2.0
"""Lanes that run real classes of tests, in processes of their own."""

import dataclasses
import json
import os
import pathlib
import sys
import textwrap
import time
from unittest import mock

import fixtures
import testtools

import board
import lanes
import pool
import runs

LISTED = [
    {'name': 'tests.x.A', 'tests': ['tests.x.A.one', 'tests.x.A.two'], 'needs': ['34', 'conf'],
     'last': False, 'seconds': None},
    {'name': 'tests.y.B', 'tests': ['tests.y.B.one'], 'needs': ['', ''], 'last': True,
     'seconds': None},
]
MODULE = """
    import atexit
    import os
    import time
    import unittest

    from tests import ending

    def alas():
        raise ValueError('alas')

    class Good(unittest.TestCase):
        def test_one(self):
            print('what a test prints is no part of the stream')
        def test_two(self):
            self.skipTest('because')

    class Bad(unittest.TestCase):
        def test_one(self):
            raise ValueError('alas')
        def test_two(self):
            pass

    class Dies(unittest.TestCase):
        def test_1(self):
            pass
        def test_2(self):
            os._exit(7)
        def test_3(self):
            pass

    class Sleeps(unittest.TestCase):
        def test_one(self):
            time.sleep(600)

    class DiesAtExit(unittest.TestCase):
        def test_one(self):
            atexit.register(os._exit, 9)

    class SleepsAtExit(unittest.TestCase):
        def test_one(self):
            atexit.register(time.sleep, 600)

    class StaysUp(unittest.TestCase):
        def test_one(self):
            ending.at_end(alas)

    class NotSetUp(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            alas()
        def test_one(self):
            pass
        def test_two(self):
            pass

    class Skips(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            raise unittest.SkipTest('because')
        def test_one(self):
            pass
        def test_two(self):
            pass
"""


def how(end_s=600.0, **more):
    return runs.How(board.Board(), time.monotonic() + end_s, **more)


class TestPlan(testtools.TestCase):

    def test_what_is_known_and_what_is_not(self):
        first, second = pool.plan(LISTED, how(), {'tests.x.A': 12.5}, 7)
        self.assertEqual(lanes.Job('tests.x.A', ('tests.x.A.one', 'tests.x.A.two'), '34', 'conf',
                                   12.5), first)
        self.assertEqual(lanes.Job('tests.y.B', ('tests.y.B.one',), seconds=7, last=True), second)

    def test_a_class_may_say_how_long_it_takes(self):
        listed = [{**one, 'seconds': 90} for one in LISTED]
        self.assertEqual([12.5, 90], [
            job.seconds for job in pool.plan(listed, how(), {'tests.x.A': 12.5}, 7)])

    def test_a_part_of_a_class(self):
        [found] = pool.plan(LISTED, how(regex='A.two'), {'tests.x.A': 12.5}, 7)
        self.assertEqual((('tests.x.A.two',), 6.25), (found.tests, found.seconds))

    def test_some_modules(self):
        [found] = pool.plan(LISTED, how(modules=frozenset({'tests.y'})), {}, 7)
        self.assertEqual('tests.y.B', found.name)
        self.assertEqual([], pool.plan(
            LISTED, how(modules=frozenset({'tests.y'}), regex='two'), {}, 7))

    def test_a_record_that_cannot_be_read_is_none(self):
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'record'
        self.assertEqual({}, pool.recorded(path))
        path.write_text('{"a": 1')
        self.assertEqual({}, pool.recorded(path))
        path.write_text('{"a": 1, "b": "soon"}')
        self.assertEqual({'a': 1.0}, pool.recorded(path))


class TestPool(testtools.TestCase):

    def setUp(self):
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.module = f'laned_{os.getpid()}_{self.id().rsplit(".", 1)[-1]}'
        (folder / f'{self.module}.py').write_text(textwrap.dedent(MODULE))
        self.useFixture(fixtures.EnvironmentVariable('PYTHONPATH', str(folder)))
        self.record = folder / 'record.json'
        self.useFixture(fixtures.MockPatchObject(pool, 'RECORD', self.record))
        self.useFixture(fixtures.MockPatchObject(sys, 'stdout', mock.MagicMock()))
        # What is swept away is shown in tests.lab.test_lane.
        self.sweep = self.useFixture(fixtures.MockPatchObject(pool, 'sweep')).mock

    def job(self, name, *tests, seconds=50):
        name = f'{self.module}.{name}'
        return lanes.Job(name, tuple(f'{name}.{test}' for test in tests), seconds=seconds)

    def run_all(self, *jobs, number=1, **more):
        queue = lanes.Queue(jobs, 1)
        return pool.Pool('lanes', queue, how(**more)).run(number)

    def test_outcomes_are_counted(self):
        count = self.run_all(self.job('Good', 'test_one', 'test_two'),
                             self.job('Bad', 'test_one', 'test_two'), number=2)
        self.assertEqual((2, 1, 1), (count.passed, count.failed, count.skipped))
        self.assertEqual([f'{self.module}.Bad.test_one: ValueError: alas'], count.failures)
        self.assertEqual({f'{self.module}.Good', f'{self.module}.Bad'},
                         set(json.loads(self.record.read_text())))

    def test_in_ci_a_skipped_test_has_failed(self):
        count = self.run_all(self.job('Good', 'test_one', 'test_two'), strict=True)
        self.assertEqual((1, 1, 0), (count.passed, count.failed, count.skipped))

    def test_a_lane_that_dies_costs_its_class_and_no_other(self):
        count = self.run_all(self.job('Dies', 'test_1', 'test_2', 'test_3', seconds=60),
                             self.job('Good', 'test_one'))
        self.assertEqual((2, 2, 0), (count.passed, count.failed, count.skipped))
        self.assertIn(f'{self.module}.Dies.test_3: lanes 1 ended with 7 before its end',
                      count.failures)
        self.sweep.assert_called_once_with()

    def test_a_lane_that_dies_after_its_last_class_has_failed(self):
        count = self.run_all(self.job('DiesAtExit', 'test_one'))
        self.assertEqual((1, 1, 0), (count.passed, count.failed, count.skipped))
        self.assertEqual(['lanes 1: ended with 9 in taking down'], count.failures)
        self.sweep.assert_called_once_with()

    def test_a_lane_that_cannot_take_down_has_failed(self):
        count = self.run_all(self.job('StaysUp', 'test_one'))
        self.assertEqual((1, 1, 0), (count.passed, count.failed, count.skipped))
        self.assertEqual(['lanes 1: ended with 1 in taking down: ValueError: alas'],
                         count.failures)

    def test_a_lane_that_hangs_while_it_takes_down_has_failed(self):
        self.useFixture(fixtures.MockPatchObject(pool, 'DOWN_S', 1.0))
        count = self.run_all(self.job('SleepsAtExit', 'test_one'), end_s=30)
        self.assertEqual((1, 1, 0), (count.passed, count.failed, count.skipped))
        self.assertIn('lanes 1: took too long in taking down', count.failures[0])

    def test_a_class_that_hangs_costs_its_lane_and_no_other_class(self):
        self.useFixture(fixtures.MockPatchObject(pool, 'CLASS_S', 1.0))
        good = dataclasses.replace(self.job('Good', 'test_one'), last=True)
        count = self.run_all(self.job('Sleeps', 'test_one', seconds=0.4), good, end_s=300)
        self.assertEqual((1, 1, 0), (count.passed, count.failed, count.skipped))
        self.assertEqual([f'{self.module}.Sleeps.test_one: lanes 1 took too long before its end'],
                         count.failures)

    def test_each_test_of_a_class_that_cannot_be_set_up_has_failed(self):
        count = self.run_all(self.job('NotSetUp', 'test_one', 'test_two'))
        self.assertEqual((0, 3, 0), (count.passed, count.failed, count.skipped))
        self.assertIn(f'{self.module}.NotSetUp.test_two: it did not run', count.failures)

    def test_a_class_that_is_skipped(self):
        count = self.run_all(self.job('Skips', 'test_one', 'test_two'))
        self.assertEqual((0, 0, 1), (count.passed, count.failed, count.skipped))

    def test_a_lane_that_takes_too_long_is_stopped_and_nothing_is_forgotten(self):
        count = self.run_all(self.job('Sleeps', 'test_one', seconds=60),
                             self.job('Good', 'test_one'), end_s=4.0)
        self.assertEqual((0, 2, 0), (count.passed, count.failed, count.skipped))
        self.assertIn('took too long', ' '.join(count.failures))
        self.assertIn(f'{self.module}.Good.test_one: it did not run: no lane came to it',
                      count.failures)

    def test_a_class_that_cannot_be_found(self):
        count = self.run_all(self.job('Nowhere', 'test_one'))
        self.assertEqual(0, count.passed)
        self.assertIn(f'{self.module}.Nowhere.test_one: it did not run', count.failures)

    def hang(self):
        """Let a lane's program not end by itself."""
        program = self.record.with_name('hangs.py')
        program.write_text('import time\ntime.sleep(600)\n')
        self.useFixture(fixtures.MockPatchObject(pool, 'PROGRAM', program))

    def test_a_list_that_takes_too_long(self):
        self.hang()
        error = self.assertRaises(pool.CannotListError, pool.jobs, 'tests/simulation', how(1), 3)
        self.assertEqual('listing tests/simulation took more than 1 s', str(error))

    def test_the_list_of_a_folder(self):
        found = {job.name: job for job in pool.jobs('tests/simulation', how(), 3)}
        self.assertEqual({'tests.simulation.test_recovery', 'tests.simulation.test_slots',
                          'tests.simulation.test_traces'},
                         {name.rpartition('.')[0] for name in found})


class TestBoard(testtools.TestCase):

    def test_a_line_for_all(self):
        told = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'told'
        shown = board.Board()
        self.assertEqual('', shown.line(time.monotonic()))
        shown.set('stack 2', 'FaultTest', told)
        shown.set('lab 1', 'TestLink.test_fast')
        now = time.monotonic() + 40
        self.assertEqual('..   40 s  lab 1: TestLink.test_fast 40 s; stack 2: FaultTest 40 s',
                         shown.line(now))
        told.write_text('making the databases')
        shown.clear('lab 1')
        self.assertEqual('..   40 s  stack 2: FaultTest (making the databases) 40 s',
                         shown.line(now))
