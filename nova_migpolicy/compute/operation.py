# SPDX-License-Identifier: Apache-2.0
"""Puts a plan into the migrate call that Nova makes.

Nova builds the call (destination, XML, disks); a thin domain in between edits
flags and parameters on its way to libvirt and keeps how it ended.
"""

from __future__ import annotations

from typing import Any

import libvirt
from oslo_log import log as logging

from nova_migpolicy.compute import plan as plan_mod
from nova_migpolicy.monitor import outcome

LOG = logging.getLogger(__name__)


class PlannedDomain:
    """A libvirt domain whose migrate call follows a plan; all else passes through."""

    def __init__(self, domain: Any, plan: plan_mod.Plan, call: outcome.Call) -> None:
        self._domain = domain
        self._plan = plan
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def migrateToURI3(  # noqa: N802 - libvirt's name
        self, destination: str, params: dict[str, Any], flags: int,
    ) -> int:
        """libvirt's call, with the plan's flags and parameters."""
        self._call.started = True
        edited = self._plan.edit_params(params)
        flags = self._plan.edit_flags(flags)
        try:
            return int(self._domain.migrateToURI3(destination, params=edited, flags=flags))
        except libvirt.libvirtError as error:
            if (error.get_error_code() != libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED
                    or edited.pop(plan_mod.SWITCHOVER_PARAM, None) is None):
                raise
            # libvirt shows the destination all parameters, and an older one
            # refuses this one before anything has begun.
            LOG.info("The destination's libvirt does not know %s; going on without it: %s",
                     plan_mod.SWITCHOVER_PARAM, error)
        self._call.switchover_refused = True
        return int(self._domain.migrateToURI3(destination, params=edited, flags=flags))
