# SPDX-License-Identifier: Apache-2.0
"""Read journals to answer requests on a migration: a page of records, its policy, its end.

The same file serves a running migration and one that is over, after a restart as well. Nothing is
written here. A journal may be large, so only part of it is parsed for a request.
"""

from __future__ import annotations

import collections
from collections.abc import Collection
from collections.abc import Mapping
import itertools
import pathlib
from typing import Any, BinaryIO, Protocol

from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import status as status_mod
from nova_migpolicy import vocabulary

# The most records of one page, and the most bytes that are searched for them.
PAGE = 1000
PAGE_BYTES = 16 << 20
# The bytes read of the beginning and of the end of a file.
HEAD_BYTES = 1 << 18
TAIL_BYTES = 1 << 20
# The byte offsets of page ends kept for the next request; at most this many.
PLACES = 1000
_FINAL = ('total_seconds', 'downtime_ms', 'downtime_net_ms', 'memory_sent_bytes',
          'memory_total_bytes', 'disk_sent_bytes', 'passes')

Record = Mapping[str, Any]


class Records(Protocol):
    """A journal in memory or in a file.

    :raises OSError: both do, where it cannot be read
    """

    def start(self) -> Record | None:
        """The record of the start; None where it is not among the first records."""

    def ends(self) -> list[Record]:
        """The records at both ends of the journal, oldest first; all of a short one."""

    def page(self, after: int, limit: int, kinds: Collection[str]) -> dict[str, Any]:
        """The records after number `after`, each with its number, and the number to continue from.

        :param after: 0 for the beginning; the first record's number is 1
        :param limit: at most this many, and never more than PAGE
        :param kinds: only these; empty for all
        """


class MemoryRecords:
    """A journal in memory; records that it has dropped keep their numbers."""

    def __init__(self, journal: journal_mod.Journal) -> None:
        self._journal = journal

    def start(self) -> Record | None:
        """See Records.start; it is kept for ever."""
        return self._journal.latest(vocabulary.START)

    def ends(self) -> list[Record]:
        """See Records.ends."""
        return list(self._journal.records())

    def page(self, after: int, limit: int, kinds: Collection[str]) -> dict[str, Any]:
        """See Records.page."""
        page = _Page(limit, kinds)
        for number, record in self._journal.numbered():
            if number > after and not page.add(number, record):
                return page.to_dict(page.last)
        return page.to_dict(None)


class FileRecords:
    """A journal in a file."""

    # By file and record number, the byte offset after that record.
    _places: collections.OrderedDict[tuple[str, int], int] = collections.OrderedDict()

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def start(self) -> Record | None:
        """See Records.start; the rest is not read for it."""
        left = HEAD_BYTES
        with open(self._path, 'rb') as file:
            for line in file:
                record = journal_mod.parse(line) if b'"start"' in line else None
                if record is not None and record.get('kind') == vocabulary.START:
                    return record
                left -= len(line)
                if left < 0:
                    break
        return None

    def ends(self) -> list[Record]:
        """See Records.ends."""
        with open(self._path, 'rb') as file:
            lines = file.readlines(HEAD_BYTES)
            head, size = file.tell(), file.seek(0, 2)
            file.seek(max(head, size - TAIL_BYTES))
            if file.tell() > head:
                # This is the middle of some line.
                file.readline()
            lines += file.readlines()
        return [record for record in map(journal_mod.parse, lines) if record is not None]

    def page(self, after: int, limit: int, kinds: Collection[str]) -> dict[str, Any]:
        """See Records.page; shorter than it might be where many bytes are to be searched."""
        page = _Page(limit, kinds)
        words = [f'"{kind}"'.encode() for kind in kinds]
        with open(self._path, 'rb') as file:
            place = behind = self._go_behind(file, after)
            enough = place + PAGE_BYTES
            for number, line in enumerate(file, after + 1):
                place += len(line)
                # Most lines need not be parsed.
                if not words or any(word in line for word in words):
                    if not page.add(number, journal_mod.parse(line)):
                        return self._to_be_continued(page, page.last, behind)
                    if page.last == number:
                        behind = place
                # A request that continues from an empty page would begin at the same place.
                if place > enough and page.last and line.endswith(b'\n'):
                    return self._to_be_continued(page, number, place)
        return page.to_dict(None)

    def _go_behind(self, file: BinaryIO, number: int) -> int:
        place = self._places.get((str(self._path), number))
        if place is None:
            return sum(map(len, itertools.islice(file, number)))
        return file.seek(place)

    def _to_be_continued(self, page: _Page, number: int, place: int) -> dict[str, Any]:
        self._places[str(self._path), number] = place
        while len(self._places) > PLACES:
            self._places.popitem(last=False)
        return page.to_dict(number)


class _Page:
    """The records of a page, as they are found."""

    def __init__(self, limit: int, kinds: Collection[str]) -> None:
        self._limit = max(1, min(limit, PAGE))
        self._kinds = kinds
        self._found: list[dict[str, Any]] = []
        self.last = 0

    def add(self, number: int, record: Record | None) -> bool:
        """Add a record if it is wanted; returns False where it is, but the page is full."""
        if record is None or (self._kinds and record.get('kind') not in self._kinds):
            return True
        if len(self._found) == self._limit:
            return False
        self._found.append({**record, 'number': number})
        self.last = number
        return True

    def to_dict(self, following: int | None) -> dict[str, Any]:
        return {'records': self._found, 'next': following}


def policy(records: Records) -> dict[str, Any] | None:
    """The last policy of a migration; None where the journal does not have it."""
    found: dict[str, Any] | None = None
    notes: list[str] = []
    for record in records.ends():
        notes = record.get('notes', notes)
        if 'policy' in record and record.get('kind') in {
                vocabulary.START, vocabulary.RETUNE, vocabulary.END}:
            found = {name: record.get(name, empty) for name, empty in (
                ('policy', {}), ('origins', {}), ('problems', []), ('held', {}),
                ('retuned', {}))}
    return {**found, 'notes': notes} if found is not None else None


def progress(records: Records) -> dict[str, Any] | None:
    """The status of a migration that is over; None where its journal has no end."""
    last = {str(record.get('kind')): record for record in records.ends()}
    end, start = last.get('end'), last.get('start', {})
    if end is None:
        return None
    sample = last.get(vocabulary.SAMPLE, {})
    return vocabulary.blank_status(
        phase=vocabulary.DONE, started_at=start.get('time'),
        memory=_sizes(sample, 'memory'), disk=_sizes(sample, 'disk'),
        last_decision=status_mod.decision(last.get(vocabulary.DECISION)), **ending(end))


def ending(end: Record) -> dict[str, Any]:
    """The fields of a status that the record of the end gives."""
    final = {name: end.get(name) for name in _FINAL}
    outcome = end.get('outcome')
    return {'percent': 100.0 if outcome == vocabulary.COMPLETED else end.get('percent', 0.0),
            'elapsed_seconds': final['total_seconds'], 'outcome': outcome,
            'reason': end.get('reason'), 'final': final, 'eta_seconds': None,
            'converges': None, 'makes_deadline': None}


def _sizes(sample: Record, kind: str) -> dict[str, Any]:
    return {f'{part}_bytes': sample.get(f'{kind}_{part}_bytes')
            for part in ('total', 'processed', 'remaining')}


def is_of(records: Records, server: str) -> bool:
    """Whether a journal is of this server's migration, as its first record says."""
    start = records.start()
    return start is not None and start.get('server') == server
