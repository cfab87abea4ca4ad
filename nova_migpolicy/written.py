# SPDX-License-Identifier: Apache-2.0
"""The records of migrations on disk: one file for each, which a power cut leaves whole.

A file is written beside the one that it replaces, and takes its place when it is on the disk. What
cannot be used is set aside, under a name that says so, and never stops nova-compute. One process
writes at a time; others may look.
"""

from __future__ import annotations

from collections import abc
import contextlib
import dataclasses
import errno
import logging
import os
import pathlib
import stat
import threading
import typing

from nova_migpolicy import exception
from nova_migpolicy.recovery import record as record_mod

# Not oslo.log: the command on the host looks here, too, and is installed without it.
LOG = logging.getLogger(__name__)

#: below Nova's state_path
FOLDER = pathlib.Path('migpolicy/recovery')
SUFFIX = '.json'
#: of a file that is about to take the place of one without it
NEW = '.new'
SET_ASIDE = '.set-aside'
#: files of one name that are set aside; the last place is taken again
MOST_ASIDE = 100
# With these it is the file that is wrong; after any other it may be read the next time.
_OF_THE_FILE = frozenset({errno.EACCES, errno.EPERM, errno.ENXIO})
# Two migrations may share one, and then wait for each other's file.
_LOCKS = 64


@dataclasses.dataclass(frozen=True)
class Unused:
    """A file that is not used, and why."""

    path: pathlib.Path
    reason: str


