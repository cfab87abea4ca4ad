# SPDX-License-Identifier: Apache-2.0
"""The command that cancels all live migrations of a host or of a project."""

from __future__ import annotations

import argparse
from typing import Any

from nova_migpolicy.osc import base
from nova_migpolicy.osc import errors
from nova_migpolicy.osc import words

# All of them are asked one after the other.
_TIMEOUT_S = 300.0
_FAILED = 1


class Cancel(base.Lister):
    """Cancel all live migrations from or to a host, or of a project.

    Servers stay where they are. What could not be cancelled is shown with the reason (in post-copy
    there is no way back), and the exit status is 1 then. For one migration there is "openstack
    server migration abort".
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
        """Run it; 1 if something was not cancelled."""
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
        body = self.api(_TIMEOUT_S).ours('POST', '/os-migrations/cancel',
                                         json={'cancel': wanted})[1]
        rows = [*_rows(body, 'cancelled', 'cancelled'), *_rows(body, 'failed', 'not cancelled')]
        self.status = _FAILED if any(row[2] != 'cancelled' for row in rows) else 0
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
            # Who may cancel may not always look projects up, and an ID needs no look.
            self.log.debug('project %s was not looked up: %s', parsed_args.project, error)
            return str(parsed_args.project)
        if project is None:
            raise errors.Failed(f'There is no project {words.text(parsed_args.project)!r}: '
                                '"openstack project list" shows them.')
        return str(project.id)


def _rows(body: dict[str, Any], name: str, result: str) -> list[tuple[Any, ...]]:
    found = body.get(name)
    return [(one.get('server_id'), one.get('migration_id'), result, one.get('phase'),
             words.Sentence(one.get('message') or _in_phase(one), 71))
            for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _in_phase(one: dict[str, Any]) -> str | None:
    return f'in phase {words.text(one["phase"])}' if one.get('phase') else None
