# SPDX-License-Identifier: Apache-2.0
"""The commands that show what is undecided of live migrations after something died."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
import datetime
from typing import Any

from nova_migpolicy.osc import base
from nova_migpolicy.osc import words

OPERATOR_NEEDED = 1
#: An answer takes 10 s at most where the databases answer.
TIMEOUT_S = 60.0
#: the words in place of a next step, of a host that has not told all, and of a file
NOT_KNOWN, FILE = 'not known', 'file not used'

_COLUMNS = (
    base.Column('Server ID'), base.Column('Migration UUID', base.MACHINES),
    base.Column('Source Host', base.MACHINES), base.Column('Destination Host', base.MACHINES),
    base.Column('Phase', base.MACHINES), base.Column('Next Step'), base.Column('Since'),
    base.Column('Reason'), base.Column('What To Do', base.MACHINES),
    base.Column('Needs Operator', base.MACHINES), base.Column('Evidence', base.NESTED))
# The characters of a table's width that its lines and the other columns take: with and without a
# server, with and without a file.
_LINES = 13
_SERVER, _NO_SERVER = 36 + 11, 9 + 5
_STEP = 9
_KNOWN = ('server_id', 'migration_id', 'migration_uuid', 'source_host', 'destination_host',
          'phase', 'started_at', 'next_step', 'since', 'reason', 'what_to_do', 'needs_operator',
          'seen_at')
_SEEN = ('source', 'source_job', 'destination', 'server_host', 'migration_status',
         'server_is_migrating')


class List(base.Lister):
    """List the live migrations that are undecided after something died, of all compute hosts.

    A host that does not answer, or does not tell all, has a row of its own that says so. What to
    do is in the other formats, and shown by "openstack server migration recovery show". The exit
    status is 1 where an operator has to do something, or where not all is known.
    """

    examples = (
        ('server migration recovery list', 'what is undecided'),
        ('server migration recovery list --host n1 -f json', 'of one host, with what to do'),
    )
    status = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--host', metavar='<host>',
                            help='Only migrations whose source is this compute host')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run it; return 1 where an operator is needed."""
        return super().run(parsed_args) or self.status

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return a row for each migration, and for each host of which not all is known."""
        params = {} if parsed_args.host is None else {'host': parsed_args.host}
        body = self.api(TIMEOUT_S).ours('GET', '/os-migrations/recovery', params=params)[1]
        undecided, unused, incomplete = (base.mappings(body, name) for name in (
            'recovery', 'unused_files', 'incomplete'))
        if unused or incomplete or any(one.get('needs_operator') for one in undecided):
            self.status = OPERATOR_NEEDED
        if not undecided:
            self.log.warning('Nothing is undecided%s.', ', as far as is known'
                             if unused or incomplete else '')
        taken = (_LINES + (_SERVER if undecided else _NO_SERVER)
                 + (len(FILE) if unused else _STEP))
        return base.table(parsed_args, _COLUMNS, [
            *(_undecided(one, taken) for one in undecided),
            *(_unused(one, taken) for one in unused),
            *(_row(one.get('host'), NOT_KNOWN, one.get('message'), None, taken)
              for one in incomplete)])


class Show(base.ShowOne):
    """Show what is written down of a live migration: since when and why it is undecided.

    It says what was seen of both hosts and in Nova at the last look, what happens next, and what
    an operator can do. The exit status is 1 where an operator has to do something.
    """

    examples = (
        ('server migration recovery show db-1', 'of the migration of db-1 that is under way'),
    )
    status = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        base.add_migration(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run it; return 1 where an operator is needed."""
        return super().run(parsed_args) or self.status

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return the fields."""
        api = self.api()
        migration = self.migration(api, parsed_args)
        found = base.mapping(api.ours('GET', f'{migration.path}/recovery')[1], 'recovery')
        if found.get('needs_operator'):
            self.status = OPERATOR_NEEDED
        if not found.get('next_step'):
            self.log.warning(
                'Nothing is undecided of migration %s%s.', migration.id, ': it is under way'
                if found.get('phase') else ': nothing is written down of it any more')
        return base.fields(parsed_args, _fields(found))


def _fields(found: Mapping[str, Any]) -> dict[str, Any]:
    seen = found.get('evidence')
    known = seen if isinstance(seen, Mapping) else {}
    return {**{name: found.get(name) for name in _KNOWN},
            **{f'seen_{name}': known.get(name) for name in _SEEN}}


def _undecided(one: Mapping[str, Any], taken: int) -> tuple[Any, ...]:
    return (one.get('server_id'), one.get('migration_uuid'), one.get('source_host'),
            one.get('destination_host'), one.get('phase'), one.get('next_step'),
            When(one.get('since')), words.Sentence(one.get('reason'), taken),
            words.Sentence(one.get('what_to_do'), 0), one.get('needs_operator'),
            words.Plain(one.get('evidence')))


def _unused(one: Mapping[str, Any], taken: int) -> tuple[Any, ...]:
    reason = ': '.join(words.text(one.get(name)) for name in ('host', 'file', 'reason'))
    return _row(one.get('host'), FILE, reason, one.get('what_to_do'), taken)


def _row(host: Any, step: str, reason: Any, to_do: Any, taken: int) -> tuple[Any, ...]:
    """Return a row of a host and of no certain server."""
    return (base.Maybe(None), None, host, None, None, step, When(None),
            words.Sentence(reason, taken), words.Sentence(to_do, 0), True, words.Plain(None))


class When(base.Maybe):
    """A time; a table shows the local one."""

    def human_readable(self) -> str:
        """Return the local time to the minute."""
        try:
            when = datetime.datetime.fromisoformat(str(self._value).replace('Z', '+00:00'))
            return when.astimezone().strftime('%m-%d %H:%M')
        except (ValueError, OverflowError, OSError):
            return super().human_readable()
