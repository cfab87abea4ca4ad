# SPDX-License-Identifier: Apache-2.0
"""The destination's answer to a migration that is being checked, where it has no free slot.

It reserves one for a moment where there is one: several that are checked at once do not all get
the last. Where there is none, the policy says whether the migration waits for one here, or Nova
looks for another host. What it depends on that this host does not know, its source does.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any, NamedTuple

from nova import exception as nova_exception
from oslo_log import log as logging

from nova_migpolicy.channel import client
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import slots as slots_mod
from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import resolve
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)


class Request(NamedTuple):
    """What is known of a request to migrate: its policy keys, and whether it names the host."""

    values: Mapping[str, Any]
    names_host: bool


#: nothing is known of it: then nothing is refused that its user may have asked for by name
UNKNOWN = Request({}, names_host=True)


class Precheck:
    """The check of what comes to this host.

    :param resolve_for: the policy of a server with a request's keys
    :param explain: puts a sentence into the server's instance action
    """

    def __init__(self, slots: slots_mod.Slots, channel: client.Channel,
                 resolve_for: Callable[[Any, Mapping[str, Any]], resolve.Resolved],
                 explain: Callable[[Any, Any, str], object]) -> None:
        self._slots = slots
        self._channel = channel
        self._resolve_for = resolve_for
        self._explain = explain

    def check(self, context: Any, instance: Any, cost_mib: float) -> None:
        """Return where the migration of a server may come here, now or after it has waited.

        :raises nova_exception.MigrationPreCheckError: another host has to be looked for
        """
        migration = hands_mod.newest(context.elevated(), instance.uuid)
        if migration is None:
            return
        refusal = self._slots.reserve(
            migration.uuid, instance.display_name or instance.uuid, cost_mib)
        if refusal is None or self._waits(context, instance, migration):
            return
        LOG.info('Another host is looked for: %s', refusal.sentence, instance=instance)
        self._explain(context, instance, refusal.sentence)
        raise nova_exception.MigrationPreCheckError(reason=refusal.sentence)

    def _waits(self, context: Any, instance: Any, migration: Any) -> bool:
        # A host to which it is forced is in Nova's record of it.
        request = self._request(context, instance, migration)
        wish = self._wish(instance, request)
        if wish == vocabulary.AUTO:
            return request.names_host or migration.dest_compute is not None
        return wish == vocabulary.WAIT

    def _wish(self, instance: Any, request: Request) -> str:
        try:
            return self._resolve_for(instance, request.values).policy.on_busy_destination
        except exception.PolicyError as error:
            # The source has said so already, and goes on without the request's keys.
            LOG.debug('The policy of the request does not count: %s', error, instance=instance)
            return self._resolve_for(instance, {}).policy.on_busy_destination
        except Exception as error:
            LOG.warning('What a migration does at a full destination is not known: %s', error,
                        instance=instance)
            return keys.Policy().on_busy_destination

    def _request(self, context: Any, instance: Any, migration: Any) -> Request:
        try:
            _, body = self._channel.ask(context, migration.source_compute, 'request',
                                        server=instance.uuid, request_id=context.request_id)
        except client.Refused as error:
            LOG.info('What was asked for is not known: %s', error, instance=instance)
            return UNKNOWN
        values, names_host = ((body or {}).get(name) for name in ('values', 'names_host'))
        if not isinstance(values, dict) or not isinstance(names_host, bool):
            LOG.warning('What %s says of the request is not understood; bring nova_migpolicy on '
                        'both hosts to the same release', migration.source_compute,
                        instance=instance)
            return UNKNOWN
        return Request(values, names_host)
