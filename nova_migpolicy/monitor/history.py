# SPDX-License-Identifier: Apache-2.0
"""Reads journals for those who ask about a migration: a page of records, its policy, its end.

The same file serves a migration that runs and one that is over, after a restart as well. Nothing
is written here.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import pathlib
from typing import Any

from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import view

# The most records of one page.
PAGE = 1000
# What of the records in the journal is its own business.
_FINAL = ('total_seconds', 'downtime_ms', 'downtime_net_ms', 'memory_sent_bytes',
          'memory_total_bytes', 'disk_sent_bytes', 'passes')

Records = Callable[[], Iterable[Mapping[str, Any]]]


def of_file(path: pathlib.Path) -> Records | None:
    """The records of a journal's file; None where there is no such file."""
    return (lambda: journal_mod.read(path)) if path.is_file() else None


def page(records: Records, after: int, limit: int, kinds: Collection[str]) -> dict[str, Any]:
    """Records from behind number `after` on, each with its number, and where to go on.

    :param after: 0 for the beginning; the first record's number is 1
    :param limit: at most so many, and never more than PAGE
    :param kinds: only these; empty for all
    """
    limit = max(1, min(limit, PAGE))
    found: list[dict[str, Any]] = []
    for number, record in _numbered(records(), after):
        if kinds and record.get('kind') not in kinds:
            continue
        if len(found) == limit:
            return {'records': found, 'next': found[-1]['number']}
        found.append({'number': number, **record})
    return {'records': found, 'next': None}


def _numbered(records: Iterable[Mapping[str, Any]], after: int
              ) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, record in enumerate(records, 1):
        if number > after:
            yield number, record


def policy(records: Records) -> dict[str, Any] | None:
    """The policy that a migration had at last; None where the journal does not say."""
    found: dict[str, Any] | None = None
    for record in records():
        if record.get('kind') in {'start', 'retune'} and 'policy' in record:
            found = {name: record.get(name, empty) for name, empty in (
                ('policy', {}), ('origins', {}), ('problems', []), ('held', {}),
                ('retuned', {}))}
    return found


def progress(records: Records) -> dict[str, Any] | None:
    """How a migration ended; None where its journal has no end."""
    last: dict[str, Mapping[str, Any]] = {}
    for record in records():
        last[str(record.get('kind'))] = record
    end, start = last.get('end'), last.get('start', {})
    if end is None:
        return None
    sample = last.get('sample', {})
    return view.blank(
        phase=view.DONE, started_at=start.get('time'),
        memory=_sizes(sample, 'memory'), disk=_sizes(sample, 'disk'),
        last_decision=view.decision(last.get('decision')), **ending(end))


def ending(end: Mapping[str, Any]) -> dict[str, Any]:
    """What of a view the record of the end tells."""
    final = {name: end.get(name) for name in _FINAL}
    outcome = end.get('outcome')
    return {'percent': 100.0 if outcome == 'completed' else end.get('percent', 0.0),
            'elapsed_seconds': final['total_seconds'], 'outcome': outcome,
            'reason': end.get('reason'), 'final': final, 'eta_seconds': None,
            'converges': None, 'makes_deadline': None}


def _sizes(sample: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {f'{part}_bytes': sample.get(f'{kind}_{part}_bytes')
            for part in ('total', 'processed', 'remaining')}


def is_of(records: Records, server: str) -> bool:
    """Whether a journal is about this server's migration; it begins with saying so."""
    for record in records():
        if record.get('kind') == 'start':
            return record.get('server') == server
    return False
