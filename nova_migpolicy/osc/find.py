# SPDX-License-Identifier: Apache-2.0
"""Finds the server and the live migration that the user names.

A server is found by its ID or its name, by an administrator in all projects. A migration that is
not named is the one under way, otherwise the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import re
from typing import Any
import uuid

from nova_migpolicy.osc import errors
from nova_migpolicy.osc import http
from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

# Nova takes a regular expression: a character with a meaning there is replaced by any character,
# and the names found are compared as they are.
_SPECIAL = re.compile(r'[\\^$*+?{}\[\]|()]')


@dataclasses.dataclass(frozen=True)
class Server:
    """A server: its ID, its name as it may be printed, and Nova's word for its status."""

    id: str
    name: str
    status: str = ''


@dataclasses.dataclass(frozen=True)
class Migration:
    """A live migration of a server; `facts` is Nova's answer about it, if it was asked."""

    server: Server
    id: int
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def path(self) -> str:
        """The beginning of the plugin's paths and of Nova's."""
        return f'/servers/{self.server.id}/migrations/{self.id}'

    @property
    def uuid(self) -> str:
        """The UUID that tells it from all others: each cell counts IDs for itself."""
        return identity(self.facts)


def server(api: http.Api, wanted: str) -> Server:
    """Find a server by its ID or name.

    :raises Failed: there is none, or there are several of that name
    """
    if _is_uuid(wanted):
        try:
            return _server(api.nova('GET', f'/servers/{wanted}').get('server'))
        except errors.Refused as error:
            if error.code != 404:
                raise
    found = _named(api, wanted, {})
    if not found:
        try:
            found = _named(api, wanted, {'all_tenants': '1'})
        except errors.Refused as error:
            if error.code not in (400, 403):
                raise
    if not found:
        raise errors.Failed(f'There is no server {words.text(wanted)!r} that you may see: '
                            '"openstack server list" shows those that you may.')
    if len(found) > 1:
        raise errors.Failed(f'{len(found)} servers are named {words.text(wanted)!r}: use the ID, '
                            f'one of {", ".join(one.id for one in found[:5])}.')
    return found[0]


def on_host(api: http.Api, host: str) -> list[Server]:
    """Return all servers on a host; administrators may ask for that."""
    params: dict[str, Any] = {'all_tenants': '1', 'host': host, 'limit': 500}
    found: list[Server] = []
    while True:
        page = _list(api.nova('GET', '/servers/detail', params=params), 'servers')
        found.extend(_server(one) for one in page)
        if len(page) < params['limit']:
            return found
        params['marker'] = found[-1].id


def migration(api: http.Api, of: Server, wanted: str | None) -> Migration:
    """Find a live migration of a server by its ID or UUID; None for the one that matters now.

    :raises Failed: there is none
    """
    if wanted and wanted.isdigit():
        return Migration(of, int(wanted))
    found = migrations(api, of)
    if wanted:
        if not _is_uuid(wanted):
            raise errors.Failed(f'{words.text(wanted)!r} is not the ID (a number) or UUID of a '
                                f'migration: {_see(of)}.')
        found = [one for one in found if one.facts.get('uuid') == wanted.lower()]
    if not found:
        which = f'live migration {wanted}' if wanted else 'live migration yet'
        raise errors.Failed(f'Server {of.name} has no {which}: {_see(of)}, "openstack server '
                            f'migration start {of.id}" starts one.')
    under_way = [one for one in found if one.facts.get('status')
                 not in vocabulary.FINAL_STATUSES]
    return (under_way or found)[0]


def migrations(api: http.Api, of: Server) -> list[Migration]:
    """Return the live migrations of a server, newest first; only those under way to some users."""
    try:
        rows = listed(api, {'instance_uuid': of.id})
    except errors.Refused as error:
        if error.code != 403:
            raise
        rows = _list(api.nova('GET', f'/servers/{of.id}/migrations'), 'migrations')
    found = [Migration(of, int(one['id']), one) for one in rows if words.number(one.get('id'))]
    return sorted(found, key=lambda one: (words.text(one.facts.get('created_at')), one.id),
                  reverse=True)


def identity(row: Mapping[str, Any]) -> str:
    """Return a key that tells a row of Nova's list from all others, of all cells."""
    return words.text(row.get('uuid')) or f'{row.get("instance_uuid")} {row.get("id")}'


def listed(api: http.Api, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return Nova's list of live migrations, newest first, the last thousand at most."""
    return _list(api.nova('GET', '/os-migrations', params={
        'migration_type': vocabulary.LIVE_MIGRATION, **filters}), 'migrations')


def _named(api: http.Api, name: str, more: Mapping[str, str]) -> list[Server]:
    found = api.nova('GET', '/servers', params={'name': _SPECIAL.sub('.', name), **more})
    return [_server(one) for one in _list(found, 'servers') if one.get('name') == name]


def _server(row: Any) -> Server:
    if not isinstance(row, Mapping) or not row.get('id'):
        raise errors.Failed("Nova's answer has no server in it.")
    identity = words.text(row['id'])
    return Server(identity, words.text(row.get('name')) or identity,
                  words.text(row.get('status')))


def _list(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = body.get(name)
    return [one for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []


def _is_uuid(given: str) -> bool:
    try:
        uuid.UUID(given)
    except ValueError:
        return False
    return True


def _see(of: Server) -> str:
    return f'"openstack server migration list --server {of.id}" shows them'
