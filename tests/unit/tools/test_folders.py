# SPDX-License-Identifier: Apache-2.0
"""Whose a work folder is."""

import fcntl
import os
import pathlib

import fixtures
import testtools

from lab import turns
from tests import folders


class TestUnused(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.first = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'a lab'

    def test_each_has_its_own(self):
        names = [folders.unused(self.first).name for _ in range(2)]
        self.assertEqual(['a lab-1', 'a lab-2'], names)

    def test_one_that_its_owner_has_just_removed_is_not_taken(self):
        gone = self.first.with_name('a lab-1')
        lock = fcntl.flock

        def late(fd, operation):
            if gone.exists() and os.path.samestat(os.stat(gone), os.fstat(fd)):
                gone.rmdir()        # its owner's last act, between our open and our lock
            lock(fd, operation)

        self.useFixture(fixtures.MockPatchObject(folders.fcntl, 'flock', late))
        found = folders.unused(self.first)
        self.assertTrue(found.exists(), found)

    def test_nor_one_that_another_has_made_anew(self):
        folder = self.first
        folder.mkdir()
        lock = fcntl.flock

        def late(fd, operation):
            folder.rename(folder.with_name('old'))
            folder.mkdir()
            lock(fd, operation)

        self.useFixture(fixtures.MockPatchObject(folders.fcntl, 'flock', late))
        self.assertIsNone(folders._lock(folder))


class TestTurn(testtools.TestCase):

    def test_one_that_hangs_holds_nobody_for_ever(self):
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'lock'
        said = []
        with turns.turn(path, said.append, ''), turns.turn(path, said.append, 'one', most_s=0.1):
            said.append('beside it')
        self.assertEqual(['waiting: one', 'beside it'], said)

    def test_one_that_ends_in_time_is_waited_for(self):
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'lock'
        path.touch()
        held, other = (os.open(path, os.O_RDONLY) for _ in range(2))
        self.addCleanup(os.close, other)
        fcntl.flock(held, fcntl.LOCK_EX)
        # Told that it waits, the other one ends.
        with turns.turn(path, lambda _line: os.close(held), 'one', most_s=600):
            self.assertRaises(BlockingIOError, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
