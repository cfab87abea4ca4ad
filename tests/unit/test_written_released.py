# SPDX-License-Identifier: Apache-2.0
"""A record that an operator has released is gone for good, and its release is used once."""

from __future__ import annotations

from concurrent import futures
import json
import os
import pathlib
import shutil
from unittest import mock

import fixtures
import testtools

from nova_migpolicy import exception
from nova_migpolicy import written
from tests import power_cut
from tests.unit.recovery import cases

NAME = f'{cases.MIGRATION}.json'
RELEASED = f'{NAME}.released'
AT_S = 1795870600.0


class ReleasedTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / written.FOLDER
        self.records = written.Records(self.folder)
        self.log = self.useFixture(fixtures.FakeLogger('nova_migpolicy.written'))
        self.record = cases.a_record()
        self.records.keep(self.record)

    def release(self):
        written.Records(self.folder).release(self.record, 'ann', AT_S)

    def use(self, migration=cases.MIGRATION):
        return self.records.use_release(cases.SERVER, migration)

    def names(self):
        return sorted(os.listdir(self.folder))

    def assert_gone(self):
        """Whoever looks sees no record, and what was in its place goes."""
        self.assertEqual(([], []), self.records.look())
        self.assertIsNone(self.records.get(cases.MIGRATION))
        self.assertEqual([], self.records.all())
        self.assertNotIn(NAME, self.names())

    def test_it_has_the_record_and_who_and_when(self):
        self.assertEqual([], self.records.releases())
        self.release()
        kept = cases.a_record(migrate_data=None, source_bdms=None)
        self.assertEqual([written.Release(kept, 'ann', AT_S)], self.records.releases())
        self.assertEqual([RELEASED], self.names())
        self.assertEqual(0o600, (self.folder / RELEASED).stat().st_mode & 0o777)
        self.assert_gone()

    def test_it_is_used_once(self):
        self.assertIsNone(self.use())
        self.release()
        self.assertIsNone(self.use(cases.OTHER))
        self.assertEqual('ann', self.use().by)
        self.assertIsNone(self.use())
        self.assertEqual([True], [one.is_used for one in self.records.releases()])
        self.assertEqual([], self.records.releases(unused_only=True))
        self.assert_gone()

    def test_of_many_starts_at_once_one_is_allowed(self):
        self.release()
        with futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda number: self.use(), range(32)))
        self.assertEqual(1, len(list(filter(None, found))))

    def test_nova_compute_cannot_bring_it_back(self):
        for use in (lambda: None, self.use):
            self.release()
            use()
            self.assertIsNone(self.records.change(cases.MIGRATION, tries=9))
            error = self.assertRaises(exception.RecordNotKept, self.records.keep, self.record)
            self.assertIn('an operator has released this migration', str(error))
            self.assert_gone()
            for name in self.names():
                (self.folder / name).unlink()
            self.records.keep(self.record)

    def test_nor_at_the_very_moment(self):
        """A change that had looked before, and writes after."""
        replace = written._replace

        def late(folder, name, *more):
            if name == NAME:
                with mock.patch.object(written, '_replace', replace):
                    self.release()
            replace(folder, name, *more)

        with mock.patch.object(written, '_replace', late):
            self.records.change(cases.MIGRATION, tries=9)
        self.assertEqual([NAME, RELEASED], self.names())
        self.assertEqual(([], []), self.records.look())
        self.assert_gone()

    def test_one_that_is_done_meanwhile_is_not_released(self):
        self.records.drop(cases.MIGRATION)
        self.assertRaises(exception.RecordNotKept, self.release)
        self.assertEqual([], self.names())

    def test_cut_off_before_the_record_is_removed(self):
        with mock.patch.object(written.Records, 'drop', side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, self.release)
        self.assertEqual([NAME, RELEASED], self.names())
        self.assert_gone()
        self.assertIsNotNone(self.use())

    def test_it_belongs_to_whom_the_record_does(self):
        owners = []
        with mock.patch.object(written.os, 'fchown',
                               lambda handle, *owner: owners.append(owner)):
            self.release()
        there = self.folder.stat()
        self.assertEqual([(there.st_uid, there.st_gid)], owners)

    def test_what_is_no_release_allows_nothing(self):
        self.release()
        good = json.loads((self.folder / RELEASED).read_bytes())
        for bad in (b'', b'{', b'[]', b'{"format": "x"}', b'\xff',
                    json.dumps({**good, 'format': 'x'}).encode(),
                    json.dumps({**good, 'record': None}).encode(),
                    json.dumps({**good, 'at_s': 'never'}).encode(),
                    json.dumps({**good, 'record': {
                        **good['record'], 'migration': cases.OTHER}}).encode()):
            (self.folder / RELEASED).write_bytes(bad)
            self.assertEqual([], self.records.releases(), bad)
            self.assertIsNone(self.use(), bad)
        self.assertIn('A release is not used', self.log.output)
        self.assert_gone()

    def test_where_the_folder_cannot_be_changed(self):
        self.release()
        with mock.patch.object(written.os, 'rename', side_effect=OSError(30, 'Read-only')):
            self.assertIsNone(self.use())
        self.assertIn('A release cannot be used', self.log.output)


