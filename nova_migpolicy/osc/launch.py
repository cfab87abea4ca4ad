# SPDX-License-Identifier: Apache-2.0
"""Starts live migrations through Nova, and finds the migrations that result.

Nova answers before it has a record of the migration, so that is looked for afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import time
import types
from typing import Any

from nova_migpolicy.osc import errors
from nova_migpolicy.osc import find
from nova_migpolicy.osc import http
from nova_migpolicy.osc import words

#: The states of servers that can be live-migrated.
MOVABLE = frozenset({'ACTIVE', 'PAUSED'})
#: Seconds to wait until Nova shows the migrations that were asked for, and between two looks.
APPEARS_S = 30.0
LOOK_EVERY_S = 0.5
#: Seconds between two servers of a host.
PACE_S = 0.1
#: Codes with which nothing has been started, so that it may be asked for in another way.
_NOTHING_BEGUN = frozenset({400, 403, 409, 503})
#: The one of them that may pass; after so many in a row all go without the wish.
_BUSY = 503
MOST_BUSY = 3

NO_PLUGIN = "this Nova's API does not have nova_migpolicy"


@dataclasses.dataclass
class Started:
    """The outcome of the request for one server's migration.

    :ivar error: the reason why it was not started, empty if it was
    """

    server: find.Server
    migration: find.Migration | None = None
    error: str = ''


class Launcher:
    """Starts migrations.

    :param host: the destination, None to let Nova's scheduler choose
    :param policy: for these migrations alone; empty for that of their servers
    :param wish: what goes with it where it is taken; nobody has asked for it, so a refusal stops
        nothing
    """

    def __init__(self, api: http.Api, host: str | None, policy: Mapping[str, Any], *,
                 wish: Mapping[str, Any] = types.MappingProxyType({}),
                 clock: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._host = host
        self._policy = policy
        self._wish = wish
        self._busy = 0
        self._clock = clock
        self._sleep = sleep

    def start(self, server: find.Server) -> Started:
        """Start one server's migration and find it.

        :raises Failed: it could not be asked for
        """
        known = {one.uuid for one in find.migrations(self._api, server)}
        self._ask(server)
        started = Started(server)
        self._find([started], known, lambda: find.migrations(self._api, server))
        return started

    def drain(self, host: str, say: Callable[[str], None]) -> list[Started]:
        """Start the migrations of all servers of a host, and find them.

        :param say: called with each line to print
        :raises Failed: the user may not see the servers of the host
        """
        servers = find.on_host(self._api, host)
        known = {find.identity(row) for row in find.listed(self._api, {'host': host})}
        asked: list[Started] = []
        started = []
        for server in servers:
            one = Started(server, error=_unmovable(server))
            started.append(one)
            if one.error:
                continue
            try:
                self._ask_as_wished(server, say)
            except errors.NoPlugin:
                raise
            except errors.Failed as error:
                one.error = str(error)
                continue
            asked.append(one)
            self._sleep(PACE_S)
        say(f'{len(servers)} servers on {host}, migrations of {len(asked)} asked for')
        self._find(asked, known, lambda: self._listed(host, servers))
        return started

    def _ask_as_wished(self, server: find.Server, say: Callable[[str], None]) -> None:
        """Ask with the wish; from the first refusal that is for the wish on, without it.

        Where the source is only busy, this one goes without it.
        """
        wish = self._wish
        refusal: errors.Refused | None = None
        while True:
            try:
                self._ask(server, wish)
                break
            except errors.Refused as error:
                if not wish or error.code not in _NOTHING_BEGUN:
                    raise
                wish, refusal = _without(wish, error), error
        if refusal is None:
            self._busy = 0
            return
        self._busy = self._busy + 1 if refusal.code == _BUSY else 0
        who = f'{server.name} goes'
        left_out = {name: self._wish[name] for name in self._wish if name not in wish}
        if self._busy in (0, MOST_BUSY):
            who, self._wish = 'They go', wish
        why = NO_PLUGIN if isinstance(refusal, errors.NoPlugin) else refusal.sentence
        say(f'{who} without {words.text(left_out)}: {why}')

    def _ask(self, server: find.Server, more: Mapping[str, Any] = types.MappingProxyType({}),
             ) -> None:
        body: dict[str, Any] = {'host': self._host, 'block_migration': 'auto'}
        if policy := {**self._policy, **more}:
            body['migpolicy'] = policy
        self._api.migrate(server.id, body)

    def _listed(self, host: str, servers: Sequence[find.Server]) -> list[find.Migration]:
        by_id = {one.id: one for one in servers}
        return [find.Migration(by_id[row['instance_uuid']], int(row['id']), row)
                for row in find.listed(self._api, {'host': host})
                if row.get('instance_uuid') in by_id and words.number(row.get('id'))]

    def _find(self, asked: Sequence[Started], known: Collection[str],
              look: Callable[[], Collection[find.Migration]]) -> None:
        """Find the migration of each.

        :param known: those that there were before
        :param look: returns those that there are, newest first
        """
        until_s = self._clock() + APPEARS_S
        while missing := {one.server.id: one for one in asked if one.migration is None}:
            newest = {found.server.id: found for found in reversed(list(look()))
                      if found.uuid not in known}
            for server, one in missing.items():
                one.migration = newest.get(server)
            unseen = [one for one in missing.values() if one.migration is None]
            if unseen and self._clock() < until_s:
                self._sleep(LOOK_EVERY_S)
                continue
            for one in unseen:
                one.error = _unseen(one.server)
            return


def _without(wish: Mapping[str, Any], refusal: errors.Refused) -> dict[str, Any]:
    """Return what is left of a wish: all that is not named in a refusal that names any of it."""
    named = {name for name in wish if f'{name} = ' in refusal.sentence}
    return {name: value for name, value in wish.items() if named and name not in named}


def _unmovable(server: find.Server) -> str:
    if not server.status or server.status in MOVABLE:
        return ''
    return (f'It is {server.status}: only servers that run can be live-migrated; "openstack '
            f'server migrate {server.id}" moves one that is shut off.')


def _unseen(server: find.Server) -> str:
    return (f'Nova accepted the request but shows no migration for it after '
            f'{words.figure(APPEARS_S, "s")}: see "openstack server event list {server.id}".')
