# SPDX-License-Identifier: Apache-2.0
"""Puts a plan into the migrate call that Nova makes.

Nova builds the call (destination, XML, disks); a thin domain in between edits
flags and parameters on its way to libvirt. Where libvirt or QEMU refuses a part
of it before anything was sent, the call is made again without that part: most
of what a policy asks for only helps, and a migration does not hang on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt

from nova_migpolicy.compute import plan as plan_mod
from nova_migpolicy.compute import refusals
from nova_migpolicy.monitor import outcome as outcome_mod


class PlannedDomain:
    """A libvirt domain whose migrate call follows a plan; all else passes through.

    :param leave_out: takes what was refused and why, and returns a plan without it
    :param may_call_again: whether the guest is as it was, and nobody wants the migration to end
    """

    def __init__(self, domain: Any, plan: plan_mod.Plan, call: outcome_mod.MigrateCall,
                 leave_out: Callable[[str, str], plan_mod.Plan],
                 may_call_again: Callable[[], bool]) -> None:
        self._domain = domain
        self._plan = plan
        self._call = call
        self._leave_out = leave_out
        self._may_call_again = may_call_again

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def migrateToURI3(  # noqa: N802 - libvirt's name
        self, destination: str, params: dict[str, Any], flags: int,
    ) -> int:
        """libvirt's call, with the plan's flags and parameters.

        It is made again at most once for each thing that is in use.

        :raises libvirt.libvirtError: it failed for something else, or too late
        """
        while True:
            plan = self._plan
            edited = plan.edit_params(params)
            self._call.targets = tuple(
                uri for uri in (edited.get(libvirt.VIR_MIGRATE_PARAM_URI), destination) if uri)
            self._call.started = True
            try:
                return int(self._domain.migrateToURI3(
                    destination, params=edited, flags=plan.edit_flags(flags)))
            except libvirt.libvirtError as error:
                # What fails at its start is undone by libvirt on both sides before it returns.
                refused = refusals.named(error, plan.used)
                if refused is None or not self._may_call_again():
                    raise
                self._plan = self._leave_out(refused, refusals.said(error))
