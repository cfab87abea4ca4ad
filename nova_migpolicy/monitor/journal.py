# SPDX-License-Identifier: Apache-2.0
"""The journal of a migration, kept in memory and in a bounded file.

Each record is one JSON line, oldest first:

``{"at": seconds since the start, "time": ISO 8601, "kind": KIND, ...}``

KIND is ``start`` (policy, origins, facts), ``sample``, ``decision``,
``action`` (the result of one action of a decision), ``retune`` (an operator's
change, and the policy afterwards), ``event`` (anything else worth knowing) or
``end`` (outcome, final figures, and the policy if it was retuned). Samples stop
when the file has reached its bound, all others but the end at twice the bound.
It never raises: a full disk must not end a migration.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from collections.abc import Mapping
import datetime
import os
import pathlib
import threading
import time
from typing import Any
import uuid

from oslo_log import log as logging
from oslo_serialization import jsonutils

from nova_migpolicy.engine import remedies
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

# Records kept in memory for each running migration.
MEMORY_RECORDS = 2000
SUFFIX = '.jsonl'
SECONDS_PER_DAY = 86400

Record = dict[str, Any]


class Journal:
    """The record of one migration.

    Its file may be one that an earlier process has begun: numbers and bound are those of the file.

    :param path: its file, or None to keep it in memory alone
    :param started_s: the monitor's clock at the start; `at` counts from it
    :param max_bytes: the bound for samples in the file; the others have as much again
    """

    def __init__(self, path: pathlib.Path | None, started_s: float, max_bytes: int) -> None:
        self.path = path
        self.started_s = started_s
        self.max_bytes = max_bytes
        # Each with its number, which is that of its line; None where it was left out of the file.
        self._records: collections.deque[tuple[int | None, Record]] = collections.deque(
            maxlen=MEMORY_RECORDS)
        # The operation's thread writes as well, and others read.
        self._lock = threading.Lock()
        self._latest: dict[str, Record] = {}
        # Of the file, once it was looked at.
        self._is_open = False
        self._lines = 0
        self._bytes = 0

    def add(self, kind: str, at_s: float, /, **fields: Any) -> None:
        """Keep a record; `at_s` is on the monitor's clock."""
        record: Record = {
            'at': round(at_s - self.started_s, 3),
            'time': datetime.datetime.now(datetime.timezone.utc).isoformat(
                timespec='milliseconds'),
            'kind': kind,
        }
        # Records of the engine carry the monitor's clock: `at` says it already.
        record.update((name, value) for name, value in fields.items() if name != 'at_s')
        self._latest[kind] = record
        with self._lock:
            # In one: lines and numbers have the same order.
            self._records.append((self._write(kind, record), record))

    @property
    def has_begun(self) -> bool:
        """Whether an earlier process has written the start of the migration."""
        return any(record.get('kind') == vocabulary.START for record in self._earlier())

    def throttle_percent(self) -> int:
        """The last throttle that an earlier process has set; 0 for none."""
        set_to = [record.get('percent') for record in self._earlier()
                  if record.get('action') == remedies.SetThrottle.name and record.get('done')]
        return next((percent for percent in reversed(set_to) if type(percent) is int), 0)

    def outcome(self) -> str | None:
        """The outcome by the last record of an end, of an earlier process too; None for none."""
        found = [record.get('outcome') for record in self.of_kind(vocabulary.END)]
        return found[-1] if found else None

    def of_kind(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """The records of a kind, of an earlier process too, oldest first."""
        known = self.records() if self.path is None else self._earlier()
        return (record for record in known if record.get('kind') == kind)

    def _earlier(self) -> Iterator[Mapping[str, Any]]:
        try:
            yield from read(self.path) if self.path is not None else ()
        except FileNotFoundError:
            return
        except OSError as error:
            LOG.warning('The journal %s cannot be read: %s', self.path, error)

    def records(self) -> list[Record]:
        """The records in memory, oldest first."""
        with self._lock:
            return [record for _, record in self._records]

    def numbered(self) -> list[tuple[int, Record]]:
        """The records in memory, each with its number; the first record ever is number 1.

        Those that were left out of the file, which is full, have none.
        """
        with self._lock:
            return [(number, record) for number, record in self._records if number is not None]

    def latest(self, kind: str) -> Record | None:
        """The last record of a kind; None where there is none."""
        return self._latest.get(kind)

    def _write(self, kind: str, record: Record) -> int | None:
        """Write a record into the file, if there is one, and return its number."""
        if self.path is not None:
            try:
                if not self._append(self.path, kind, record):
                    return None
            except (OSError, ValueError, TypeError) as error:
                LOG.warning('The journal %s is not written any further: %s', self.path, error)
                self.path = None
        self._lines += 1
        return self._lines

    def _append(self, path: pathlib.Path, kind: str, record: Record) -> bool:
        """Write a record, unless the file is full; return whether it was written."""
        if not self._is_open:
            self._look_at(path)
        bound = self.max_bytes * (1 if kind == vocabulary.SAMPLE else 2)
        if kind != vocabulary.END and self._bytes >= bound:
            return False
        line = jsonutils.dump_as_bytes(record) + b'\n'
        with open(path, 'ab') as out:
            out.write(line)
        self._bytes += len(line)
        return True

    def _look_at(self, path: pathlib.Path) -> None:
        """Learn what an earlier process has written; a line that was cut short ends there."""
        with open(path, 'ab+') as file:
            file.seek(0)
            last = b'\n'
            for last in file:
                self._lines += 1
                self._bytes += len(last)
            if not last.endswith(b'\n'):
                file.write(b'\n')
                self._bytes += 1
        self._is_open = True


def file_for(folder: pathlib.Path, migration_uuid: str) -> pathlib.Path:
    """The file of a migration.

    :raises ValueError: `migration_uuid` is not a UUID (it becomes a file name)
    """
    return folder / f'{uuid.UUID(migration_uuid)}{SUFFIX}'


def read(path: pathlib.Path) -> Iterator[Mapping[str, Any]]:
    """Read the records of a file."""
    with open(path, 'rb') as lines:
        yield from (record for record in map(parse, lines) if record is not None)


def parse(line: bytes) -> Mapping[str, Any] | None:
    """The record in a line; None for a line without one, such as one that a crash cut short."""
    try:
        record = jsonutils.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def prepare_folder(folder: pathlib.Path) -> pathlib.Path | None:
    """Make the folder of journals; returns None (with a warning) where that is not possible."""
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        LOG.warning('Journals are kept in memory only: %s', error)
        return None
    return folder


def remove_old(folder: pathlib.Path, days: int, now_s: float | None = None) -> int:
    """Remove journals not written for `days` days; returns their number."""
    limit_s = (time.time() if now_s is None else now_s) - days * SECONDS_PER_DAY
    removed = 0
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name.endswith(SUFFIX)]
    except OSError as error:
        LOG.warning('Old journals in %s were not looked for: %s', folder, error)
        return 0
    for entry in entries:
        try:
            if entry.stat().st_mtime < limit_s:
                os.unlink(entry.path)
                removed += 1
        except OSError as error:
            LOG.warning('The journal %s was not removed: %s', entry.path, error)
    return removed