class Records:
    """The records of this host's migrations, by the UUID of Nova's record of each.

    Each change is on the disk when the call returns. Any thread may call; those of one migration
    wait for each other.

    :param folder: their place; it is made when it is needed
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._is_made = False
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))
        self._told: set[Unused] = set()

    def keep(self, record: record_mod.Record) -> None:
        """Write a record, in the place of an earlier one of its migration.

        :raises exception.RecordNotKept: it could not be; an earlier one is whole, or this one
            is, if only a power cut can undo it
        """
        with self._lock(_name(record.migration)):
            self._keep(record)

    def get(self, migration: str) -> record_mod.Record | None:
        """Return a migration's record; None where there is none that can be used.

        :raises exception.RecordNotRead: there may be one, but it cannot be read just now
        :raises exception.BadRecord: the migration's id is no UUID
        """
        name = _name(migration)
        with self._lock(name):
            return self._get(name)

    def all(self) -> list[record_mod.Record]:
        """Return all that can be used, by their start; set the others aside. Never raises."""
        found = []
        for name in self._names():
            with self._lock(name.removesuffix(NEW)):
                if name.endswith(SUFFIX + NEW):
                    self._remove_leftover(name)
                    continue
                try:
                    found.append(self._get(name))
                except exception.RecordNotRead as error:
                    self._tell(Unused(self._folder / name, str(error)),
                               'A record is left out for now: %(reason)s')
        return sorted(filter(None, found), key=lambda one: (one.started_s, one.migration))

    def change(self, migration: str, **fields: typing.Any) -> record_mod.Record | None:
        """Write a migration's record with other values; return it, or None where there is none.

        :raises exception.RecordNotKept: as `keep` does
        :raises exception.RecordNotRead: there may be one, but it cannot be read just now
        :raises exception.BadRecord: a value cannot be written down, or the id is no UUID
        """
        name = _name(migration)
        with self._lock(name):
            old = self._get(name)
            if old is None:
                return None
            new = dataclasses.replace(old, **fields)
            self._keep(new)
            return new

    def drop(self, migration: str) -> None:
        """Remove a migration's record, if there is one.

        :raises exception.RecordNotDropped: it could not be removed
        :raises exception.BadRecord: the migration's id is no UUID
        """
        name = _name(migration)
        with self._lock(name):
            try:
                with _opened(self._folder) as folder:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)
                    _sync_folder(folder)
            except FileNotFoundError:
                return
            except OSError as error:
                raise exception.RecordNotDropped(
                    str(self._folder / name), _reason(error)) from error

    def look(self) -> tuple[list[record_mod.Record], list[Unused]]:
        """Return the records, and the files that are not used, and change nothing.

        :raises OSError: the folder is there, but cannot be read
        """
        found, unused = [], []
        try:
            with _opened(self._folder) as folder:
                for name in sorted(os.listdir(folder)):
                    is_aside = SUFFIX + SET_ASIDE in name
                    try:
                        if is_aside or name.endswith(SUFFIX):
                            found.append(_read(folder, name, is_aside=is_aside))
                    except FileNotFoundError:       # gone meanwhile
                        pass
                    except (OSError, exception.BadRecord) as error:
                        unused.append(Unused(self._folder / name, _reason(error)))
        except FileNotFoundError:
            pass
        return found, unused

    def _lock(self, name: str) -> threading.Lock:
        return self._locks[hash(name) % _LOCKS]

    def _keep(self, record: record_mod.Record) -> None:
        name = _name(record.migration)
        try:
            document = record.to_bytes()
            self._make_folder()
            with _opened(self._folder) as folder:
                _replace(folder, name, document)
        except (OSError, exception.BadRecord) as error:
            raise exception.RecordNotKept(str(self._folder / name), _reason(error)) from error

    def _make_folder(self) -> None:
        if self._is_made and self._folder.is_dir():
            return
        os.makedirs(self._folder.parent, 0o750, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._folder, 0o700)
        with contextlib.suppress(PermissionError):      # another user's; the files are ours
            os.chmod(self._folder, 0o700)
        # Whoever made these may have been killed before they were on the disk.
        for above in (self._folder.parent, self._folder.parent.parent):
            with _opened(above) as folder:
                _sync_folder(folder)
        self._is_made = True

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._folder)
                          if name.endswith((SUFFIX, SUFFIX + NEW)))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._tell(Unused(self._folder, _reason(error)),
                       'The records in %(path)r cannot be read: %(reason)s')
            return []

    def _get(self, name: str) -> record_mod.Record | None:
        try:
            with _opened(self._folder) as folder:
                try:
                    return _read(folder, name)
                except exception.BadRecord as error:
                    self._set_aside(folder, name, error)
                except OSError as error:
                    if error.errno not in _OF_THE_FILE:
                        raise
                    self._set_aside(folder, name, error)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise exception.RecordNotRead(str(self._folder / name), _reason(error)) from error
        return None

    def _set_aside(self, folder: int, name: str, why: Exception) -> None:
        there = set(os.listdir(folder))
        places = [name + SET_ASIDE, *(f'{name}{SET_ASIDE}-{number}'
                                      for number in range(2, MOST_ASIDE + 1))]
        place = next((one for one in places if one not in there), places[-1])
        unused = Unused(self._folder / name, _reason(why))
        try:
            os.rename(name, place, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            self._tell(unused, '%(path)r is not used: %(reason)s; nor can it be set aside: '
                       '%(error)s', error=_reason(error))
        else:
            self._tell(unused, '%(path)r is not used, and is called %(place)r now: %(reason)s',
                       place=place)

    def _remove_leftover(self, name: str) -> None:
        try:
            with _opened(self._folder) as folder:
                os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._tell(Unused(self._folder / name, _reason(error)),
                       'What is left of a record, %(path)r, cannot be removed: %(reason)s')

    def _tell(self, unused: Unused, sentence: str, **more: str) -> None:
        """Warn of a file, once for each reason: this is looked at again and again."""
        if unused not in self._told:
            self._told.add(unused)
            LOG.warning(sentence, {'path': str(unused.path), 'reason': unused.reason, **more})


def _name(migration: str) -> str:
    if not record_mod.is_uuid(migration):
        raise exception.BadRecord('migration', migration, 'it is not a UUID')
    return migration + SUFFIX


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


@contextlib.contextmanager
def _opened(folder: pathlib.Path) -> abc.Iterator[int]:
    """Open a folder, so that what is done in it cannot be led elsewhere."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)


def _sync_folder(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        # Some file systems know no such thing as a folder that is not on the disk.
        if error.errno != errno.EINVAL:
            raise


def _replace(folder: int, name: str, document: bytes) -> None:
    """Write a file beside the one of this name, and put it into its place."""
    new = name + NEW
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=folder)
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        try:
            rest = memoryview(document)
            while rest:
                rest = rest[os.write(handle, rest):]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=folder)
        raise
    _sync_folder(folder)


def _read(folder: int, name: str, *, is_aside: bool = False) -> record_mod.Record:
    """Read a record, from nothing but a file that lies in this folder.

    :raises exception.BadRecord: it is none
    :raises OSError: it cannot be read
    """
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise exception.BadRecord('document', b'', 'it is a symbolic link') from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise exception.BadRecord('document', b'', 'it is not a file')
        with open(handle, 'rb', closefd=False) as file:
            found = record_mod.Record.from_bytes(file.read(record_mod.MOST_BYTES + 1))
    finally:
        os.close(handle)
    if is_aside:
        raise exception.BadRecord('migration', found.migration, 'it can be read now, but was set '
                                  'aside; to have it used, give it back its name')
    if name != found.migration + SUFFIX:
        raise exception.BadRecord('migration', found.migration, 'the file has the name of another')
    return found
