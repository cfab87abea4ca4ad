# SPDX-License-Identifier: Apache-2.0
"""Finds what no record tells of: Nova or libvirt has a migration that nobody here is at work on.

Its record was lost, or none was ever written, as where Nova's services died between the request
and this host. What is found is written down as such, so that recovery decides on it as on all
else, and shows it. A look is three queries of the database for a few rows each, and a list of
libvirt; all servers of the host are asked for where something has changed, and else now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import time
from typing import Any

from nova.compute import task_states
from nova.compute import vm_states
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from oslo_log import log as logging

from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy.recovery import table
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

Record = record_mod.Record
IsKnown = Callable[[str, str | None], bool]
# Of the looks, each so-manieth is at all servers of the host, whether anything has changed or not.
ALL_EVERY = 10
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
    :param known: returns, once for each look, whether recovery, Nova or a monitor in this process
        has a migration, by the UUIDs of its server and its own; with None for the latter, any of
        the server's
    """

    def __init__(self, host: str, hands: hands_mod.Hands, domains: Callable[[], set[str]],
                 has: Callable[[str], tuple[evidence.Source, bool]],
                 known: Callable[[], IsKnown]) -> None:
        self._host = host
        self._hands = hands
        self._domains = domains
        self._has = has
        self._known = known
        self._is_known: IsKnown = lambda server, migration: True
        # When each of what may be on its way was seen first, by the server and its migration.
        self._since_s: dict[tuple[str, str | None], float] = {}
        # Servers whose domain is not where Nova has them, as they were, for no migration's sake.
        self._dull: dict[str, Any] = {}
        # What shows that a domain may not be where Nova has it any more, and how long it has not.
        self._mark: Any = None
        self._unchanged = 0

    def find(self) -> Iterator[Record]:
        """Give what was found, as to be written down; let go what was never begun.

        Each is looked at once more just before: it may have ended meanwhile, as it should.

        :raises Exception: the database or libvirt does not answer
        """
        context = nova_context.get_admin_context()
        for migration, server in self._found(context):
            if self._is_so_still(context, migration, server):
                yield self._record(migration, server)
            else:
                self._mark = None

    @staticmethod
    def _is_so_still(context: Any, migration: Any, server: Any) -> bool:
        try:
            now = objects.Migration.get_by_uuid(context, migration.uuid)
            return now.status == migration.status and (server is None or _mark(server) == _mark(
                objects.Instance.get_by_uuid(context, server.uuid, expected_attrs=[])))
        except nova_exception.NotFound:
            return False

    def _found(self, context: Any) -> list[tuple[Any, Any]]:
        """Return the migrations, each with its server where that is what showed it."""
        migrating = objects.InstanceList.get_by_filters(
            context, {'host': self._host, 'task_state': task_states.MIGRATING, 'deleted': False},
            expected_attrs=[])
        unended = objects.MigrationList.get_by_filters(context, {
            'source_compute': self._host, 'migration_type': vocabulary.LIVE_MIGRATION,
            'status': list(vocabulary.UNDER_WAY_STATUSES)})
        domains = self._domains()
        # After the rows were read: what has begun since is not among them.
        self._is_known = self._known()
        waiting = self._since_s
        self._since_s = {}
        found = [(migration, None) for migration in unended
                 if not self._is_known(migration.instance_uuid, migration.uuid)
                 and not self._is_on_its_way(waiting, migration.instance_uuid, migration)]
        under_way = {migration.instance_uuid for migration in unended}
        for server in migrating:
            if server.uuid not in under_way:
                found += self._migrating(context, server, waiting)
        if self._may_be_misplaced(context, domains):
            found += self._misplaced(context, domains, under_way)
        return found

    def _may_be_misplaced(self, context: Any, domains: set[str]) -> bool:
        """Whether a domain or a migration of this host has changed, or it is time to look."""
        ended = objects.MigrationList.get_by_filters(
            context, {'source_compute': self._host, 'migration_type': vocabulary.LIVE_MIGRATION},
            sort_keys=['updated_at'], sort_dirs=['desc'], limit=1)
        mark = domains, [(one.uuid, one.status, one.updated_at) for one in ended]
        if mark == self._mark and self._unchanged < ALL_EVERY - 1:
            self._unchanged += 1
            return False
        self._mark, self._unchanged = mark, 0
        return True

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
                   waiting: dict[tuple[str, str | None], float]
                   ) -> Iterator[tuple[Any, Any]]:
        """Look after a server that migrates, while no migration of it is under way from here."""
        if self._is_known(server.uuid, None) or self._is_on_its_way(waiting, server.uuid, None):
            return
        last = self._last(context, server.uuid)
        if last is not None:
            yield last, server
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

    def _misplaced(self, context: Any, domains: set[str],
                   under_way: set[str]) -> Iterator[tuple[Any, Any]]:
        """Look after domains here that Nova has elsewhere, and after what is not here."""
        servers = {one.uuid: one for one in objects.InstanceList.get_by_host(
            context, self._host, expected_attrs=[])}
        dull, self._dull = self._dull, {}
        for server in self._odd(context, servers, domains):
            if server.uuid in under_way or self._is_known(server.uuid, None):
                # Whoever is at work on it may leave it.
                self._mark = None
                continue
            last = None
            if dull.get(server.uuid) != _mark(server):
                last = self._moved_from_here(context, server)
            if last is None:
                self._dull[server.uuid] = _mark(server)
            else:
                yield last, server

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
            last.migration_type == vocabulary.LIVE_MIGRATION)
        return last if is_ours else None

    def _record(self, migration: Any, server: Any) -> Record:
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
