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
import json
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
#: likewise, of what a destination has prepared
PREPARED = pathlib.Path('migpolicy/prepared')
SUFFIX = '.json'
#: of a file that is about to take the place of one without it
NEW = '.new'
SET_ASIDE = '.set-aside'
#: of a file beside a record that an operator has released, and after it was used
RELEASED = '.released'
USED = '.used'
RELEASE_FORMAT = 'nova_migpolicy.released'
#: of the file of a server that an operator has released on the host that is to start it
HERE = '.released-here'
HERE_FORMAT = 'nova_migpolicy.released_here'
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


@dataclasses.dataclass(frozen=True)
class Release:
    """An operator's word that a server may be started, whatever is not known of its migration.

    record: as it was, without Nova's objects. by: who released it. at_s: when, in seconds since
    the epoch. is_used: it allows nothing any more.
    """

    record: record_mod.Record
    by: str
    at_s: float
    is_used: bool = False


@dataclasses.dataclass(frozen=True)
class ReleaseHere:
    """An operator's word, on the host that is to start a server, that no other runs it.

    by, at_s, is_used: as of a Release. It is for migrations that had begun before.
    """

    server: str
    by: str
    at_s: float
    is_used: bool = False


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

    def add(self, record: record_mod.Record) -> bool:
        """Write a record, unless its migration has one; return whether it was written.

        :raises exception.RecordNotKept: as `keep` does
        :raises exception.RecordNotRead: there may be one, but it cannot be read just now
        """
        name = _name(record.migration)
        with self._lock(name):
            if self._is_released(name) or self._get(name) is not None:
                return False
            self._keep(record)
            return True

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

    def release(self, record: record_mod.Record, by: str, at_s: float) -> None:
        """Set a record aside for good, and let its server be started once.

        Another process may do this: from one moment on the record counts as gone, whatever
        nova-compute writes into its file.

        :param by: the operator
        :param at_s: seconds since the epoch
        :raises exception.RecordNotKept: nothing was changed
        :raises exception.RecordNotDropped: it is released, but a file is still there
        """
        name = _name(record.migration)
        # What may have passwords was for the end of the migration, and is not needed any more.
        kept = dataclasses.replace(record, migrate_data=None, source_bdms=None)
        document = json.dumps({'format': RELEASE_FORMAT, 'version': 1, 'by': by, 'at_s': at_s,
                               'record': kept.to_dict()}, allow_nan=False).encode('ascii')
        try:
            with _opened(self._folder) as folder:
                there = os.stat(name, dir_fd=folder, follow_symlinks=False)
                _replace(folder, name + RELEASED, document, (there.st_uid, there.st_gid))
        except OSError as error:
            raise exception.RecordNotKept(
                str(self._folder / (name + RELEASED)), _reason(error)) from error
        self.drop(record.migration)

    def releases(self, *, unused_only: bool = False) -> list[Release]:
        """Return what was released; those that cannot be read are left out.

        :param unused_only: do not read those that allow nothing any more, which stay for good
        """
        found = []
        try:
            with _opened(self._folder) as folder:
                for name in sorted(os.listdir(folder)):
                    is_used = not unused_only and name.endswith(SUFFIX + RELEASED + USED)
                    if is_used or name.endswith(SUFFIX + RELEASED):
                        try:
                            found.append(_read_release(folder, name, is_used=is_used))
                        except FileNotFoundError:       # used meanwhile
                            pass
                        except (OSError, exception.BadRecord) as error:
                            self._tell(Unused(self._folder / name, _reason(error)),
                                       'A release is not used, %(path)r: %(reason)s')
        except FileNotFoundError:
            pass
        except OSError as error:
            self._tell(Unused(self._folder, _reason(error)),
                       'The records in %(path)r cannot be read: %(reason)s')
        return found

    def use_release(self, server: str, migration: str) -> Release | None:
        """Use the release of a migration of a server up; None where it has none, or had."""
        found = next((one for one in self.releases(unused_only=True) if (
            one.record.server, one.record.migration) == (server, migration)), None)
        if found is None:
            return None
        return found if self._use_up(_name(migration) + RELEASED) else None

    def release_here(self, server: str, by: str, at_s: float) -> None:
        """Let a server be started once on this host, where nothing is written down of it.

        :param server: its UUID
        :raises exception.RecordNotKept: nothing was changed
        """
        name = server + HERE
        document = json.dumps({'format': HERE_FORMAT, 'version': 1, 'server': server, 'by': by,
                               'at_s': at_s}, allow_nan=False).encode('ascii')
        try:
            is_new = not self._folder.is_dir()
            self._make_folder()
            with _opened(self._folder) as folder:
                if is_new:
                    # The operator may be another user than nova-compute, which has to read it.
                    above = os.stat(self._folder.parent)
                    os.fchown(folder, above.st_uid, above.st_gid)
                there = os.fstat(folder)
                _replace(folder, name, document, (there.st_uid, there.st_gid))
        except OSError as error:
            raise exception.RecordNotKept(str(self._folder / name), _reason(error)) from error

    def released_here(self, server: str) -> list[ReleaseHere]:
        """Return the releases of a server for this host: one, and one used, at most."""
        found = []
        for suffix in (HERE, HERE + USED):
            name = server + suffix
            try:
                with _opened(self._folder) as folder:
                    found.append(_read_release_here(folder, name, server))
            except FileNotFoundError:
                pass
            except (OSError, exception.BadRecord) as error:
                self._tell(Unused(self._folder / name, _reason(error)),
                           'A release is not used, %(path)r: %(reason)s')
        return found

    def use_release_here(self, server: str, began_s: float) -> ReleaseHere | None:
        """Use the release of a server for this host up; None where it has none.

        :param began_s: when its migration began, in seconds since the epoch
        """
        found = next((one for one in self.released_here(server)
                      if not one.is_used and began_s <= one.at_s), None)
        return found if found is not None and self._use_up(server + HERE) else None

    def _use_up(self, name: str) -> bool:
        """Let a release allow nothing any more; return whether it did until now."""
        try:
            with _opened(self._folder) as folder:
                os.rename(name, name + USED, src_dir_fd=folder, dst_dir_fd=folder)
                _sync_folder(folder)
        except FileNotFoundError:       # another start was sooner
            return False
        except OSError as error:
            self._tell(Unused(self._folder / name, _reason(error)),
                       'A release cannot be used, %(path)r: %(reason)s')
            return False
        return True

    def _is_released(self, name: str) -> bool:
        return any(os.path.lexists(self._folder / (name + suffix))
                   for suffix in (RELEASED, RELEASED + USED))

    def look(self) -> tuple[list[record_mod.Record], list[Unused]]:
        """Return the records, and the files that are not used, and change nothing.

        :raises OSError: the folder is there, but cannot be read
        """
        found, unused = [], []
        try:
            with _opened(self._folder) as folder:
                for name in sorted(os.listdir(folder)):
                    is_aside = SUFFIX + SET_ASIDE in name
                    is_record = name.endswith(SUFFIX) and not self._is_released(name)
                    try:
                        if is_aside or is_record:
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
        if self._is_released(name):
            raise exception.RecordNotKept(
                str(self._folder / name), 'an operator has released this migration')
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
        if self._is_released(name):
            if os.path.lexists(self._folder / name):
                # Written at the moment of its release.
                self._remove_leftover(name)
            return None
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


