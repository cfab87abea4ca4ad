# SPDX-License-Identifier: Apache-2.0
"""The power is cut at every change of the disk, and at every byte of every write.

What is read then is the record of before or the one of after; once the call has returned, that of
after. Were an fsync or the rename missing, these tests would tell.
"""

from __future__ import annotations

from collections import abc
import os
import pathlib
import shutil
from unittest import mock

import fixtures
import testtools

from nova_migpolicy.recovery import evidence as evidence_mod
from nova_migpolicy import written
from tests import power_cut
from tests.unit.recovery import cases

FIRST = cases.a_record()
CHANGED = cases.a_record(written=evidence_mod.Written.FINISHING, undecided=None)
LONGER = cases.a_record(source_bdms={'objects': ['x' * 200]})
SHORTER = cases.a_record(source_bdms=None)


def kept(record):
    return lambda records, fake: records.keep(record)


def killed(record):
    """The process is killed before the file that it has written takes its place."""
    def do(records, fake):
        fake.kill = 'rename'
        try:
            records.keep(record)
        except power_cut.Killed:
            fake.kill = ''
    return do


#: what is done, and the record that there is then
STEPS = (
    ('kept first', kept(FIRST), FIRST),
    ('changed', lambda records, fake: records.change(
        FIRST.migration, written=CHANGED.written, undecided=None), CHANGED),
    ('kept longer', kept(LONGER), LONGER),
    ('killed', killed(SHORTER), LONGER),
    ('kept after that', kept(SHORTER), SHORTER),
    ('killed again', killed(FIRST), SHORTER),
    ('cleared', lambda records, fake: records.all(), SHORTER),
    ('dropped', lambda records, fake: records.drop(FIRST.migration), None),
    ('kept once more', kept(FIRST), FIRST),
    ('dropped once more', lambda records, fake: records.drop(FIRST.migration), None),
)


#: what is read after a cut does not depend on the test
FOUND: dict[power_cut.Files, object] = {}


class PowerCutTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.after = self.root / 'after a cut'
        #: of the cuts with the same files, one
        self.shapes: dict[frozenset[str], power_cut.Files] = {}
        #: what has ever been left of a file that was being written
        self.sizes: set[int] = set()

    def lay(self, files):
        """Make the folder of the records as it is after a cut."""
        folder = self.after / written.FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for path, content in files:
            (self.after / path).write_bytes(content)
        return folder

    def find(self, files):
        """What is read after a cut: a record, None, or what is wrong."""
        if files not in FOUND:
            FOUND[files] = self._find(files)
        return FOUND[files]

    def _find(self, files):
        folder = self.lay(files)
        records = written.Records(folder)
        alone, found = records.get(FIRST.migration), records.all()
        if [alone] * (alone is not None) != found:
            return f'one by one {alone}, all in all {found}'
        left = set(os.listdir(folder)) - {f'{FIRST.migration}.json'}
        return f'there is {sorted(left)}' if left else alone

    def wrong(self, skipped=lambda path: False, in_place=False, settles=True):
        """The steps in which a cut is not survived, and whether they were over by then.

        :param settles: after each step all comes to the disk in time, as it does
        :returns: by step and whether it was over, what was found
        """
        root = self.root / 'disk'
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        self.cuts: set[power_cut.Files] = set()
        self.last: set[power_cut.Files] = set()
        disk = power_cut.Disk(root, self._seen)
        fake = power_cut.Os(disk, skipped, in_place)
        records = written.Records(root / written.FOLDER)
        found: dict[tuple[str, bool], list[object]] = {}
        before = None
        for name, do, after in STEPS:
            self.cuts = set(self.last)
            with mock.patch.object(written, 'os', fake):
                do(records, fake)
            for is_over, cuts, right in ((False, self.cuts, (before, after)),
                                         (True, self.last, (after,))):
                for what in map(self.find, cuts):
                    if what not in right and what not in found.setdefault((name, is_over), []):
                        found[name, is_over].append(what)
            before = after
            if settles:
                disk.settle()
        self.assertEqual({str(path.relative_to(root)): path.read_bytes()
                          for path in root.rglob('*') if path.is_file()}, disk.files())
        return {key: bad for key, bad in found.items() if bad}

    def _seen(self, cuts: abc.Set[power_cut.Files]) -> None:
        self.cuts |= cuts
        self.last = cuts
        for files in cuts:
            self.shapes[frozenset(path for path, _ in files)] = files
            self.sizes |= {len(content) for path, content in files if path.endswith('.new')}

    def test_every_cut_is_survived(self):
        self.assertEqual({}, self.wrong(settles=False))
        self.assertEqual({*range(len(LONGER.to_bytes()) + 1)}, self.sizes)

    def test_after_every_cut_the_next_is_kept(self):
        self.wrong(settles=False)
        self.assertEqual(4, len(self.shapes))
        for files in self.shapes.values():
            folder = self.lay(files)
            records = written.Records(folder)
            records.keep(CHANGED)
            self.assertEqual(CHANGED, records.get(CHANGED.migration))
            self.assertEqual([f'{CHANGED.migration}.json'],
                             [path.name for path in folder.iterdir()])

    def test_without_fsync_of_the_file(self):
        found = self.wrong(lambda path: path.endswith('.new'))
        for name in ('kept first', 'changed', 'kept longer', 'kept after that', 'kept once more'):
            self.assertIn(f"there is ['{FIRST.migration}.json.set-aside']", found[name, True])

    def test_without_fsync_of_the_folder(self):
        found = self.wrong(lambda path: path.endswith(written.FOLDER.name))
        self.assertIn(None, found['kept first', True])
        self.assertIn(FIRST, found['changed', True])
        self.assertIn(SHORTER, found['dropped', True])

    def test_without_fsync_of_the_folders_above(self):
        above = pathlib.Path(self.root / 'disk' / written.FOLDER).parent
        for one in (above, above.parent):
            found = self.wrong(lambda path, one=one: path == str(one))
            self.assertEqual([None], [*set(found['kept first', True])])

    def test_without_the_rename(self):
        found = self.wrong(in_place=True)
        self.assertIn(f"there is ['{FIRST.migration}.json.set-aside']", found['changed', False])
