# SPDX-License-Identifier: Apache-2.0
"""Records on disk: what cannot be used is set aside, what cannot be done leaves what there is."""

from __future__ import annotations

from concurrent import futures
import errno
import os
import pathlib
import stat
import subprocess
import sys
from unittest import mock

import fixtures
import testtools
from testtools import matchers

from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence as evidence_mod
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy import written
from tests.unit.recovery import cases

ROOT = pathlib.Path(__file__).parents[2]
NAME = f'{cases.MIGRATION}.json'
HERE = """
import os, pathlib, sys
from nova_migpolicy import exception, written
from nova_migpolicy.recovery import record
records = written.Records(pathlib.Path(sys.argv[1]))
old, new = (record.Record.from_bytes(given.encode()) for given in sys.argv[2:])
"""
GREEN = """
import eventlet
eventlet.monkey_patch()
import pathlib, sys
from nova_migpolicy import written
from nova_migpolicy.recovery import record
records = written.Records(pathlib.Path(sys.argv[1]))
made = record.Record.from_bytes(sys.argv[2].encode())
records.keep(made)
pool = eventlet.GreenPool()
def change(name):
    for number in range(20):
        records.change(made.migration, **{name: str(number)})
        eventlet.sleep(0)
for name in ('user_id', 'request_id'):
    pool.spawn(change, name)
pool.waitall()
found, = records.all()
print(found.user_id, found.request_id)
"""


class WrittenTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.state = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.folder = self.state / written.FOLDER
        self.records = written.Records(self.folder)
        self.log = self.useFixture(fixtures.FakeLogger('nova_migpolicy.written'))

    def put(self, content, name=NAME):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)

    def names(self):
        return sorted(os.listdir(self.folder))


class RecordsTest(WrittenTest):

    def test_nothing_is_there_at_first(self):
        self.assertEqual((None, [], ([], []), None), (
            self.records.get(cases.MIGRATION), self.records.all(), self.records.look(),
            self.records.change(cases.MIGRATION, tries=1)))
        self.records.drop(cases.MIGRATION)
        self.assertEqual([], os.listdir(self.state))

    def test_what_is_kept_is_there_after_a_restart(self):
        other = cases.a_record(migration=cases.OTHER, started_s=1.0)
        for one in (cases.a_record(), other):
            self.records.keep(one)
        again = written.Records(self.folder)
        self.assertEqual(cases.a_record(), again.get(cases.MIGRATION))
        self.assertEqual([other, cases.a_record()], again.all())
        self.assertEqual(([other, cases.a_record()], []), again.look())

    def test_one_is_added_only_where_there_is_none(self):
        made = cases.a_record(written=evidence_mod.Written.LOST, destination='')
        self.assertTrue(self.records.add(made))
        self.assertEqual(made, self.records.get(cases.MIGRATION))
        self.assertFalse(self.records.add(cases.a_record()))
        self.assertEqual(made, self.records.get(cases.MIGRATION))
        self.records.release(made, 'root', 1.0)
        self.assertFalse(self.records.add(made))
        self.assertIsNone(self.records.get(cases.MIGRATION))

    def test_a_change(self):
        self.records.keep(cases.a_record())
        changed = self.records.change(
            cases.MIGRATION, written=evidence_mod.Written.POST_COPY, tries=3)
        self.assertEqual(cases.a_record(written=evidence_mod.Written.POST_COPY, tries=3), changed)
        self.assertEqual(changed, self.records.get(cases.MIGRATION))

    def test_a_change_to_what_cannot_be(self):
        self.records.keep(cases.a_record())
        self.assertRaises(exception.BadRecord, self.records.change, cases.MIGRATION, tries=-1)
        self.assertEqual(cases.a_record(), self.records.get(cases.MIGRATION))

    def test_what_is_dropped_stays_away(self):
        self.records.keep(cases.a_record())
        for _ in range(2):
            self.records.drop(cases.MIGRATION)
            self.assertEqual([], self.names())
        self.assertIsNone(self.records.change(cases.MIGRATION, tries=1))

    def test_nobody_else_may_read_it(self):
        self.folder.mkdir(parents=True, mode=0o777)
        self.records.keep(cases.a_record())
        self.assertEqual(0o700, stat.S_IMODE(self.folder.stat().st_mode))
        self.assertEqual(0o600, stat.S_IMODE((self.folder / NAME).stat().st_mode))

    def test_what_is_no_uuid(self):
        for given in ('', 'a', '../x', NAME, f'../{cases.MIGRATION}', None, 5):
            for call in (self.records.get, self.records.drop, self.records.change):
                error = self.assertRaises(exception.BadRecord, call, given)
                self.assertEqual(('migration', given), (error.field, error.value))

    def test_the_folder_is_made_again(self):
        self.records.keep(cases.a_record())
        (self.folder / NAME).unlink()
        self.folder.rmdir()
        self.records.keep(cases.a_record())
        self.assertEqual([cases.a_record()], self.records.all())


