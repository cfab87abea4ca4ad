# SPDX-License-Identifier: Apache-2.0
"""Figures and sentences for users to read, and columns that keep tables narrow.

A value from HTTP may be missing, of another type, or hold a tenant's text: each function takes
any value and returns one that can be printed. Nothing here knows about migrations.
"""

from __future__ import annotations

from collections.abc import Mapping
import datetime
import math
import shutil
import textwrap
from typing import Any

from cliff import columns

MIB = 1 << 20
#: No table is wider, in characters.
WIDTH = 100
_NARROWEST = 12


def number(value: object) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None


def text(value: object) -> str:
    """Write a value in one line, without characters that a terminal would obey."""
    if value is None:
        return ''
    if isinstance(value, (list, tuple)):
        return ', '.join(text(one) for one in value)
    if isinstance(value, Mapping):
        return ', '.join(f'{text(key)}={text(one)}' for key, one in value.items())
    if isinstance(value, float) and math.isfinite(value):
        return f'{value:.12g}'
    words = str(value)
    return ''.join(one if one.isprintable() else ' ' for one in words).strip()


def figure(value: object, unit: str = '') -> str:
    """Write a number with only the useful digits; empty if it is not known."""
    known = number(value)
    if known is None:
        return ''
    shown = f'{known:.1f}' if abs(known) < 10 and known != int(known) else f'{known:.0f}'
    return f'{shown} {unit}' if unit else shown


def mib(value: object) -> float | None:
    """Turn bytes into MiB, with one decimal."""
    known = number(value)
    return None if known is None else round(known / MIB, 1)


def span(low: object, high: object) -> str:
    """Write a range of seconds: '12-30 s', '2.5 s', or empty if nothing is known."""
    first, last = figure(low), figure(high)
    if first and last and first != last:
        return f'{first}-{last} s'
    return f'{first or last} s' if first or last else ''


def clock(value: object = None) -> str:
    """Write an ISO 8601 time, or now, as local HH:MM:SS."""
    try:
        when = datetime.datetime.fromisoformat(str(value).replace('Z', '+00:00'))
    except ValueError:
        when = datetime.datetime.now(datetime.timezone.utc)
    return when.astimezone().strftime('%H:%M:%S')


def table_width() -> int:
    """Return the greatest width of a table: the terminal's, 100 characters at most."""
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


class Sentence(columns.FormattableColumn[Any]):
    """A text that is wrapped in tables and whole in every other format.

    :param taken: the characters of the table's width that the other columns take
    """

    def __init__(self, value: object, taken: int) -> None:
        super().__init__(None if value is None else text(value))
        self._room = max(_NARROWEST, table_width() - taken)

    def human_readable(self) -> str:
        """Return the text in lines that fit."""
        return textwrap.fill(self._value or '', self._room, break_on_hyphens=False)


class Plain(columns.FormattableColumn[Any]):
    """A value, a list or a mapping: words in tables, as it is in JSON and YAML.

    :param taken: as of a Sentence
    """

    def __init__(self, value: Any, taken: int = 0) -> None:
        super().__init__(list(value) if isinstance(value, tuple) else value)
        self._room = max(_NARROWEST, table_width() - taken)

    def human_readable(self) -> str:
        """Return the value in words, in lines that fit."""
        return textwrap.fill(text(self._value), self._room, break_on_hyphens=False)
