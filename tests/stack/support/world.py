# SPDX-License-Identifier: Apache-2.0
"""Whose migrations hostile requests may hit: servers of three projects, and what is true of them.

One migration, the victim's, runs for as long as the tests do; nobody who may send requests at it
may change it. Others may come and go.
"""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from typing import Any

from keystoneauth1 import exceptions

from lab import client as lab_client
from lab import guests
from lab import needs
from lab import stack as lab_stack
from tests.stack.support import logs
from tests.stack.support import verdict

QUIET = guests.Guest(kind='idle', memory_mib=96)
BUSY = guests.Guest(kind='sweep', memory_mib=128, set_mib=64, rate_mib_s=40)
#: the victim's disk takes nine minutes, and costs the machine next to nothing
SLOW_MIB_S = 2
TIMEOUT_S = 60.0
UNDER_WAY = ('accepted', 'queued', 'preparing', 'running')
_POLICY = {'remedies': 'none', 'on_stall': 'continue', 'timeout_seconds': 3600}
#: server -> its owner and guest
_SERVERS = {'victim': ('member', QUIET), 'mine': ('manager', QUIET),
            'theirs': ('stranger', QUIET), 'own': ('admin', BUSY)}


class World:
    """The servers, by word: `victim` and `mine` are of project demo, `own` is the admin's.

    :ivar names: what the words of requests stand for
    """

    def __init__(self, stack: lab_stack.Stack) -> None:
        self.stack = stack
        self.admin = stack.client()
        self.names: dict[str, str] = {}
        self._flavors: list[str] = []
        self._tail = logs.Tail()
        self._policy: Any = None

    def open(self) -> World:
        """Make the servers, and let the victim, one that is over and two others migrate."""
        for guest, disk_gib, rate_mib_s in ((QUIET, 1, SLOW_MIB_S), (BUSY, 0, 10)):
            self._flavors.append(self.admin.flavor(
                f'fuzz-{guest.kind}', guest.memory_mib, disk_gib=disk_gib, extra_specs={
                    f'migpolicy:{key}': value for key, value in
                    {**_POLICY, 'bandwidth_mib_s': rate_mib_s}.items()}))
        with tempfile.TemporaryDirectory() as folder:
            images = [self.admin.image(f'fuzz-{guest.kind}', guest.image(
                pathlib.Path(folder) / guest.kind)) for guest in (QUIET, BUSY)]
        for name, (user, guest) in _SERVERS.items():
            number, host = (QUIET, BUSY).index(guest), None
            if user == 'admin':
                # Where nothing of the victim's stands before it in the queue.
                self.admin.wait_server(self.names['victim'])
                host = 'n2' if self.admin.host(self.names['victim']) == 'n1' else 'n1'
            self.names[name] = self.stack.client(user).boot(
                name, images[number], self._flavors[number], host=host)
        for name in _SERVERS:
            self.admin.wait_server(self.names[name])
        for user, project in (('member', 'demo'), ('stranger', 'other'), ('admin', 'admin')):
            self.names[project] = self.stack.client(user).project
        self.revive('victim')
        lab_client.wait(self._progress, lambda found: found['phase'] == 'disks', TIMEOUT_S,
                        "the victim's disk to be copied")
        self.revive('own')
        self.admin.wait_migration(self.names['own'], int(self.names['own#']), status=('running',))
        # In a queue, behind one of the two.
        self.revive('mine')
        self.names['theirs#'] = '0'
        self.names |= {name.upper(): value.upper() for name, value in self.names.items()}
        self._policy = self._victims_policy()
        self._theirs = self._all_of_theirs()
        self.news()
        return self

    def close(self) -> None:
        """Remove all of it."""
        for name in _SERVERS:
            with contextlib.suppress(exceptions.ClientException, needs.LabError, KeyError):
                self.stop(name)
            with contextlib.suppress(KeyError):
                self.admin.delete(self.names[name])
        for flavor in self._flavors:
            self.admin.compute('DELETE', f'/flavors/{flavor}')

    def revive(self, name: str) -> None:
        """Start a server's migration, unless one is under way."""
        server = self.names[name]
        found = self.admin.migrations(server)
        if found and found[0]['status'] in UNDER_WAY:
            return
        if found:
            # It may be in post-copy, or be rolled back: Nova takes no other until that is over.
            self.admin.wait_migration(server, found[0]['id'], timeout=TIMEOUT_S)
            self.admin.wait_server(server)
        number = self.admin.live_migrate(server)
        self.names[f'{name}#'] = str(number)
        self.names[f'{name}@'] = str(self.admin.migration(server, number)['uuid'])

    def news(self) -> list[tuple[str, logs.Trouble]]:
        """The troubles in Nova's logs since the last look, each with its log's name.

        That of a cancel that was not in time, or of an order that was refused, is none: it may be
        written long after its request.
        """
        folder = self.stack.where.log
        found = self._tail.troubles(sorted([*folder.glob('nova-*.log'),
                                            *folder.glob('nova-*.out')]))
        return [(name, trouble) for name, trouble in found
                if not (verdict.was_not_in_time(trouble) or verdict.is_refusal(trouble))]

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What is not as it was of the victim's migration and of the other project's server."""
        before, now = {}, {}
        found = self._progress()
        record = self.admin.migration(self.names['victim'], int(self.names['victim#']))
        before['victim'], now['victim'] = (
            ('running', [], None), (record['status'], found['held'], found['outcome']))
        before['policy'], now['policy'] = self._policy, self._victims_policy()
        records = self.admin.timeline(
            self.names['victim'], int(self.names['victim#']), limit=1000,
            kind=['decision', 'retune', 'action'])['timeline']
        before['orders'], now['orders'] = [], [
            one for one in records if one['kind'] == 'retune' or one.get('rule') == 'operator']
        before['theirs'], now['theirs'] = self._theirs, self._all_of_theirs()
        return {name: (before[name], now[name]) for name in before if before[name] != now[name]}

    def _progress(self) -> dict[str, Any]:
        return self.admin.forecast(self.names['victim'], int(self.names['victim#']))

    def _victims_policy(self) -> dict[str, Any]:
        return self.admin.policy(self.names['victim'], int(self.names['victim#']))

    def _all_of_theirs(self) -> Any:
        server = self.names['theirs']
        return (self.admin.server(server), self.admin.migrations(server),
                [one['action'] for one in self.admin.actions(server)])

    def stop(self, name: str) -> None:
        """Cancel a server's migration, if one is under way, and wait until that is done."""
        server = self.names[name]
        found = self.admin.migrations(server)
        if found and found[0]['status'] in UNDER_WAY:
            # Before that it is only remembered, until there is a slot.
            self.admin.wait_migration(
                server, found[0]['id'], status=(*UNDER_WAY[1:], *lab_client.FINAL))
            with contextlib.suppress(exceptions.ClientException):
                self.admin.abort(server, found[0]['id'])
            # Where it was too late for that, it ends by itself.
            self.admin.wait_migration(server, found[0]['id'], timeout=TIMEOUT_S)
            self.admin.wait_server(server)
