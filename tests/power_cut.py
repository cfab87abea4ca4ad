# SPDX-License-Identifier: Apache-2.0
"""What a power cut may leave of files, at each moment of a program that writes them.

`Os` stands for the module `os`: it does what is asked for, really, and `Disk` notes what that
means. By POSIX nothing is sure to be on the disk before an fsync: of a file it may be any part of
what was written to it since, from its beginning, or as many zeros; of a folder, any choice of the
files that were made, renamed and removed in it.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import itertools
import os
import pathlib
import stat

#: paths below the root, and contents
Files = frozenset[tuple[str, bytes]]


class Killed(BaseException):
    """The process is killed here: no handler of errors runs."""


@dataclasses.dataclass(eq=False)
class File:
    """Contents: the first is on the disk, the last is what is read; a cut leaves any of them."""

    contents: list[bytes]

    def write(self, data: bytes) -> None:
        old = self.contents[-1]
        self.contents += [old + data[:size] for size in range(1, len(data) + 1)]

    def settle(self) -> None:
        self.contents = self.contents[-1:]

    def cuts(self) -> set[bytes]:
        zeros = [bytes(len(self.contents[-1]))] if len(self.contents) > 1 else []
        return {*self.contents, *zeros}


@dataclasses.dataclass(eq=False)
class Folder:
    """Entries that are on the disk, and the changes since; a cut leaves any choice of those.

    A change has the names with their new entries, None where there is none any more.
    """

    entries: dict[str, File | Folder] = dataclasses.field(default_factory=dict)
    changes: list[dict[str, File | Folder | None]] = dataclasses.field(default_factory=list)

    def now(self, changes: abc.Iterable[dict[str, File | Folder | None]] | None = None
            ) -> dict[str, File | Folder]:
        found: dict[str, File | Folder | None] = dict(self.entries)
        for change in self.changes if changes is None else changes:
            found |= change
        return {name: node for name, node in found.items() if node is not None}

    def sync(self) -> None:
        self.entries, self.changes = self.now(), []

    def settle(self) -> None:
        self.sync()
        for node in self.entries.values():
            node.settle()

    def cuts(self) -> set[Files]:
        choices = itertools.chain.from_iterable(
            itertools.combinations(self.changes, number)
            for number in range(len(self.changes) + 1))
        return set(itertools.chain.from_iterable(_files(self.now(chosen)) for chosen in choices))


def _files(entries: dict[str, File | Folder]) -> abc.Iterator[Files]:
    each = [[(name, cut) for cut in node.cuts()] for name, node in entries.items()]
    for chosen in itertools.product(*each):
        found = set()
        for name, cut in chosen:
            if isinstance(cut, bytes):
                found.add((name, cut))
            else:
                found |= {(f'{name}/{path}', content) for path, content in cut}
        yield frozenset(found)


class Disk:
    """A folder, all of which is on the disk, and what happens below it.

    :param seen: is called after each change, with what a power cut may leave then
    """

    def __init__(self, root: pathlib.Path, seen: abc.Callable[[set[Files]], object]) -> None:
        self.root = root
        self._seen = seen
        self._top = Folder()

    def at(self, path: str | pathlib.Path) -> Folder:
        """Return a folder."""
        found: File | Folder = self._top
        for name in pathlib.Path(path).relative_to(self.root).parts:
            assert isinstance(found, Folder)
            found = found.now()[name]
        assert isinstance(found, Folder)
        return found

    def settle(self) -> None:
        """All is on the disk."""
        self._top.settle()

    def changed(self) -> None:
        self._seen(self._top.cuts())

    def files(self) -> dict[str, bytes]:
        """Return what is read if there is no cut."""
        def walk(folder: Folder, above: str) -> abc.Iterator[tuple[str, bytes]]:
            for name, node in folder.now().items():
                if isinstance(node, File):
                    yield above + name, node.contents[-1]
                else:
                    yield from walk(node, f'{above}{name}/')
        return dict(walk(self._top, ''))


class Os:
    """The module `os`, for a program whose files are below a disk's root.

    :ivar kill: the name of a function at which the process is killed
    :param skipped: whether an fsync of this path is left out
    :param in_place: whether a rename is a copy instead, into the file that is there
    """

    _SAME = frozenset({'listdir', 'fstat', 'stat', 'close', 'chmod', 'fchown', 'path'})

    def __init__(self, disk: Disk, skipped: abc.Callable[[str], bool] = lambda path: False,
                 in_place: bool = False) -> None:
        self._disk = disk
        self._skipped = skipped
        self._in_place = in_place
        self._opened: dict[int, tuple[str, File | Folder]] = {}
        self.kill = ''

    def __getattr__(self, name: str) -> object:
        if name.startswith('O_') or name in self._SAME:
            return getattr(os, name)
        raise AssertionError(f'what os.{name} does to a disk is not known here')

    def _folder(self, handle: int) -> Folder:
        folder = self._opened[handle][1]
        assert isinstance(folder, Folder)
        return folder

    def _change(self, folder: Folder, change: dict[str, File | Folder | None]) -> None:
        folder.changes.append(change)
        self._disk.changed()

    def makedirs(self, path, mode=0o777, exist_ok=False):
        os.makedirs(self._disk.root, exist_ok=True)
        parts = pathlib.Path(path).relative_to(self._disk.root).parts
        for number in range(1, len(parts) + 1):
            made = self._disk.root.joinpath(*parts[:number])
            if not (exist_ok and made.is_dir()):
                self.mkdir(made, mode)

    def mkdir(self, path, mode=0o777):
        os.mkdir(path, mode)
        path = pathlib.Path(path)
        self._change(self._disk.at(path.parent), {path.name: Folder()})

    def open(self, path, flags, mode=0o777, *, dir_fd=None):
        handle = os.open(path, flags, mode, dir_fd=dir_fd)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            # Of folders above the root, nothing is at stake.
            is_below = pathlib.Path(path).is_relative_to(self._disk.root)
            self._opened[handle] = str(path), self._disk.at(path) if is_below else Folder()
        elif flags & os.O_CREAT:
            assert flags & os.O_EXCL, 'a file that may be there already'
            file = File([b''])
            self._opened[handle] = path, file
            self._change(self._folder(dir_fd), {path: file})
        return handle

    def write(self, handle, data):
        size = os.write(handle, data)
        self._opened[handle][1].write(bytes(data[:size]))
        self._disk.changed()
        return size

    def fsync(self, handle):
        path, node = self._opened[handle]
        os.fsync(handle)
        if self._skipped(path):
            return
        if isinstance(node, Folder):
            node.sync()
        else:
            node.settle()
        self._disk.changed()

    def rename(self, old, new, *, src_dir_fd, dst_dir_fd):
        if self.kill == 'rename':
            raise Killed
        folder = self._folder(src_dir_fd)
        file = folder.now()[old]
        assert isinstance(file, File)
        assert folder is self._folder(dst_dir_fd)
        os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        there = folder.now().get(new)
        if not self._in_place or not isinstance(there, File):
            self._change(folder, {old: None, new: file})
            return
        there.contents.append(b'')
        there.write(file.contents[-1])
        self._disk.changed()
        there.settle()
        self._change(folder, {old: None})

    def unlink(self, name, *, dir_fd):
        os.unlink(name, dir_fd=dir_fd)
        self._change(self._folder(dir_fd), {name: None})
