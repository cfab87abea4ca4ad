# SPDX-License-Identifier: Apache-2.0
"""Puts a plan into the migrate call that Nova makes.

Nova builds the call (destination, XML, disks); a thin domain in between edits
flags and parameters on its way to libvirt and keeps how it ended.
"""

from __future__ import annotations

from typing import Any

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
        result: int = self._domain.migrateToURI3(
            destination, params=self._plan.edit_params(params),
            flags=self._plan.edit_flags(flags))
        return result
