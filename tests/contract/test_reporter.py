# SPDX-License-Identifier: Apache-2.0
"""What is written into Nova's database while a migration runs, how often, and who waits for it."""

import pathlib
import threading
import time

import fixtures
from nova import objects

from nova_migpolicy.compute import kept
from nova_migpolicy.compute import nova_records
from nova_migpolicy.compute import saver
from nova_migpolicy.engine import samples
from nova_migpolicy import written
from tests.contract import base

#: for what has to come; nothing waits for so long
LONG_S = 30.0


class Database:
    """Notes what is saved; a save waits while `answers` is clear, and raises `error`."""

    def __init__(self):
        self.saved = []
        self.error = None
        self.answers = threading.Event()
        self.answers.set()
        self.arrived = threading.Semaphore(0)

    def save(self, thing):
        changes = dict(thing.obj_get_changes())
        self.arrived.release()
        self.answers.wait(LONG_S)
        if self.error is not None:
            raise self.error
        thing.obj_reset_changes()
        self.saved.append(changes)

    def written(self, name):
        """The values of a field, as they were saved."""
        return [changes[name] for changes in self.saved if name in changes]


def _save(database):
    def save(thing):
        database.save(thing)

    return save


class TestReporter(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.now_s = 100.0
        self.database = Database()
        for kind in (objects.Migration, objects.Instance):
            self.useFixture(fixtures.MockPatchObject(kind, 'save', _save(self.database)))
        self.server, self.migration = self.instance(), self.migrate_data().migration
        for thing in (self.server, self.migration):
            thing.obj_reset_changes(recursive=True)
        self.records = written.Records(pathlib.Path(self.useFixture(fixtures.TempDir()).path))
        self.kept = kept.Kept(self.records, self.migration.uuid)
        self.reporter = self.make_reporter()

    def make_reporter(self):
        return nova_records.Reporter(self.server, self.migration, lambda: False, 5.0,
                                     lambda: self.now_s, self.kept)

    def begin(self):
        self.reporter.__enter__()
        self.addCleanup(self.reporter.__exit__)
        self.addCleanup(self.database.answers.set)

    def report(self, percent=10, remaining=30, later_s=5.0):
        self.reporter.report(samples.Sample.from_stats(0.0, {
            'memory_total': 100, 'memory_processed': 70, 'memory_remaining': remaining,
            'disk_total': 1000, 'disk_processed': 900, 'disk_remaining': 100}), percent)
        self.now_s += later_s

    def wait_saves(self, count):
        for _ in range(count):
            self.assertTrue(self.database.arrived.acquire(timeout=LONG_S))

    def test_memory_disks_and_percentage(self):
        self.begin()
        self.report(42)
        self.wait_saves(2)
        self.reporter.__exit__()
        record, server = self.database.saved
        self.assertEqual({
            'memory_total': 100, 'memory_processed': 70, 'memory_remaining': 30,
            'disk_total': 1000, 'disk_processed': 900, 'disk_remaining': 100}, record)
        self.assertEqual({'progress': 42}, server)

    def test_no_more_often_than_the_interval(self):
        self.begin()
        for percent in range(20):
            self.report(percent, later_s=0.5)
            if percent in (0, 10):
                self.wait_saves(2)
        self.reporter.__exit__()
        self.assertEqual([0, 10], self.database.written('progress'))

    def test_novas_objects_have_the_same_with_nothing_to_save_and_its_reset_counts(self):
        self.report(42)
        self.reporter.post_copy_started()
        self.assertEqual((100, nova_records.POST_COPY_STATUS, 42), (
            self.migration.memory_total, self.migration.status, self.server.progress))
        # Nova sends them to the destination, which saves what counts as changed.
        self.assertEqual(({}, {}), (
            self.migration.obj_get_changes(), self.server.obj_get_changes()))
        self.server.progress, self.migration.status = 0, 'completed'
        self.assertEqual(({'progress': 0}, {'status': 'completed'}), (
            self.server.obj_get_changes(), self.migration.obj_get_changes()))

    def test_a_save_that_hangs_keeps_nobody_waiting_and_the_newest_wins(self):
        self.database.answers.clear()
        self.begin()
        self.report(1, remaining=90)
        self.wait_saves(1)
        for percent in range(2, 9):
            self.report(percent, remaining=90 - percent)
        self.reporter.post_copy_started()
        self.database.answers.set()
        self.wait_saves(3)
        self.reporter.__exit__()
        self.assertEqual([1, 8], self.database.written('progress'))
        self.assertEqual([90, 82], self.database.written('memory_remaining'))
        self.assertEqual([nova_records.POST_COPY_STATUS], self.database.written('status'))

    def test_a_database_that_fails_is_survived_said_once_and_made_good(self):
        self.database.error = RuntimeError('no database')
        self.begin()
        self.reporter.post_copy_started()
        self.wait_saves(1)
        for percent in range(3):
            self.report(percent)
            self.wait_saves(1)
        self.database.error = None
        self.report(7)
        self.wait_saves(2)
        self.reporter.__exit__()
        self.assertEqual([nova_records.POST_COPY_STATUS], self.database.written('status'))
        self.assertEqual([7], self.database.written('progress'))
        self.assertEqual(1, self.log.output.count('no database'))
        self.assertIn('written again', self.log.output)

    def test_nothing_is_written_after_the_end(self):
        self.database.answers.clear()
        self.begin()
        self.report(1)
        self.wait_saves(1)
        self.report(2)
        # It does not wait for the answer, which never comes here.
        self.reporter.__exit__()
        self.database.answers.set()
        self.reporter._saver._thread.join(LONG_S)
        self.assertFalse(self.reporter._saver._thread.is_alive())
        # What was on its way then is the record's; the server's progress was not.
        self.assertEqual([], self.database.written('progress'))
        self.assertEqual(1, len(self.database.saved))

    def test_the_end_waits_for_what_is_on_its_way(self):
        self.database.answers.clear()
        self.begin()
        self.reporter.post_copy_started()
        self.wait_saves(1)
        ending = threading.Thread(target=self.reporter.__exit__, daemon=True)
        ending.start()
        self.assertEqual([], self.database.saved)
        self.database.answers.set()
        ending.join(LONG_S)
        self.assertEqual([nova_records.POST_COPY_STATUS], self.database.written('status'))

    def test_what_cannot_be_written_at_all_costs_no_migration(self):
        with fixtures.MockPatchObject(objects.Instance, 'obj_clone', side_effect=RuntimeError):
            self.reporter = self.make_reporter()
        self.begin()
        self.report(42)
        with fixtures.MockPatchObject(threading.Thread, 'start', side_effect=RuntimeError('none')):
            with saver.Saver(lambda values: True) as without:
                without.put({'progress': 1})
        self.assertIn('Nothing is saved: none', self.log.output)
        self.assertEqual(42, self.server.progress)
        self.assertEqual([], self.database.saved)

    def test_while_there_is_nothing_to_write_it_looks_after_libvirt(self):
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.compute.saver.IDLE_S', 0.01))
        looked = threading.Event()
        with saver.Saver(lambda values: True, looked.set):
            self.assertTrue(looked.wait(LONG_S))

    def test_the_end_waits_for_that_as_well(self):
        for name, value in (('IDLE_S', 0.01), ('LATE_S', 0.0)):
            self.useFixture(fixtures.MonkeyPatch(f'nova_migpolicy.compute.saver.{name}', value))
        looks, done, happened = threading.Event(), threading.Event(), []

        def look():
            looks.set()
            self.assertTrue(done.wait(LONG_S))
            happened.append('looked')

        def leave():
            thread.__exit__()
            happened.append('left')

        thread = saver.Saver(lambda values: True, look)
        thread.__enter__()
        self.assertTrue(looks.wait(LONG_S))
        ending = threading.Thread(target=leave, daemon=True)
        ending.start()
        self.assertTrue(thread._arrived.wait(LONG_S))
        done.set()
        ending.join(LONG_S)
        self.assertEqual(['looked', 'left'], happened)

    def test_and_while_there_is_always_something_to_write(self):
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.compute.saver.IDLE_S', 0.01))
        looked = threading.Event()

        def save(values):
            # As a call over the bus does: under eventlet nothing else would ever run.
            time.sleep(0)
            thread.put(values)
            return True
        with saver.Saver(save, looked.set) as thread:
            thread.put({'progress': 0})
            self.assertTrue(looked.wait(LONG_S))
