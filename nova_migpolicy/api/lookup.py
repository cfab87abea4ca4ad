# SPDX-License-Identifier: Apache-2.0
"""Finds in Nova the server of a request, its migration, and the host that runs it.

Access is the business of Nova (another tenant's server is not found) and of ``api.rbac``.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from nova.compute import api as compute_api
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova import servicegroup

from nova_migpolicy.api import errors
from nova_migpolicy import vocabulary


_COMPUTE = 'nova-compute'
_ID = re.compile(r'[0-9]{1,10}')
_HIGHEST_ID = 2 ** 31 - 1


@dataclasses.dataclass(frozen=True)
class Compute:
    """A host with a nova-compute, and a context of the caller that is targeted at its cell."""

    host: str
    context: Any
    service: Any


class Lookup:
    """The part of Nova's database that is needed here."""

    def __init__(self) -> None:
        self._compute = compute_api.API()
        self._services = servicegroup.API()

    def own(self, context: Any) -> Any:
        """Make a context of the same caller for one thread; it is targeted at no cell yet."""
        with nova_context.target_cell(context, None) as copy:
            return copy

    def server(self, context: Any, server_id: str) -> Any:
        """Find a server; from then on the context is targeted at its cell.

        :raises errors.Refusal: 404; 503 if its cell does not answer.
        """
        try:
            return self._compute.get(context, server_id)
        except nova_exception.InstanceNotFound:
            raise errors.Refusal(
                404, f'Server {server_id!r:.80} could not be found.') from None
        except nova_exception.NovaException as error:
            raise errors.Refusal(503, error.format_message()) from None

    def migration(self, context: Any, server: Any, migration_id: str) -> Any:
        """Find a live migration of a server, in any state.

        :raises errors.Refusal: 404
        """
        found = None
        if _ID.fullmatch(migration_id) and int(migration_id) <= _HIGHEST_ID:
            try:
                found = objects.Migration.get_by_id_and_instance(
                    context, int(migration_id), server.uuid)
            except nova_exception.MigrationNotFoundForInstance:
                pass
        if found is None or not found.is_live_migration:
            raise errors.Refusal(
                404, f'Server {server.uuid} has no live migration {migration_id!r:.80}.')
        return found

    def under_way(self, context: Any, host: str | None) -> list[Any]:
        """Return all live migrations that are not over, from or to a host or all; oldest first."""
        filters = {'migration_type': vocabulary.LIVE_MIGRATION,
                   'status': list(vocabulary.UNDER_WAY_STATUSES)}
        if host is not None:
            filters['host'] = host
        found = self._compute.get_migrations_sorted(context, filters)
        return sorted(found, key=lambda migration: (migration.created_at, migration.id))

    def projects(self, context: Any, server_ids: list[str]) -> dict[str, str]:
        """Map server UUIDs to project IDs.

        A migration's own project is that of the caller who started it.
        """
        found = objects.InstanceMappingList.get_by_instance_uuids(context, server_ids)
        return {mapping.instance_uuid: mapping.project_id for mapping in found}

    def check_host(self, context: Any, host: str) -> None:
        """Check that there is such a host.

        :raises errors.Refusal: 404
        """
        try:
            found = objects.HostMapping.get_by_host(context, host).host
        except nova_exception.HostMappingNotFound:
            found = None
        # The database ignores the case of letters, and spaces at the end.
        if found != host:
            raise errors.Refusal(404, f'Compute host {host!r:.80} could not be found.')

    def check_up(self, context: Any, host: str | None) -> None:
        """Check that the nova-compute of a host reports itself.

        :param context: targeted at the host's cell.
        :raises errors.Unreachable: 503
        """
        try:
            service = objects.Service.get_by_compute_host(context, host)
        except nova_exception.ComputeHostNotFound:
            raise errors.Unreachable(
                503, f'There is no nova-compute on {host}, where this migration began.') from None
        if not self._services.service_is_up(service):
            raise errors.Unreachable(
                503, f'nova-compute on {host} is down, and only it knows how this migration '
                'stands; start it and try again.')

    def is_up(self, compute: Compute) -> bool:
        """Whether the nova-compute of a host reports itself."""
        return bool(self._services.service_is_up(compute.service))

    def computes(self, context: Any) -> tuple[list[Compute], int]:
        """Return all hosts of all cells by name, and the number of cells that do not answer."""
        found = nova_context.scatter_gather_skip_cell0(context, _computes).values()
        # A cell's own error, or what stands for no answer.
        answers = [one for one in found if isinstance(one, list)]
        return (sorted((one for cell in answers for one in cell), key=lambda one: one.host),
                len(found) - len(answers))


def _computes(context: Any) -> list[Compute]:
    """Return the hosts of the cell at which the context is targeted."""
    found = objects.ServiceList.get_by_binary(context, _COMPUTE, include_disabled=True)
    return [Compute(service.host, context, service) for service in found]


def check_lock(context: Any, server: Any) -> None:
    """Keep a locked server as it is, as Nova does: only an admin may change it.

    :raises errors.Refusal: 409
    """
    if server.locked and not context.is_admin:
        raise errors.Refusal(409, f'Server {server.uuid} is locked; unlock it first.')