class SetAsideTest(WrittenTest):

    def check(self, reason):
        """It is set aside, with one warning that says why."""
        self.assertIsNone(self.records.get(cases.MIGRATION))
        self.assertEqual([NAME + written.SET_ASIDE], self.names())
        self.assertEqual([], self.records.all())
        self.assertIn(f"'{self.folder / NAME}' is not used, and is called "
                      f"'{NAME + written.SET_ASIDE}' now: ", self.log.output)
        self.assertIn(reason, self.log.output)
        self.assertEqual(1, self.log.output.count('\n'))

    def test_torn(self):
        self.put(cases.a_record().to_bytes()[:100])
        self.check('cut off after 100 bytes')

    def test_empty(self):
        self.put(b'')
        self.check('cut off after 0 bytes')

    def test_foreign(self):
        self.put(b'{"format": "libvirt"}\n')
        self.check("format = 'libvirt': it is of another program")

    def test_of_the_future(self):
        self.put(cases.a_record().to_bytes().replace(b'"needs": 1', b'"needs": 2'))
        self.check('needs = 2: a later version of the plugin wrote it')

    def test_of_another_migration(self):
        self.put(cases.a_record(migration=cases.OTHER).to_bytes())
        self.check('the file has the name of another')

    def test_too_large(self):
        self.put(b'')
        os.truncate(self.folder / NAME, 1 << 40)
        self.check('bytes are more than 4194304')

    def test_a_link_is_not_followed(self):
        target = self.state / 'elsewhere'
        target.write_bytes(cases.a_record().to_bytes())
        self.folder.mkdir(parents=True)
        (self.folder / NAME).symlink_to(target)
        self.check('it is a symbolic link')
        self.assertEqual(cases.a_record().to_bytes(), target.read_bytes())

    def test_a_folder(self):
        (self.folder / NAME).mkdir(parents=True)
        self.check('it is not a file')

    def test_a_pipe(self):
        self.folder.mkdir(parents=True)
        os.mkfifo(self.folder / NAME)
        self.check('it is not a file')

    def test_all_of_them_at_once(self):
        self.records.keep(cases.a_record())
        self.put(b'', 'a%s.json')
        self.put(b'1', f'{cases.OTHER}.json')
        self.put(b'x', f'{cases.OTHER}.json.new')
        self.put(b'x', 'notes.txt')
        self.assertEqual([cases.a_record()], self.records.all())
        self.assertEqual(sorted([NAME, 'a%s.json.set-aside', f'{cases.OTHER}.json.set-aside',
                                 'notes.txt']), self.names())
        self.assertEqual(2, self.log.output.count('\n'))

    def test_each_has_its_place(self):
        for _ in range(written.MOST_ASIDE + 5):
            self.put(b'')
            self.assertEqual([], self.records.all())
        self.assertEqual(written.MOST_ASIDE, len(self.names()))

    def test_who_looks_changes_nothing(self):
        self.put(b'', f'{cases.OTHER}.json')
        self.put(b'x', f'{cases.OTHER}.json.new')
        self.put(cases.a_record().to_bytes(), NAME + written.SET_ASIDE)
        before = self.names()
        found, unused = self.records.look()
        self.assertEqual([], found)
        self.assertEqual([f'{cases.OTHER}.json', NAME + written.SET_ASIDE],
                         [one.path.name for one in unused])
        self.assertIn('cut off after 0 bytes', unused[0].reason)
        self.assertIn('give it back its name', unused[1].reason)
        self.assertEqual((before, ''), (self.names(), self.log.output))

    def test_the_place_of_one_is_free_again(self):
        self.put(b'')
        self.records.keep(cases.a_record())
        self.assertEqual(cases.a_record(), self.records.get(cases.MIGRATION))


