# SPDX-License-Identifier: Apache-2.0
"""Finds what no record tells of: Nova or libvirt has a migration that nobody here is at work on.

Its record was lost, or none was ever written, as where Nova's services died between the request
and this host. What is found is written down as such, so that recovery decides on it as on all
else, and shows it. Two queries of the database and a list of libvirt are one look; more is asked
of what is odd alone.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import time
from typing import Any

from nova.compute import task_states
from nova.compute import vm_states
from nova import context as nova_context
from nova import objects
from oslo_log import log as logging

from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy.recovery import table
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

Record = record_mod.Record
# How long a request may be on its way through Nova's services to its source. One that comes later
# is refused there, so that this may be shorter than Nova's own patience with them.
ON_ITS_WAY_S = 300.0
# Nova's words for a migration after which a guest may be gone from its source: one that failed or
# was cancelled has left it there, and what became of it since is another matter.
_GONE = frozenset((hands_mod.ODD_END, vocabulary.COMPLETED))
# What runs, if Nova is right.
_ON = frozenset((vm_states.ACTIVE, vm_states.PAUSED, vm_states.ERROR))


class Strays:
    """The search for them.

    :param host: this host
    :param domains: the UUIDs of all domains of this host
    :param has: what libvirt here has of a server, and whether it has a job of its migration
    :param is_known: whether recovery, Nova or a monitor in this process has a migration, by the
        UUIDs of its server and its own; with None for the latter, any of the server's
    """

    def __init__(self, host: str, hands: hands_mod.Hands, domains: Callable[[], set[str]],
                 has: Callable[[str], tuple[evidence.Source, bool]],
                 is_known: Callable[[str, str | None], bool]) -> None:
        self._host = host
        self._hands = hands
        self._domains = domains
        self._has = has
        self._is_known = is_known
        # When each of what may be on its way was seen first, by the server and its migration.
        self._since_s: dict[tuple[str, str | None], float] = {}
        # Servers whose domain is not where Nova has them, as they were, for no migration's sake.
        self._dull: dict[str, Any] = {}

    def find(self) -> list[Record]:
        """Return what was found, as to be written down; let go what was never begun.

        :raises Exception: the database or libvirt does not answer
        """
        context = nova_context.get_admin_context()
        servers = {one.uuid: one for one in objects.InstanceList.get_by_host(
            context, self._host, expected_attrs=[])}
        unended = objects.MigrationList.get_by_filters(context, {
            'source_compute': self._host, 'migration_type': hands_mod.LIVE_MIGRATION,
            'status': list(vocabulary.UNDER_WAY_STATUSES)})
        domains = self._domains()
        waiting = self._since_s
        self._since_s = {}
        found = [self._record(migration) for migration in unended
                 if not self._is_known(migration.instance_uuid, migration.uuid)
                 and not self._is_on_its_way(waiting, migration.instance_uuid, migration)]
        under_way = {migration.instance_uuid for migration in unended}
        for server in servers.values():
            if server.task_state == task_states.MIGRATING and server.uuid not in under_way:
                found += self._migrating(context, server, waiting)
        found += self._misplaced(context, servers, domains, under_way)
        return found

    def _is_on_its_way(self, waiting: dict[tuple[str, str | None], float], server: str,
                       migration: Any) -> bool:
        """Whether Nova's services may still be about to hand it over."""
        if migration is not None and hands_mod.status_of(
                migration.status) is not evidence.Status.QUEUED:
            return False
        now_s = time.monotonic()
        key = server, None if migration is None else migration.uuid
        since_s = self._since_s[key] = waiting.get(key, now_s)
        return now_s - since_s < ON_ITS_WAY_S

    def _migrating(self, context: Any, server: Any,
                   waiting: dict[tuple[str, str | None], float]) -> Iterator[Record]:
        """Look after a server that migrates, while no migration of it is under way from here."""
        if self._is_known(server.uuid, None) or self._is_on_its_way(waiting, server.uuid, None):
            return
        last = self._last(context, server.uuid)
        if last is not None:
            yield self._record(last, server)
            return
        source, job = self._has(server.uuid)
        step = table.decide(evidence.Evidence(
            # Nova writes a migration down before it chooses a destination.
            source=source, job=job, destination=evidence.Destination.ABSENT,
            written=evidence.Written.LOST, home=evidence.Home.SOURCE,
            status=evidence.Status.MISSING, migrating=True,
            was_paused=server.vm_state == vm_states.PAUSED))
        LOG.warning('It migrates, and Nova has no migration of it: %(kind)s, for %(reason)s',
                    {'kind': step.kind.value, 'reason': step.reason}, instance=server)
        if step.kind is table.Kind.ROLL_BACK:
            self._hands.let_stay(context, server.uuid)

    def _misplaced(self, context: Any, servers: dict[str, Any], domains: set[str],
                   under_way: set[str]) -> Iterator[Record]:
        """Look after domains here that Nova has elsewhere, and after what is not here."""
        dull, self._dull = self._dull, {}
        for server in self._odd(context, servers, domains):
            if server.uuid in under_way or self._is_known(server.uuid, None):
                continue
            last = None
            if dull.get(server.uuid) != _mark(server):
                last = self._moved_from_here(context, server)
            if last is None:
                self._dull[server.uuid] = _mark(server)
            else:
                yield self._record(last, server)

    def _odd(self, context: Any, servers: dict[str, Any], domains: set[str]) -> list[Any]:
        """Return the servers whose domain is not where Nova has them."""
        found = [one for one in servers.values()
                 if one.uuid not in domains and one.task_state is None and one.vm_state in _ON]
        elsewhere = sorted(domains - servers.keys())
        if elsewhere:
            found += [one for one in objects.InstanceList.get_by_filters(
                context, {'uuid': elsewhere}, expected_attrs=[]) if one.host != self._host]
        return found

    def _moved_from_here(self, context: Any, server: Any) -> Any:
        """Return the migration that has brought a server's guest from here; or None."""
        last = self._last(context, server.uuid)
        is_gone = last is not None and (server.host != self._host or last.status in _GONE)
        return last if is_gone else None

    def _last(self, context: Any, server: str) -> Any:
        """Return the live migration from here that was the last move of a server; or None."""
        last = hands_mod.newest(context, server, kind=None)
        is_ours = last is not None and last.source_compute == self._host and (
            last.migration_type == hands_mod.LIVE_MIGRATION)
        return last if is_ours else None

    def _record(self, migration: Any, server: Any = None) -> Record:
        """Return what can be known of a migration without what was written down of it."""
        began = migration.created_at
        return Record(
            server=migration.instance_uuid, migration=migration.uuid, source=self._host,
            destination=migration.dest_compute or '', written=evidence.Written.LOST,
            was_paused=server is not None and server.vm_state == vm_states.PAUSED,
            block_migration=False, started_s=time.time() if began is None else began.timestamp())


def _mark(server: Any) -> Any:
    """Return what changes when Nova does something to a server."""
    return server.host, server.task_state, server.vm_state, server.updated_at
