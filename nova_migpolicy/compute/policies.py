# SPDX-License-Identifier: Apache-2.0
"""The policy of a server on this host: settings, flavor and image merged, with warnings logged.

Nova freezes the flavor into the server at its boot, and keeps the properties of the image, which
its own objects would drop, in the server's system metadata. ``policy.resolve`` decides which value
wins; its problems become warnings here.
"""

from __future__ import annotations

from collections import abc
import functools
from typing import Any

from nova import exception as nova_exception
from nova import objects
from oslo_config import cfg
from oslo_log import log as logging

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy import exception
from nova_migpolicy.policy import resolve
from nova_migpolicy import site_settings

Resolver = abc.Callable[[abc.Mapping[str, object]], resolve.Resolved]

LOG = logging.getLogger(__name__)

FLAVOR_PREFIX = 'migpolicy:'
# Nova's prefix for what comes from the image, and ours.
IMAGE_PREFIX = 'image_migpolicy_'
# Nova keeps no more than these bytes of a property.
KEPT_BYTES = 255


class Policies:
    """Resolves policies with the settings in force, which SIGHUP renews.

    :raises exception.PolicyError: when it is made, if nova.conf or the profiles file is wrong.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._store = site_settings.Store(conf)
        self._store.reload_on_sighup()

    def describe(self) -> str:
        """Describe the settings in force, in a line."""
        return self._store.settings.describe()

    @property
    def progress_interval_s(self) -> float:
        """The least time between two writes of a migration's progress into the database."""
        return self._store.settings.progress_interval_s

    @property
    def on_shutdown(self) -> str:
        """What happens to running migrations, one of vocabulary.ON_SHUTDOWN."""
        return self._store.settings.on_shutdown

    @property
    def limits(self) -> limits_mod.Limits:
        """How many migrations this host sends and takes at once, by nova.conf."""
        return self._store.settings.limits

    def on_limits(self, tell: abc.Callable[[limits_mod.Limits], object]) -> None:
        """Have a function called with the limits when nova.conf has changed them."""
        known = self.limits

        def changed(now: site_settings.Settings) -> None:
            nonlocal known
            if now.limits != known:
                known = now.limits
                tell(known)

        self._store.on_change(changed)

    def resolve_for(self, context: Any, server: str, request: abc.Mapping[str, object],
                    ) -> resolve.Resolved:
        """Resolve the policy that a migration of a server would have now.

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

    def before(self, instance: Any, policy: abc.Mapping[str, Any]) -> resolve.Resolved:
        """Return the policy of a migration that an earlier process has begun.

        Where that was another version, whose policy means nothing here, it is as resolved now.

        :param policy: as written down
        """
        if policy['fields']:
            try:
                return resolve.read(policy['fields'], policy['origins'])
            except exception.PolicyError as error:
                LOG.warning('Migration policy: the policy that was written down does not count, '
                            'and is resolved again: %s', error, instance=instance)
        return self.resolve(instance, policy['request'])

    def resolve(self, instance: Any, request: abc.Mapping[str, object]) -> resolve.Resolved:
        """Resolve the policy for a migration that begins now; log a warning for each problem.

        :param request: the keys that came with the request. It was checked when it was made; newer
            settings of the host may forbid it, and then none of it counts.
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
        """Return a function that resolves a server's policy with a retune, under these settings.

        :raises exception.BadRequest: the resolver does, where the request or the retune cannot be
            honoured
        """
        image, problems = read_image(instance)
        return functools.partial(
            _resolve, self._store.settings, flavor=read_flavor(instance), image=image,
            earlier=problems, request=dict(request))


def _resolve(now: site_settings.Settings, retune: abc.Mapping[str, object], **given: Any
             ) -> resolve.Resolved:
    return resolve.resolve(now.sources(retune=retune, **given))


def read_flavor(instance: Any) -> dict[str, str]:
    """Return the policy keys that the server's flavor sets."""
    return _read(instance.flavor.extra_specs or {}, FLAVOR_PREFIX)


def read_image(instance: Any) -> tuple[dict[str, str], tuple[resolve.Problem, ...]]:
    """Return the policy keys that the server's image sets, and problems for those that were cut.

    A cut value may still be valid, but not be the intended one.
    """
    whole: dict[str, str] = {}
    problems = []
    for name, value in _read(instance.system_metadata or {}, IMAGE_PREFIX).items():
        # A character that did not fit as a whole leaves up to three bytes unused.
        if len(value.encode('utf-8')) > KEPT_BYTES - 4:
            problems.append(resolve.Problem(
                name, value, 'image', f'ignored, Nova keeps {KEPT_BYTES} bytes of a property '
                'and may have cut it'))
        else:
            whole[name] = value
    return whole, tuple(problems)


def _read(given: abc.Mapping[str, Any], prefix: str) -> dict[str, str]:
    return {name[len(prefix):]: str(value) for name, value in sorted(given.items())
            if name.startswith(prefix) and value is not None}
