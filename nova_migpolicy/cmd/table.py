# SPDX-License-Identifier: Apache-2.0
"""Prints trials for people: a row for each policy, then what was decided under each, and why.

The same text with or without rich; where it is installed and the output is a terminal, it has
colours.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import shutil
import textwrap
import typing

from nova_migpolicy.cmd import trial as trial_mod
from nova_migpolicy.cmd import verdict

WIDTH = 100
NARROWEST = 60
_NAME, _SHORT_NAME = 30, 16
_LEAST_COLUMNS = 3
_LEFT = ('policy', 'outcome')
_STYLES = {'completes': 'green', 'is aborted': 'yellow', 'runs on': 'red'}
_TIME = 12
# Somebody who reads more than this of one policy wants JSON.
_MOST_DECISIONS = 40


@dataclasses.dataclass(frozen=True)
class Line:
    """A line and how it looks on a terminal: '' for plainly."""

    text: str = ''
    style: str = ''


def width() -> int:
    """How wide the output may be."""
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def lines(intro: abc.Sequence[str], trials: abc.Sequence[trial_mod.Trial],
          room: int) -> abc.Iterator[Line]:
    """All lines, none of them wider than the room."""
    for text in intro:
        yield from (Line(one) for one in _wrapped(text, room))
    yield Line()
    yield from _table(trials, room)
    for trial in trials:
        yield Line()
        yield from _story(trial, room)


def _wrapped(text: str, room: int, indent: str = '', hang: str | None = None) -> list[str]:
    return textwrap.wrap(text, room, initial_indent=indent, break_on_hyphens=False,
                         subsequent_indent=indent if hang is None else hang)


def _short(name: str, room: int) -> str:
    return name if len(name) <= room else name[:room - 3] + '...'


def _table(trials: abc.Sequence[trial_mod.Trial], room: int) -> abc.Iterator[Line]:
    """The row of each policy; where there is no room, the last columns are left out."""
    rows = list(map(verdict.cells, trials))
    heads = verdict.COLUMNS
    wide = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    wide[0] = min(wide[0], _NAME)
    while sum(wide) + 2 * (len(wide) - 1) > room and len(wide) > _LEAST_COLUMNS:
        if wide[0] > _SHORT_NAME and len(wide) == len(verdict.COLUMNS):
            wide[0] -= 1
        else:
            wide.pop()

    def joined(row: abc.Iterable[str]) -> str:
        return '  '.join(
            _short(cell, size).ljust(size) if head in _LEFT else cell.rjust(size)
            for head, cell, size in zip(heads, row, wide, strict=False)).rstrip()

    yield Line(joined(heads), 'bold')
    yield Line('  '.join('-' * size for size in wide), 'dim')
    for row in rows:
        yield Line(joined(row), _STYLES.get(row[1], 'dim'))


def _story(trial: trial_mod.Trial, room: int) -> abc.Iterator[Line]:
    yield from (Line(one, 'bold') for one in _wrapped(
        f'{trial.case.name} {verdict.verdict(trial)}', room))
    for warning in (*trial.case.warnings, *trial.notes):
        yield from (Line(one, 'yellow') for one in _wrapped(
            f'  note: {warning}', room, hang=' ' * 8))
    if trial.run is None:
        return
    decisions = trial.run.decisions
    if not decisions:
        yield Line('  nothing had to be decided', 'dim')
    for decision in decisions[:_MOST_DECISIONS]:
        when = f'{decision.at_s:,.1f} s'.rjust(_TIME - 2)
        yield from (Line(one) for one in _wrapped(
            f'{when}  {decision.reason}', room, hang=' ' * _TIME))
    if len(decisions) > _MOST_DECISIONS:
        yield Line(f'  ... and {len(decisions) - _MOST_DECISIONS} more decisions (see -f json)',
                   'dim')


def show(found: abc.Iterable[Line], stream: typing.TextIO) -> None:
    """Print lines, with colours where the stream and the machine have them."""
    try:
        from rich import console as rich_console
    except ImportError:
        stream.writelines(f'{line.text}\n' for line in found)
        return
    console = rich_console.Console(file=stream, highlight=False, markup=False, emoji=False)
    for line in found:
        console.print(line.text, style=line.style or None, soft_wrap=True)
