# SPDX-License-Identifier: Apache-2.0
"""What logs tell of trouble, record by record: tracebacks and critical lines.

A log is oslo.log's, where each line of a traceback has the prefix of its record, or a program's
plain output. Each trouble is told once and whole: what is still being written is left for the
next look.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import os
import pathlib
import re
from typing import NamedTuple

_TRACEBACK = 'Traceback (most recent call last):'
_PREFIX = re.compile(
    r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \d+ (?P<level>[A-Z]+) (?P<logger>[\w.-]+) ')
# A record begins with who asked; the lines of its traceback have at most the server there.
_FIRST = re.compile(_PREFIX.pattern + r'\[(?!instance: )')
_INSTANCE = re.compile(r'\[instance: [\w-]+\] ?')
_FRAME = re.compile(r'  File "(.*)", line \d+, in (.*)')
_CHAINED = ('During handling of the above exception, another exception occurred:',
            'The above exception was the direct cause of the following exception:')


class Frame(NamedTuple):
    """Where a traceback passes: the file, as Python names it, and the function."""

    path: str
    function: str


@dataclasses.dataclass(frozen=True)
class Trouble:
    """One record of a log with a traceback, or a critical one.

    :ivar text: all of its lines, as they were written
    """

    text: str

    @property
    def logger(self) -> str:
        """Who wrote it; '' in a program's plain output."""
        found = _PREFIX.match(self.text)
        return found['logger'] if found else ''

    @property
    def lines(self) -> list[str]:
        """Its lines without what is before each of them."""
        return [_bare(line) for line in self.text.splitlines()]

    @property
    def frames(self) -> list[Frame]:
        """All frames of all of its tracebacks, in their order."""
        found = map(_FRAME.fullmatch, self.lines)
        return [Frame(*one.groups()) for one in found if one]

    @property
    def errors(self) -> list[str]:
        """What each of its tracebacks ends in: the exception and what it says.

        The last one is what was raised in the end; those before led to it.
        """
        found, inside = [], False
        for line in self.lines:
            if line == _TRACEBACK:
                inside = True
            elif inside and line[:1] not in (' ', '') and line not in _CHAINED:
                found.append(line)
                inside = False
        return found

    def passes(self, path: str, *functions: str) -> bool:
        """Whether a frame is in one of the functions of a file.

        :param path: the file's, from its package on: '/nova/exception.py'
        """
        return any(frame.path.endswith(path) and frame.function in functions
                   for frame in self.frames)


class Tail:
    """Reads logs from where it was the last time; the first time, from their beginning."""

    def __init__(self) -> None:
        # By file, not by name: a log may be moved away and begin anew.
        self._read: dict[tuple[pathlib.Path, int], int] = {}
        self._seen: dict[tuple[pathlib.Path, int], int] = {}

    def troubles(self, paths: Iterable[pathlib.Path]) -> list[tuple[str, Trouble]]:
        """All that is new, each with its log's name."""
        return [(path.name, trouble) for path in paths for trouble in self._new(path)]

    def _new(self, path: pathlib.Path) -> Iterator[Trouble]:
        with open(path, 'rb') as log:
            status = os.fstat(log.fileno())
            file, size = (path, status.st_ino), status.st_size
            begin = self._read.get(file, 0)
            log.seek(begin)
            # Up to the last line that is whole.
            lines = log.read(size - begin).splitlines(keepends=True)
        if lines and not lines[-1].endswith(b'\n'):
            lines.pop()
        grown = size != self._seen.get(file)
        self._seen[file] = size
        records = list(_records([line.decode(errors='replace') for line in lines]))
        if grown and records and _is_open(records[-1]):
            # Its end is still to be written; where nothing more came since, it is as it is.
            del lines[len(lines) - len(records.pop()):]
        self._read[file] = begin + sum(map(len, lines))
        for record in records:
            text = ''.join(record)
            if _TRACEBACK in text or ' CRITICAL ' in text:
                yield Trouble(text)


def troubles(text: str) -> list[Trouble]:
    """The troubles in a text that is part of a log."""
    found = (''.join(record) for record in _records(text.splitlines(keepends=True)))
    return [Trouble(one) for one in found if _TRACEBACK in one or ' CRITICAL ' in one]


def _records(lines: list[str]) -> Iterator[list[str]]:
    """Put lines together that were written as one."""
    record: list[str] = []
    for line in lines:
        if record and (_FIRST.match(line) or (
                line.rstrip() == _TRACEBACK and not _goes_on(record))):
            yield record
            record = []
        record.append(line)
    if record:
        yield record


def _goes_on(record: list[str]) -> bool:
    """Whether a traceback that comes now belongs to the one before it."""
    before = [line.rstrip() for line in record if line.strip()]
    return bool(before) and before[-1] in _CHAINED


def _is_open(record: list[str]) -> bool:
    """Whether it ends in the middle of a traceback."""
    bare = [_bare(line.rstrip('\n')) for line in record]
    if _TRACEBACK not in bare:
        return False
    if _PREFIX.match(record[-1]):
        return bare[-1] != ''       # oslo.log ends with an empty line
    last = [line for line in bare if line][-1]
    return last.startswith(' ') or last in (_TRACEBACK, *_CHAINED)


def _bare(line: str) -> str:
    """A line without what oslo.log puts before it."""
    prefix = _PREFIX.match(line)
    return _INSTANCE.sub('', line[prefix.end():], count=1) if prefix else line
