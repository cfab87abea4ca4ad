# SPDX-License-Identifier: Apache-2.0
"""The commands that show and change how many live migrations hosts send and take at once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from collections.abc import Mapping
import textwrap
from typing import Any
from urllib import parse

from nova_migpolicy.osc import base
from nova_migpolicy.osc import errors
from nova_migpolicy.osc import http
from nova_migpolicy.osc import words

NOT_ALL_KNOWN = 1
#: An answer takes 10 s at most where the databases answer.
TIMEOUT_S = 60.0
PATH = '/os-migration-capacity'
_LIMITS = ('max_outgoing', 'max_incoming')
#: the highest limit; 0 is none
_MOST = 1000
_NOVAS = 'max_concurrent_live_migrations'
_DIRECTIONS: Mapping[str, tuple[str, str]] = {
    'outgoing': ('destination_host', 'to'), 'incoming': ('source_host', 'from')}
_TABLE = ('table',)
_COLUMNS = (
    base.Column('Host'),
    base.Column('Outgoing', _TABLE), base.Column('Outgoing Waits', _TABLE),
    base.Column('Incoming', _TABLE), base.Column('Incoming Waits', _TABLE),
    *(base.Column(name, base.MACHINES) for name in (
        'Max Outgoing', 'Max Concurrent Live Migrations', 'Effective Max Outgoing',
        'Outgoing Used', 'Outgoing Waiting', 'Outgoing Oldest Wait Seconds', 'Max Incoming',
        'Incoming Used', 'Incoming Waiting', 'Incoming Oldest Wait Seconds', 'Message')),
    base.Column('Notes', base.NESTED))
# The columns of a table beside the host, and the characters that its lines take.
_OTHERS = [one.name for one in _COLUMNS[1:5]]
_LINES = 16
_NOT_KNOWN = 'not known'
#: more hosts than these are counted, not named
_NAMED = 4
# Of the longest name of a field of `Show`, and the lines of its table.
_FIELD = len('max_concurrent_live_migrations') + 7


class List(base.Lister):
    """List how many live migrations hosts send and take at once, and how many wait for a slot.

    A slot is a place for one migration while its data flows; it takes one of its source and one of
    its destination. A host that does not answer, is without the plugin or has an older one, is
    named with the reason, and the exit status is 1 then.
    """

    examples = (
        ('migration capacity list', 'of all compute hosts'),
        ('migration capacity list -f json', 'all figures, for a program'),
    )
    status = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--host', metavar='<host>', help='Only this compute host')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run it; return 1 where not all is known."""
        return super().run(parsed_args) or self.status

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return a row for each host."""
        params = {} if parsed_args.host is None else {'host': parsed_args.host}
        body = _ask(self.api(TIMEOUT_S), 'GET', PATH, params=params)
        known, missing = base.mappings(body, 'capacity'), base.mappings(body, 'incomplete')
        if missing:
            self.status = NOT_ALL_KNOWN
        if parsed_args.formatter == 'table':
            for one in missing:
                self.log.warning('%s', words.text(one.get('message')))
            self._say_bounded([words.text(one.get('host')) for one in known if one.get('notes')])
        rows = [*(_row(one) for one in known), *(_unknown(one) for one in missing)]
        taken = _LINES + sum(max(map(len, cells)) for cells in zip(
            _OTHERS, *([row[at] for at in range(1, 5)] for row in rows), strict=True))
        return base.table(parsed_args, _COLUMNS, [
            (Host(row[0], taken), *row[1:]) for row in rows])

    def _say_bounded(self, hosts: list[str]) -> None:
        """Name hosts that cannot send as many as their limit says."""
        if hosts:
            more = f' and {len(hosts) - _NAMED} more' if len(hosts) > _NAMED else ''
            self.log.warning(
                'Note: %s is too low for max_outgoing on %s%s; "openstack migration capacity show '
                'HOST" has more.', _NOVAS, ', '.join(hosts[:_NAMED]), more)


class Show(base.ShowOne):
    """Show which live migrations have the slots of a host, and which wait for one and why.

    Who has a slot is shown with the phase and the seconds until the end, as far as they are known:
    "taking", "offered" and "reserved" are slots whose data does not flow yet. Who waits is in the
    order in which slots are given, with the reason. The servers are those of all projects.
    """

    examples = (
        ('migration capacity show n1', 'who migrates from n1 and to n1, and who waits'),
        ('migration capacity show n1 -f json', 'the same for a program'),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument('host', metavar='<host>', help='Compute host')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return the fields."""
        found = base.mapping(_ask(self.api(), 'GET', _path(parsed_args.host)), 'capacity')
        fields = {name: found.get(name) for name in (
            'host', *_LIMITS, _NOVAS, 'effective_max_outgoing')}
        for direction in _DIRECTIONS:
            fields.update(_fields(direction, base.mapping(found, direction)))
        if parsed_args.formatter == 'table':
            _say_notes(self.log, found)
        else:
            fields['notes'] = found.get('notes')
        return base.fields(parsed_args, fields)


