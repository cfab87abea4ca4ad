# SPDX-License-Identifier: Apache-2.0
"""The command that cancels all live migrations of a host or of a project."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import time
from typing import Any

from nova_migpolicy.osc import base
from nova_migpolicy.osc import errors
from nova_migpolicy.osc import http
from nova_migpolicy.osc import words

#: An answer takes 10 s at most where all is well; migrations not done by then are asked for again.
TIMEOUT_S = 60.0
#: Servers that a request may name.
MOST_SERVERS = 500
#: Requests in a row without a result, and seconds between two such.
FRUITLESS = 3
PAUSE_S = 3.0
_FAILED = 1
_CANCELLED, _NOT, _OVER, _UNKNOWN = 'cancelled', 'not cancelled', 'over', 'not known'


class Cancel(base.Lister):
    """Cancel all live migrations from or to a host, or of a project.

    Servers stay where they are. It asks again until nothing remains, or asking has no effect: the
    outcome of a migration is not known where its source host does not answer. A migration that
    could not be cancelled is shown with the reason (in post-copy there is no way back). The exit
    status is 1 then. For one migration there is "openstack server migration abort".
    """

    examples = (
        ('server migration cancel --host n1', 'all from n1 and all to n1'),
        ('server migration cancel --host n1 --direction to', 'all to n1'),
        ('server migration cancel --project shop -f json', 'all of a project, for a program'),
    )
    status = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument('--host', metavar='<host>',
                           help='Migrations from or to this compute host')
        which.add_argument('--project', metavar='<project>',
                           help='Migrations of servers of this project (name or ID)')
        parser.add_argument(
            '--direction', choices=('from', 'to', 'both'),
            help='With --host: only migrations from it, or to it (default: both)')
        parser.add_argument('--project-domain', metavar='<project-domain>',
                            help='Domain of the project (name or ID), if its name is not unique')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run it; return 1 if a migration was not cancelled."""
        return super().run(parsed_args) or self.status

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Return a row for each migration that was under way."""
        if parsed_args.direction and not parsed_args.host:
            raise errors.Failed('--direction goes with --host.')
        if parsed_args.host:
            wanted = {'host': parsed_args.host, 'direction': parsed_args.direction or 'both'}
            what = f'host {parsed_args.host}'
        else:
            wanted = {'project_id': self._project(parsed_args)}
            what = f'project {parsed_args.project}'
        asking = Asking(self.api(TIMEOUT_S), wanted, self.log.warning)
        asking.run()
        rows = list(asking.rows())
        self.status = _FAILED if any(row[2] not in (_CANCELLED, _OVER) for row in rows) else 0
        if not rows:
            self.log.warning('No live migration of %s is under way.', what)
        columns = (base.Column('Server ID'), base.Column('Migration'), base.Column('Result'),
                   base.Column('Phase', base.MACHINES), base.Column('Reason'))
        return base.table(parsed_args, columns, rows)

    def _project(self, parsed_args: argparse.Namespace) -> str:
        connection = self.app.client_manager.sdk_connection
        domain = None
        try:
            if parsed_args.project_domain:
                found = connection.identity.find_domain(parsed_args.project_domain)
                domain = found.id if found else parsed_args.project_domain
            project = connection.identity.find_project(parsed_args.project, domain_id=domain)
        except Exception as error:
            # A user who may cancel may not always look projects up, and an ID needs no look-up.
            self.log.debug('project %s was not looked up: %s', parsed_args.project, error)
            return str(parsed_args.project)
        if project is None:
            raise errors.Failed(f'There is no project {words.text(parsed_args.project)!r}: '
                                '"openstack project list" shows them.')
        return str(project.id)


class Asking:
    """Asks until nothing remains, or asking has no effect any more.

    :param wanted: which migrations: the host and direction, or the project
    :param say: called with each line to print
    """

    def __init__(self, api: http.Api, wanted: Mapping[str, Any],
                 say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._wanted = wanted
        self._say = say
        self._sleep = sleep
        # By server and migration: the result and the API's details of it.
        self._ended: dict[_Name, tuple[str, Mapping[str, Any]]] = {}
        self._left: dict[_Name, Mapping[str, Any]] = {}

    def run(self) -> None:
        """Ask.

        :raises Failed: the first request was refused or not answered
        """
        self._ask({})
        fruitless = 0
        while self._left:
            if fruitless == FRUITLESS:
                self._say(f'Asking {FRUITLESS} more times had no effect.')
                return
            results = [result for result, _facts in self._ended.values()]
            self._say(f'{results.count(_CANCELLED)} cancelled, {results.count(_NOT)} not, '
                      f'{len(self._left)} remain: asking again.')
            if fruitless:
                self._sleep(PAUSE_S)
            before = len(self._left)
            try:
                self._ask(dict(list(self._left.items())[:MOST_SERVERS]))
            except errors.Failed as error:
                self._say(str(error))
                return
            fruitless = 0 if len(self._left) < before else fruitless + 1

    def _ask(self, again: Mapping[_Name, Mapping[str, Any]]) -> None:
        """Ask once.

        :param again: those that remain and are asked for; all where there are none
        """
        wanted = dict(self._wanted)
        if again:
            wanted['servers'] = [server for server, _migration in again]
        body = self._api.ours('POST', '/os-migrations/cancel', json={'cancel': wanted})[1]
        for name in again:
            del self._left[name]
        self._left |= {name: one for name, one in _named(body, 'remaining')
                       if isinstance(name[0], str)}
        for result, kind in ((_CANCELLED, 'cancelled'), (_NOT, 'failed')):
            self._ended |= {name: (result, one) for name, one in _named(body, kind)}
        for name in again:
            if name not in self._left and name not in self._ended:
                self._ended[name] = _OVER, {
                    'message': 'It was no longer under way when it was asked for again.'}

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Return a row for each migration: those that were cancelled first."""
        found = [(name, *ended) for name, ended in self._ended.items()]
        found += [(name, _UNKNOWN if one.get('begun') else _NOT, one)
                  for name, one in self._left.items()]
        found.sort(key=lambda row: row[1] != _CANCELLED)
        for (server, migration), result, one in found:
            yield (server, migration, result, one.get('phase'),
                   words.Sentence(one.get('message') or _in_phase(one), 71))


_Name = tuple[Any, Any]


def _named(body: Mapping[str, Any], kind: str) -> list[tuple[_Name, Mapping[str, Any]]]:
    found = body.get(kind)
    if not isinstance(found, list):
        return []
    return [((_id(one.get('server_id')), _id(one.get('migration_id'))), one)
            for one in found if isinstance(one, dict)]


def _id(value: Any) -> str | int | None:
    """Return an id as it is, or the text of a value that is none, which our plugin never sends."""
    return value if value is None or isinstance(value, (str, int)) else repr(value)


def _in_phase(one: Mapping[str, Any]) -> str | None:
    return f'in phase {words.text(one["phase"])}' if one.get('phase') else None
