# SPDX-License-Identifier: Apache-2.0
"""The policy of a server on this host: settings, flavor and image put together, and logged.

Which value wins is decided in ``policy.resolve``; this is where its problems become warnings.
"""

from __future__ import annotations

from collections import abc
import functools
from typing import Any

from nova import exception as nova_exception
from nova import objects
from oslo_config import cfg
from oslo_log import log as logging

from nova_migpolicy.compute import metadata
from nova_migpolicy import exception
from nova_migpolicy.policy import resolve
from nova_migpolicy import settings

Resolver = abc.Callable[[abc.Mapping[str, object]], resolve.Resolved]

LOG = logging.getLogger(__name__)


class Policies:
    """Resolves policies with the settings in force, which SIGHUP renews.

    :raises exception.PolicyError: when it is made, if nova.conf or the profiles file is wrong.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._store = settings.Store(conf)
        self._store.reload_on_sighup()

    def describe(self) -> str:
        """The settings in force, in a line."""
        return self._store.settings.describe()

    @property
    def progress_interval_s(self) -> float:
        """The least time between two writes of a migration's progress into the database."""
        return self._store.settings.progress_interval_s

    def resolve_for(self, context: Any, server: str, request: abc.Mapping[str, object],
                    ) -> resolve.Resolved:
        """The policy that a migration of a server would have now.

        :param server: its UUID
        :raises exception.UnknownServer: Nova has none of that id
        :raises exception.BadRequest: the request cannot be honoured
        """
        try:
            instance = objects.Instance.get_by_uuid(
                context.elevated(), server, expected_attrs=['flavor', 'system_metadata'])
        except nova_exception.InstanceNotFound:
            raise exception.UnknownServer(server) from None
        return self.resolver(instance, request)({})

    def resolve(self, instance: Any, request: abc.Mapping[str, object]) -> resolve.Resolved:
        """The policy for a migration of this server that begins now; a warning for each problem.

        :param request: the keys that came with the request. It was checked when it was made; what
            the host has been told since may forbid it, and then none of it counts.
        """
        resolver = self.resolver(instance, request)
        try:
            resolved = resolver({})
        except exception.PolicyError as error:
            LOG.warning('Migration policy: the policy of the request does not count: %s', error,
                        instance=instance)
            resolved = self.resolver(instance, {})({})
        for problem in resolved.problems:
            LOG.warning('Migration policy: %s', problem, instance=instance)
        return resolved

    def resolver(self, instance: Any, request: abc.Mapping[str, object]) -> Resolver:
        """What resolves the policy of a server with a retune, under the settings of this moment.

        :raises exception.BadRequest: the resolver does, where the request or the retune cannot be
            honoured
        """
        image, problems = metadata.read_image(instance)
        return functools.partial(
            _resolve, self._store.settings, flavor=metadata.read_flavor(instance), image=image,
            earlier=problems, request=dict(request))


def _resolve(now: settings.Settings, retune: abc.Mapping[str, object], **given: Any
             ) -> resolve.Resolved:
    return resolve.resolve(now.sources(retune=retune, **given))
