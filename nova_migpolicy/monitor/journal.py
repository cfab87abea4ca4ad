# SPDX-License-Identifier: Apache-2.0
"""What a migration did and why, kept in memory and in a bounded file.

One JSON line a record, oldest first:

``{"at": seconds since the start, "time": ISO 8601, "kind": KIND, ...}``

KIND is ``start`` (policy, origins, facts), ``sample``, ``decision``,
``action`` (what became of one action of a decision), ``retune`` (what a person
changed, and the policy afterwards), ``event`` (anything else worth knowing) or
``end`` (outcome and final figures). Decisions, actions,
starts and ends are always written; samples stop when the file has reached its
bound. It never raises: a full disk must not end a migration.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from collections.abc import Mapping
import datetime
import os
import pathlib
import time
from typing import Any
import uuid

from oslo_log import log as logging
from oslo_serialization import jsonutils

LOG = logging.getLogger(__name__)

# Records kept in memory for each running migration.
MEMORY_RECORDS = 2000
SUFFIX = '.jsonl'
SECONDS_PER_DAY = 86400

Record = dict[str, Any]


class Journal:
    """The record of one migration.

    :param path: its file, or None to keep it in memory alone
    :param started_s: the monitor's clock at the start; `at` counts from it
    :param max_bytes: the bound for samples in the file
    """

    def __init__(self, path: pathlib.Path | None, started_s: float, max_bytes: int) -> None:
        self.path = path
        self.started_s = started_s
        self.max_bytes = max_bytes
        self._records: collections.deque[Record] = collections.deque(maxlen=MEMORY_RECORDS)
        self._latest: dict[str, Record] = {}
        self._written_bytes = 0

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
        self._records.append(record)
        self._latest[kind] = record
        if self.path is not None and (
                kind != 'sample' or self._written_bytes < self.max_bytes):
            self._write(self.path, record)

    def records(self) -> list[Record]:
        """The records in memory, oldest first."""
        return list(self._records)

    def latest(self, kind: str) -> Record | None:
        """The last record of a kind; None where there is none."""
        return self._latest.get(kind)

    def _write(self, path: pathlib.Path, record: Record) -> None:
        try:
            line = jsonutils.dumps(record) + '\n'
            with open(path, 'a', encoding='utf-8') as out:
                out.write(line)
            self._written_bytes += len(line)
        except (OSError, ValueError, TypeError) as error:
            LOG.warning('The journal %s is not written any further: %s', path, error)
            self.path = None


def file_for(folder: pathlib.Path, migration_uuid: str) -> pathlib.Path:
    """The file of a migration.

    :raises ValueError: `migration_uuid` is not a UUID (it becomes a file name)
    """
    return folder / f'{uuid.UUID(migration_uuid)}{SUFFIX}'


def read(path: pathlib.Path) -> Iterator[Mapping[str, Any]]:
    """The records of a file; a line cut short by a crash is left out."""
    with open(path, encoding='utf-8') as lines:
        for line in lines:
            try:
                record = jsonutils.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def prepare_folder(folder: pathlib.Path) -> pathlib.Path | None:
    """Make the folder of journals; None (and a warning) where that cannot be."""
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        LOG.warning('Journals are kept in memory only: %s', error)
        return None
    return folder


def remove_old(folder: pathlib.Path, days: int, now_s: float | None = None) -> int:
    """Remove journals not written for `days` days; returns how many went."""
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