class PowerCutTest(testtools.TestCase):
    """The power is cut at every change of the disk, and at every byte."""

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.FakeLogger('nova_migpolicy.written'))
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.after, self.cuts = root / 'after', set()
        self.disk = power_cut.Disk(root / 'disk', self.cuts.update)
        self.fake = power_cut.Os(self.disk)
        (root / 'disk').mkdir()
        self.records = written.Records(root / 'disk' / written.FOLDER)

    def do(self, call):
        """Return what there may be after a cut in the call, and what there is after its end."""
        with mock.patch.object(written, 'os', self.fake):
            call()
        during = {self.seen(files) for files in self.cuts}
        self.cuts.clear()
        self.disk.changed()
        ended = {self.seen(files) for files in self.cuts}
        self.disk.settle()
        self.cuts.clear()
        return during, ended

    def seen(self, files):
        """How many records there are after a cut, and of releases whether each is used."""
        folder = self.after / written.FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path, content in files:
            (self.after / path).write_bytes(content)
        records = written.Records(folder)
        return len(records.all()), tuple(one.is_used for one in records.releases())

    def test_there_is_the_record_or_its_release(self):
        record = cases.a_record(policy={})
        before, released, used = (1, ()), (0, (False,)), (0, (True,))
        self.do(lambda: self.records.keep(record))
        self.assertEqual(({before, released}, {released}), self.do(
            lambda: self.records.release(record, 'ann', AT_S)))
        self.assertEqual(({released, used}, {used}), self.do(
            lambda: self.records.use_release(record.server, record.migration)))


class HereTest(testtools.TestCase):
    """On a host where nothing is written down of the migration."""

    def setUp(self):
        super().setUp()
        state = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.folder = state / written.FOLDER
        self.folder.parent.mkdir()
        self.records = written.Records(self.folder)
        self.log = self.useFixture(fixtures.FakeLogger('nova_migpolicy.written'))

    def use(self, began_s=AT_S - 1):
        return self.records.use_release_here(cases.SERVER, began_s)

    def test_once_and_for_what_had_begun_before(self):
        self.assertIsNone(self.use())
        self.records.release_here(cases.SERVER, 'ann', AT_S)
        self.assertIsNone(self.records.use_release_here(cases.OTHER, AT_S - 1))
        self.assertIsNone(self.use(AT_S + 1))
        self.assertEqual(written.ReleaseHere(cases.SERVER, 'ann', AT_S), self.use())
        self.assertIsNone(self.use())
        self.assertEqual([True], [one.is_used for one in self.records.released_here(
            cases.SERVER)])

    def test_again_by_another(self):
        for by in ('ann', 'bob'):
            self.records.release_here(cases.SERVER, by, AT_S)
            self.assertEqual(by, self.use().by)

    def test_of_many_starts_at_once_one_is_allowed(self):
        self.records.release_here(cases.SERVER, 'ann', AT_S)
        with futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda number: self.use(), range(32)))
        self.assertEqual(1, len(list(filter(None, found))))

    def test_it_is_no_record_and_no_release_of_one(self):
        self.records.release_here(cases.SERVER, 'ann', AT_S)
        self.use()
        self.records.release_here(cases.SERVER, 'ann', AT_S)
        self.assertEqual(([], [], ([], [])), (
            self.records.all(), self.records.releases(), self.records.look()))
        self.records.keep(cases.a_record(migration=cases.SERVER))
        self.assertEqual(1, len(self.records.all()))

    def test_folder_and_file_are_nova_computes(self):
        if os.getuid():
            self.skipTest('only root can make a file of another user')
        os.chown(self.folder.parent, 65534, 65534)
        self.records.release_here(cases.SERVER, 'ann', AT_S)
        for path, mode in ((self.folder, 0o700),
                           (self.folder / f'{cases.SERVER}.released-here', 0o600)):
            there = path.stat()
            self.assertEqual((65534, 65534, mode), (
                there.st_uid, there.st_gid, there.st_mode & 0o777))

    def test_what_is_no_release(self):
        self.records.release_here(cases.SERVER, 'ann', AT_S)
        path = self.folder / f'{cases.SERVER}.released-here'
        whole = path.read_bytes()
        for wrong in (b'', b'{', b'[]', b'{}', whole[:-1],
                      whole.replace(b'released_here', b'other'),
                      whole.replace(cases.SERVER.encode(), cases.OTHER.encode())):
            path.write_bytes(wrong)
            self.assertIsNone(self.use(), wrong)
        self.assertIn('A release is not used', self.log.output)
        path.write_bytes(whole)
        self.assertIsNotNone(self.use())

    def test_where_it_cannot_be_written(self):
        self.folder.touch()
        self.assertRaises(exception.RecordNotKept, self.records.release_here, cases.SERVER, 'ann',
                          AT_S)
