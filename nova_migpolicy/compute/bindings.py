# SPDX-License-Identifier: Apache-2.0
"""Ports of a server that stay bound to a host that it has left, or never reached.

Nova binds the ports to the destination before a migration, beside the host where they are in use,
and unbinds the host that is not needed by a message that may be lost. It then refuses to migrate
the server there ever again.
"""

from __future__ import annotations

from typing import Any

from nova import context as nova_context
from nova import objects
from oslo_log import log as logging

from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)


def release(network_api: Any, context: Any, instance: Any, host: str) -> None:
    """Unbind a server's ports from a host where it is not; may be done again.

    Nothing is done where it is, as Nova has it. What keeps it from being done is told in the log:
    the next migration to that host does it then.

    :param network_api: Nova's manager's
    :param context: an administrator's
    """
    try:
        network_api.setup_networks_on_host(context, instance, host, teardown=True)
    except Exception as error:
        LOG.warning('Ports of this server may still be bound to %(host)s, where it is not: '
                    '%(error)s', {'host': host, 'error': error}, instance=instance)


def release_stale(network_api: Any, instance: Any, host: str) -> None:
    """Unbind a server's ports from a host that Nova asks whether it can be migrated there.

    Nothing is done where a migration of it has gone further than to be asked for: the bindings may
    be that one's.

    :param host: this one, which has no domain of the server
    """
    context = nova_context.get_admin_context()
    try:
        others = under_way(context, instance.uuid)
    except Exception as error:
        LOG.warning('It is not known whether a migration of it is under way: %s', error,
                    instance=instance)
        return
    if instance.host != host and not others:
        release(network_api, context, instance, host)


def settle(network_api: Any, context: Any, instance: Any, migration: Any) -> None:
    """Bind the ports of a server that has arrived to its host, and to no other; may be done again.

    :raises nova.exception.PortBindingActivationFailed: neutron refuses
    """
    network_api.migrate_instance_start(context, instance, migration)
    release_left(network_api, context, instance, migration)


def release_left(network_api: Any, context: Any, instance: Any, migration: Any) -> None:
    """Unbind a server's ports from the hosts of a migration where it is not, now that it is over.

    A later migration of the server may already go there: then they are that one's.
    """
    others = under_way(context, instance.uuid, asked_for=True)
    if any(one.uuid != migration.uuid for one in others):
        return
    for host in (migration.source_compute, migration.dest_compute):
        if host != instance.host:
            release(network_api, context, instance, host)


def under_way(context: Any, server: str, *, asked_for: bool = False) -> list[Any]:
    """Return Nova's live migrations of a server that have begun and not ended.

    :param asked_for: also those that Nova has only accepted
    """
    statuses = [status for status in vocabulary.UNDER_WAY_STATUSES
                if asked_for or vocabulary.NOVA_STATUS[status].phase != vocabulary.QUEUED]
    return list(objects.MigrationList.get_by_filters(context, {
        'instance_uuid': server, 'migration_type': vocabulary.LIVE_MIGRATION, 'status': statuses}))