def _replace(folder: int, name: str, document: bytes,
             owner: tuple[int, int] | None = None) -> None:
    """Write a file beside the one of this name, and put it into its place.

    :param owner: user and group of the file, where they are not those of this process
    """
    new = name + NEW
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=folder)
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        try:
            if owner is not None:
                os.fchown(handle, *owner)
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


def _content(folder: int, name: str) -> bytes:
    """Read a file that lies in this folder, one byte more than a record may have at most.

    :raises exception.BadRecord: it is no file
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
            return file.read(record_mod.MOST_BYTES + 1)
    finally:
        os.close(handle)


def _read(folder: int, name: str, *, is_aside: bool = False) -> record_mod.Record:
    """Read a record, from nothing but a file that lies in this folder.

    :raises exception.BadRecord: it is none
    :raises OSError: it cannot be read
    """
    found = record_mod.Record.from_bytes(_content(folder, name))
    if is_aside:
        raise exception.BadRecord('migration', found.migration, 'it can be read now, but was set '
                                  'aside; to have it used, give it back its name')
    if name != found.migration + SUFFIX:
        raise exception.BadRecord('migration', found.migration, 'the file has the name of another')
    return found


def _read_release(folder: int, name: str, *, is_used: bool) -> Release:
    """Read a release, as `_read` does a record.

    :raises exception.BadRecord: it is none
    :raises OSError: it cannot be read
    """
    content = _content(folder, name)
    try:
        given = json.loads(content)
        if given['format'] != RELEASE_FORMAT:
            raise exception.BadRecord('format', given['format'], 'it is of another program')
        found = Release(record_mod.Record.from_dict(given['record']), str(given['by']),
                        float(given['at_s']), is_used)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise exception.BadRecord('document', content,
                                  f'it is no release ({type(error).__name__})') from None
    if not name.startswith(found.record.migration + SUFFIX):
        raise exception.BadRecord('migration', found.record.migration,
                                  'the file has the name of another')
    return found


def _read_release_here(folder: int, name: str, server: str) -> ReleaseHere:
    """Read a server's release for this host, as `_read` does a record.

    :raises exception.BadRecord: it is none
    :raises OSError: it cannot be read
    """
    content = _content(folder, name)
    try:
        given = json.loads(content)
        if (given['format'], given['server']) != (HERE_FORMAT, server):
            raise exception.BadRecord('server', given['server'], 'it is of another')
        return ReleaseHere(server, str(given['by']), float(given['at_s']), name.endswith(USED))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise exception.BadRecord('document', content,
                                  f'it is no release ({type(error).__name__})') from None
