# SPDX-License-Identifier: Apache-2.0
"""The policy of a server on this host: settings, flavor and image put together, and logged.

Which value wins is decided in ``policy.resolve``; this is where its problems become warnings.
"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from nova_migpolicy.compute import metadata
from nova_migpolicy.policy import resolve
from nova_migpolicy import settings

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

    def resolve(self, instance: Any) -> resolve.Resolved:
        """The policy for a migration of this server; one warning for each problem."""
        image, problems = metadata.read_image(instance)
        resolved = resolve.resolve(self._store.settings.sources(
            flavor=metadata.read_flavor(instance), image=image, earlier=problems))
        for problem in resolved.problems:
            LOG.warning('Migration policy: %s', problem, instance=instance)
        return resolved