class Failing:
    """The module os, of which one function fails."""

    def __init__(self, name, number, fails=1):
        self._name, self._error, self._fails = name, OSError(number, os.strerror(number)), fails
        self._os = os

    def __getattr__(self, name):
        if name == self._name and self._fails:
            return self._fail
        return getattr(self._os, name)

    def _fail(self, *args, **kwargs):
        self._fails -= 1
        raise self._error


class ErrorsTest(WrittenTest):
    """What cannot be provoked on any machine; what a full disk does is in the test below, too."""

    def failing(self, name, number, fails=1):
        return mock.patch.object(written, 'os', Failing(name, number, fails))

    def test_each_step_of_keeping_may_fail(self):
        old, new = cases.a_record(), cases.a_record(tries=9)
        for name in ('open', 'write', 'fsync', 'rename', 'close'):
            for number in (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT):
                self.records.keep(old)
                with self.failing(name, number):
                    error = self.assertRaises(exception.RecordNotKept, self.records.keep, new)
                self.assertIsInstance(error, OSError)
                self.assertEqual(f'the record of a migration was not kept in {self.folder / NAME}:'
                                 f' {os.strerror(number)}', str(error))
                self.assertEqual([NAME], self.names())
                self.assertEqual(old, self.records.get(cases.MIGRATION))

    def test_a_folder_that_does_not_come_to_the_disk(self):
        self.records.keep(cases.a_record())
        with mock.patch.object(written, '_sync_folder', side_effect=OSError(errno.EIO, 'bad')):
            self.assertRaises(exception.RecordNotKept, self.records.keep, cases.a_record(tries=9))
        self.assertEqual(cases.a_record(tries=9), self.records.get(cases.MIGRATION))

    def test_where_no_folder_can_be_told_to_come_to_the_disk(self):
        def fsync(handle):
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, 'Invalid argument')
        with mock.patch.object(written.os, 'fsync', fsync):
            self.records.keep(cases.a_record())
            self.records.drop(cases.MIGRATION)
        self.assertEqual([], self.names())

    def test_a_change_that_cannot_be_kept(self):
        self.records.keep(cases.a_record())
        with self.failing('write', errno.ENOSPC):
            self.assertRaises(exception.RecordNotKept, self.records.change, cases.MIGRATION,
                              tries=9)
        self.assertEqual(cases.a_record(), self.records.get(cases.MIGRATION))

    def test_a_folder_that_cannot_be_made(self):
        for name in ('makedirs', 'mkdir'):
            with self.failing(name, errno.EROFS):
                self.assertRaises(exception.RecordNotKept, self.records.keep, cases.a_record())
        self.assertEqual([], self.records.all())

    def test_too_large(self):
        large = cases.a_record(migrate_data={'a': 'x' * record_mod.MOST_BYTES})
        error = self.assertRaises(exception.RecordNotKept, self.records.keep, large)
        self.assertIn('are more than 4194304', str(error))

    def test_what_cannot_be_dropped(self):
        self.records.keep(cases.a_record())
        for name in ('unlink', 'fsync', 'open'):
            with self.failing(name, errno.EROFS):
                error = self.assertRaises(exception.RecordNotDropped, self.records.drop,
                                          cases.MIGRATION)
            self.assertIn('was not removed', str(error))

    def test_not_now_is_not_never(self):
        self.records.keep(cases.a_record())
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO):
            with self.failing('open', number):
                error = self.assertRaises(exception.RecordNotRead, self.records.get,
                                          cases.MIGRATION)
            self.assertIn(os.strerror(number), str(error))
            with self.failing('open', number):
                self.assertEqual([], self.records.all())
            self.assertIn(f'left out for now: {error}', self.log.output)
        self.assertEqual([cases.a_record()], self.records.all())

    def test_a_folder_that_cannot_be_read(self):
        self.records.keep(cases.a_record())
        with self.failing('listdir', errno.EACCES, fails=2):
            self.assertEqual([[], []], [self.records.all() for _ in range(2)])
        self.assertEqual(1, self.log.output.count('Permission denied'))

    def test_what_cannot_be_set_aside_is_told_once(self):
        self.put(b'')
        with self.failing('rename', errno.EROFS, fails=3):
            self.assertEqual([[]] * 3, [self.records.all() for _ in range(3)])
        self.assertEqual(1, self.log.output.count('nor can it be set aside: Read-only'))
        self.assertEqual([NAME], self.names())

    def test_a_leftover_that_cannot_be_removed(self):
        self.put(b'', f'{NAME}.new')
        with self.failing('unlink', errno.EROFS):
            self.assertEqual([], self.records.all())
        self.assertIn('cannot be removed: Read-only', self.log.output)