class Set(base.ShowOne):
    """Change how many live migrations a host sends and takes at once.

    It counts at once; whoever has a slot keeps it. It lasts until nova-compute on the host is
    started again, or reads its nova.conf again with other limits in it: to keep it, set
    max_outgoing and max_incoming in the group [migpolicy] there.
    """

    examples = (
        ('migration capacity set n1 --max-incoming 4', 'let n1 take four at once'),
        ('migration capacity set n1 --max-outgoing 8 --max-incoming 1',
         'empty n1 fast, and let little in'),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument('host', metavar='<host>', help='Compute host')
        parser.add_argument('--max-incoming', metavar='<number>',
                            help='Live migrations that it takes at once, 1 to 1000; 0: no limit')
        parser.add_argument('--max-outgoing', metavar='<number>',
                            help='Live migrations that it sends at once, 1 to 1000; 0: no limit')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return what changed, and until when."""
        wanted = {name: _limit(name, given) for name in _LIMITS
                  if (given := getattr(parsed_args, name)) is not None}
        if not wanted:
            raise errors.Failed('Say what to change: --max-incoming or --max-outgoing or both, '
                                'for example --max-incoming 4.')
        found = base.mapping(_ask(self.api(), 'PUT', _path(parsed_args.host),
                                  json={'capacity': wanted}), 'capacity')
        _say_notes(self.log, found)
        before, now = base.mapping(found, 'before'), base.mapping(found, 'now')
        return base.fields(parsed_args, {
            'host': found.get('host'),
            **{name: Change(before.get(name), now[name]) for name in _LIMITS if name in now},
            'lasts': found.get('lasts')})


class Change(words.Plain):
    """A value before and after; a table tells it in words."""

    def __init__(self, before: Any, now: Any) -> None:
        super().__init__({'before': before, 'now': now})

    def human_readable(self) -> str:
        """Return what it was and what it is."""
        before, now = _limited(self._value['before']), _limited(self._value['now'])
        return f'{now}, as before' if before == now else f'{now}, before {before}'


class Host(words.Sentence):
    """A host; a table shows a dash where it is not known."""

    def human_readable(self) -> str:
        """Return its name in lines that fit."""
        return super().human_readable() or '-'


class Rows(words.Plain):
    """A list of migrations; a table has a line for each.

    :param direction: of all of them
    """

    def __init__(self, direction: str, found: list[Mapping[str, Any]], taken: int) -> None:
        super().__init__(found, taken)
        self._direction = direction

    def human_readable(self) -> str:
        """Return a line for each, wrapped."""
        return '\n'.join(textwrap.fill(_sentence(self._direction, one), self._room,
                                       subsequent_indent='  ', break_on_hyphens=False)
                         for one in self._value)


def _sentence(direction: str, one: Mapping[str, Any]) -> str:
    """Describe one that has a slot, or waits for one."""
    other, word = _DIRECTIONS[direction]
    where = f' {word} {words.text(one[other])}' if one.get(other) else ''
    since = words.figure(one.get('since_seconds'), 's')
    eta = words.figure(one.get('eta_seconds'), 's')
    if 'reason' in one:
        parts = [f'priority {words.text(one.get("priority"))}',
                 f'has waited for {since}' if since else '',
                 f'waits {words.text(one.get("reason"))}']
    else:
        parts = [words.text(one.get('phase')), f'for {since}' if since else '',
                 f'ends in {eta}' if eta else '']
    return (f'{words.text(one.get("server_name"))}{where}: '
            + ', '.join(part for part in parts if part))


def _fields(direction: str, found: Mapping[str, Any]) -> dict[str, Any]:
    fields = {f'{direction}_{name}': found.get(name) for name in (
        'used', 'waiting', 'oldest_wait_seconds')}
    for name in ('holders', 'queue'):
        title = f'{direction}_{name}'
        rows = base.mappings(found, name)
        fields[title] = Rows(direction, rows, _FIELD) if rows else []
    # Nothing is left out silently, and nothing is said where all is there.
    return {**fields, f'{direction}_left_out': found.get('left_out') or None}


def _row(one: Mapping[str, Any]) -> tuple[Any, ...]:
    parts = [base.mapping(one, name) for name in _DIRECTIONS]
    limits = [one.get(name) for name in _LIMITS]
    in_words = [text for part, limit in zip(parts, limits, strict=True) for text in (
        _used(part, limit), _waits(part))]
    figures = [[part.get(name) for name in ('used', 'waiting', 'oldest_wait_seconds')]
               for part in parts]
    return (words.text(one.get('host')) or None, *in_words,
            limits[0], one.get(_NOVAS), one.get('effective_max_outgoing'), *figures[0],
            limits[1], *figures[1], None, words.Plain(one.get('notes')))


def _unknown(one: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the row of a host of which nothing is known, or of those of a cell."""
    return (words.text(one.get('host')) or None, _NOT_KNOWN, '', _NOT_KNOWN, '',
            *[words.Plain(None)] * 10,
            words.Sentence(one.get('message'), 0), words.Plain(None))


def _used(part: Mapping[str, Any], limit: Any) -> str:
    used = words.text(part.get('used'))
    return f'{used} of {words.text(limit)}' if limit else f'{used}, no limit'


def _waits(part: Mapping[str, Any]) -> str:
    oldest = words.figure(part.get('oldest_wait_seconds'), 's')
    waiting = words.text(part.get('waiting'))
    return f'{waiting}, oldest {oldest}' if oldest else waiting


def _limited(value: Any) -> str:
    return 'no limit' if value == 0 else words.text(value)


def _limit(name: str, given: str) -> int:
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None
    if number is None or number > _MOST:
        raise errors.Failed(
            f'--{name.replace("_", "-")} {words.text(given)}: it has to be a whole number from 1 '
            f'to {_MOST}, or 0 for no limit.')
    return number


def _path(host: str) -> str:
    return f'{PATH}/{parse.quote(host, safe="")}'


def _ask(api: http.Api, method: str, path: str, **more: Any) -> Mapping[str, Any]:
    try:
        return api.ours(method, path, **more)[1]
    except errors.NoPlugin:
        raise
    except errors.Refused as error:
        if error.code != 404:
            raise
        raise errors.Failed(f'{error.sentence.rstrip(".")}: "openstack compute service list '
                            '--service nova-compute" shows the hosts.') from None


def _say_notes(log: Any, found: Mapping[str, Any]) -> None:
    for note in _notes(found):
        log.warning('Note: %s.', note)


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    notes = found.get('notes')
    for note in notes if isinstance(notes, list) else ():
        yield words.text(note)
