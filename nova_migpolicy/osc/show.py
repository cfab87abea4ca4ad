# SPDX-License-Identifier: Apache-2.0
"""The commands that only read: a migration's policy, its progress and its timeline."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from urllib import parse

from nova_migpolicy.osc import base
from nova_migpolicy.osc import find
from nova_migpolicy.osc import http
from nova_migpolicy.osc.watching import sentences
from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

_PAGE = 1000


class ShowPolicy(base.Lister):
    """Show the policy that is in force for a live migration, and the source of each value.

    The names of the keys end in their units. A held value was set by an operator while it ran: the
    plugin leaves it alone until it is released.
    """

    examples = (
        ('server migration policy show db-1', 'the migration of db-1 that is under way'),
        ('server migration policy show db-1 42 -f json', 'all columns, for a program'),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        base.add_migration(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return a row for each key."""
        api = self.api()
        path = self.migration(api, parsed_args).path
        found = base.mapping(api.ours('GET', f'{path}/policy')[1], 'policy')
        for field, said in (('problems', 'Not as asked: %s'), ('notes', 'Note: %s')):
            told = found.get(field)
            for sentence in told if isinstance(told, list) else ():
                self.log.warning(said, words.text(sentence))
        columns = (base.Column('Key'), base.Column('Value'), base.Column('Unit', base.MACHINES),
                   base.Column('Origin'), base.Column('Clamped', base.MACHINES),
                   base.Column('Held'))
        return base.table(parsed_args, columns, _policy_rows(base.mapping(found, 'fields')))


def _policy_rows(fields: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    width = words.table_width()
    for key, one in fields.items():
        facts = one if isinstance(one, Mapping) else {}
        value = facts.get('value')
        yield (key, base.Words(value, width - (22 if width > 90 else 14)),
               facts.get('unit'), words.Sentence(facts.get('origin'), 66 if width > 90 else 58),
               facts.get('clamped'), words.Plain(facts.get('held'), width - 12))


class ShowProgress(base.ShowOne):
    """Show a live migration's progress, its expected end, and the last decision.

    It works in each phase, and for some days after the end, with the final figures. A table leaves
    out figures that are not known (yet); the other formats show them as null.
    """

    examples = (
        ('server migration policy progress db-1', 'where the migration of db-1 is'),
        ('server migration policy progress db-1 -f value -c percent -c phase',
         'two figures, for a script'),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        base.add_migration(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return the figures."""
        api = self.api()
        path = self.migration(api, parsed_args).path
        found = base.mapping(api.ours('GET', f'{path}/progress')[1], 'progress')
        return base.fields(parsed_args, _progress(found))


def _as_it_is(value: Any) -> Any:
    return value


def _sentence(decision: Any) -> str | None:
    if not isinstance(decision, Mapping):
        return None
    return sentences.sentence({**decision, 'kind': vocabulary.DECISION})


#: the fields shown, in their order: where they are in a status, and how they are shown
_FIELDS: Mapping[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    **{name: ((name,), _as_it_is) for name in (
        'server_id', 'migration_id', 'migration_uuid', 'status', 'source_host',
        'destination_host', 'phase', 'waits_for', 'percent', 'age_seconds', 'started_at',
        'elapsed_seconds')},
    **{f'{what}_{part}_mib': ((what, f'{part}_bytes'), words.mib)
       for what in ('memory', 'disk') for part in ('total', 'processed', 'remaining')},
    **{name: ((name,), _as_it_is) for name in (
        'bandwidth_mib_s', 'dirty_mib_s', 'throttle_percent', 'pass_number')},
    **{f'setting_{name}': (('settings', name), _as_it_is) for name in (
        'bandwidth_mib_s', 'max_downtime_ms', 'qemu_limit_ms', 'max_throttle_percent')},
    **{name: ((name,), _as_it_is) for name in ('held', 'expected_blackout_ms', 'converges')},
    **{f'eta_{name}_seconds': (('eta_seconds', name), _as_it_is)
       for name in ('low', 'expected', 'high')},
    **{name: ((name,), _as_it_is) for name in (
        'deadline_at', 'deadline_in_seconds', 'makes_deadline')},
    'last_decision': (('last_decision',), _sentence),
    'outcome': (('outcome',), _as_it_is), 'reason': (('reason',), _as_it_is),
}


def _progress(found: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: show(_get(found, path)) for name, (path, show) in _FIELDS.items()}
    final = found.get('final')
    for name, value in (final.items() if isinstance(final, Mapping) else ()):
        if name.endswith('_bytes'):
            shown[f'final_{name.removesuffix("_bytes")}_mib'] = words.mib(value)
        else:
            shown[f'final_{name}'] = value
    return shown


def _get(found: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = found
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


class ListTimeline(base.Lister):
    """List the decisions and actions during a live migration, with reasons, oldest first."""

    examples = (
        ('server migration policy timeline db-1', 'the decisions and their results'),
        ('server migration policy timeline db-1 --kind sample -f json',
         'the figures of every sample, for a plot'),
        ('server migration policy timeline db-1 42 --marker 120 --limit 20',
         'the 20 records after number 120'),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        base.add_migration(parser)
        parser.add_argument(
            '--kind', action='append', choices=vocabulary.KINDS, metavar='<kind>',
            help=f'Only records of this kind, one of {", ".join(vocabulary.KINDS)}; may be '
                 'repeated; by default all but samples')
        parser.add_argument('--marker', type=_natural, default=0, metavar='<number>',
                            help='Begin after the record of this number')
        parser.add_argument('--limit', type=_natural, metavar='<number>',
                            help='Show at most this many records')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return a row for each record."""
        api = self.api()
        migration = self.migration(api, parsed_args)
        records = timeline(api, migration, parsed_args.kind or vocabulary.STORY,
                           parsed_args.marker, parsed_args.limit)
        columns = (base.Column('Number'), base.Column('At Seconds'),
                   base.Column('Time', base.MACHINES), base.Column('Kind'), base.Column('What'),
                   base.Column('Record', base.NESTED))
        return base.table(parsed_args, columns, (
            (one.get('number'), one.get('at'), one.get('time'), one.get('kind'),
             words.Sentence(sentences.sentence(one), 42), words.Plain(one)) for one in records))


def timeline(api: http.Api, migration: find.Migration, kinds: tuple[str, ...], marker: int,
             limit: int | None) -> Iterator[Mapping[str, Any]]:
    """Return records page by page.

    :param marker: the number of the record before the first
    :param limit: the most records, None for all
    """
    while limit is None or limit > 0:
        params: dict[str, Any] = {'limit': min(limit or _PAGE, _PAGE), 'kind': list(kinds)}
        if marker:
            params['marker'] = marker
        body = api.ours('GET', f'{migration.path}/timeline', params=params)[1]
        records = _records(body.get('timeline'))
        yield from records
        following = _following(body)
        if following is None or following <= marker:
            return
        marker = following
        if limit is not None:
            limit -= len(records)


def _records(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _following(body: Mapping[str, Any]) -> int | None:
    """Return the marker of the next page, None after the last."""
    links = body.get('timeline_links')
    for link in links if isinstance(links, list) else ():
        if isinstance(link, Mapping) and link.get('rel') == 'next':
            query = parse.parse_qs(str(link.get('href')).partition('?')[2])
            given = query.get('marker', [''])[0]
            return int(given) if given.isascii() and given.isdigit() else None
    return None


def _natural(given: str) -> int:
    number = int(given)
    if number < 0:
        raise argparse.ArgumentTypeError('below 0')
    return number