class RealLimitsTest(WrittenTest):
    """The kernel itself refuses: in a process of its own, with a limit or without a privilege."""

    def run_it(self, program, warning=''):
        done = subprocess.run(
            [sys.executable, '-c', HERE + program, str(self.folder),
             *(one.to_bytes().decode() for one in (cases.a_record(), cases.a_record(tries=9)))],
            cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertThat(done.stderr, matchers.Contains(warning) if warning
                        else matchers.Equals(''))
        return done.stdout

    def test_no_room_left(self):
        self.records.keep(cases.a_record())
        said = self.run_it(
            'import resource, signal\n'
            'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
            'resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n'
            'try: records.keep(new)\n'
            'except exception.RecordNotKept as error: print(error)\n')
        self.assertIn('not kept', said)
        self.assertIn('File too large', said)
        self.assertEqual([NAME], self.names())
        self.assertEqual(cases.a_record(), self.records.get(cases.MIGRATION))

    def test_a_folder_of_another(self):
        self.records.keep(cases.a_record())
        for folder in (self.state, self.folder.parent):
            folder.chmod(0o755)
        (self.folder).chmod(0o555)
        (self.folder / NAME).chmod(0o444)
        said = self.run_it(
            'if os.getuid() == 0: os.setresuid(65534, 65534, 65534)\n'
            'print(records.get(old.migration) == old)\n'
            'for call in (lambda: records.keep(new),\n'
            '             lambda: records.drop(old.migration)):\n'
            '    try: call()\n'
            '    except exception.RecordFileError as error: print(error)\n')
        self.assertEqual(
            'True\n'
            f'the record of a migration was not kept in {self.folder / NAME}: Permission denied\n'
            'the record of a migration was not removed from '
            f'{self.folder / NAME}: Permission denied\n', said)
        self.assertEqual(cases.a_record(), self.records.get(cases.MIGRATION))

    def test_a_record_of_another(self):
        self.records.keep(cases.a_record())
        (self.folder / NAME).chmod(0)
        for folder in (self.state, self.folder.parent, self.folder):
            folder.chmod(0o777)
        self.run_it(
            'if os.getuid() == 0: os.setresuid(65534, 65534, 65534)\n'
            'assert records.get(old.migration) is None\n', warning='Permission denied')
        self.assertEqual([NAME + written.SET_ASIDE], self.names())


class ThreadsTest(WrittenTest):

    def test_no_change_is_lost(self):
        self.records.keep(cases.a_record())
        self.records.keep(cases.a_record(migration=cases.OTHER))
        rounds = 40

        def change(migration, values):
            for value in values:
                self.records.change(migration, **value)

        def watch():
            found = []
            for _ in range(rounds):
                found.append(len(self.records.all()))
                found.append(int(self.records.get(cases.MIGRATION) is not None) + 1)
            return found

        with futures.ThreadPoolExecutor(6) as pool:
            jobs = [
                pool.submit(change, cases.MIGRATION, [
                    {'tries': number} for number in range(rounds)]),
                pool.submit(change, cases.MIGRATION, [
                    {'policy': {'held': {'bandwidth_mib_s': number}}}
                    for number in range(rounds)]),
                pool.submit(change, cases.MIGRATION, [
                    {'undecided': {'since_s': 1, 'kind': 'wait', 'reason': str(number)}}
                    for number in range(rounds)]),
                pool.submit(change, cases.OTHER, [
                    {'tries': number} for number in range(rounds)])]
            seen = pool.submit(watch)
            for job in jobs:
                job.result()
        self.assertEqual({2}, set(seen.result()))
        last = self.records.get(cases.MIGRATION)
        self.assertEqual((rounds - 1, rounds - 1, str(rounds - 1)), (
            last.tries, last.policy['held']['bandwidth_mib_s'], last.undecided['reason']))
        self.assertEqual(rounds - 1, self.records.get(cases.OTHER).tries)
        self.assertEqual('', self.log.output)

    def test_with_green_threads(self):
        self.folder.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, '-c', GREEN, str(self.folder), cases.a_record().to_bytes().decode()],
            cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual((0, '19 19\n'), (done.returncode, done.stdout), done.stderr)
