# SPDX-License-Identifier: Apache-2.0
"""A policy's flags and parameters for libvirt's migrate call, and their way into the call.

A feature of the policy that does not fit (see ``compute.fits``), or was refused, is left out, and
`notes` says so. Nova builds the call (destination, XML, disks); a thin domain in between
edits flags and parameters on their way to libvirt. Where libvirt or QEMU refuses a part of it
before anything was sent, the call is made again without that part: most features of a policy
only help, and a migration does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
import types
from typing import Any

import libvirt

from nova_migpolicy.compute import fits
from nova_migpolicy.compute import refusals
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.monitor import leaving
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import keys

Circumstances = fits.Circumstances

# libvirt's name of the rate at the switchover, in MiB/s; libvirt-python knows it by no constant.
SWITCHOVER_PARAM = 'bandwidth.avail.switchover'
# The throttle of an auto-converge that is armed but not yet needed, in percent.
ARMED_THROTTLE_PERCENT = 1
NOTHING: Mapping[str, str] = types.MappingProxyType({})

_FLAGS = {fits.PARALLEL: libvirt.VIR_MIGRATE_PARALLEL,
          fits.POST_COPY: libvirt.VIR_MIGRATE_POSTCOPY,
          fits.THROTTLE: libvirt.VIR_MIGRATE_AUTO_CONVERGE,
          **dict.fromkeys(fits.COMPRESSIONS, libvirt.VIR_MIGRATE_COMPRESSED)}
# Flags that belong to the policy: Nova's own setting of them is replaced.
OWNED_FLAGS = (libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_AUTO_CONVERGE |
               libvirt.VIR_MIGRATE_PARALLEL | libvirt.VIR_MIGRATE_COMPRESSED)


@dataclasses.dataclass(frozen=True)
class MigrateParams:
    """The arguments of the migrate call, and the remedies that are possible during it.

    :ivar used: the features of `fits` that the migration is started with.
    :ivar bandwidth_mib_s: the cap for the whole stream (0: none).
    :ivar start_bandwidth_mib_s: the cap handed to libvirt at the start, which gives it to each
        disk that is copied; the whole cap until their number is known.
    :ivar switchover_mib_s: the link's rate as QEMU is told it; None where it cannot be told.
    :ivar notes: the features of the policy that are left out, a sentence each.
    """

    used: tuple[str, ...]
    flags: int
    params: dict[str, Any]
    bandwidth_mib_s: int
    start_bandwidth_mib_s: int
    switchover_mib_s: int | None
    notes: tuple[str, ...]

    @property
    def can_post_copy(self) -> bool:
        """Whether post-copy is made ready."""
        return fits.POST_COPY in self.used

    @property
    def can_throttle(self) -> bool:
        """Whether auto-converge is armed."""
        return fits.THROTTLE in self.used

    def for_disks(self, copied_disks: int) -> MigrateParams:
        """Share the cap among the disks that are copied; 0 on shared storage."""
        cap = self.bandwidth_mib_s
        share = max(1, cap // max(1, copied_disks)) if cap else 0
        return dataclasses.replace(
            self, start_bandwidth_mib_s=share,
            params={**self.params, libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: share})

    def edit_flags(self, flags: int) -> int:
        """Replace those of Nova's flags that belong to the policy."""
        return flags & ~OWNED_FLAGS | self.flags

    def edit_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """Replace those of Nova's parameters that belong to the policy."""
        edited = {name: value for name, value in params.items()
                  if name != libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS}
        edited.update(self.params)
        return edited


def make(policy: keys.Policy, circumstances: Circumstances,
         refused: Mapping[str, str] = NOTHING) -> MigrateParams:
    """Make the plan for a migration under `policy`.

    :param refused: features that seemed to fit and cannot be used, with the reasons
    """
    used: list[str] = []
    notes: list[str] = []
    for feature in _wanted(policy, circumstances):
        told = refused.get(feature)
        why = told or fits.obstacle(feature, circumstances, used)
        if why is None:
            used.append(feature)
        elif told or feature != fits.SWITCHOVER:
            # No policy asks for the link's rate to be told to a QEMU that is too old for it.
            notes.append(fits.note(feature, why))

    params = _params(policy, circumstances, used)
    flags = 0
    for feature in used:
        flags |= _FLAGS.get(feature, 0)
    cap = policy.bandwidth_mib_s
    return MigrateParams(
        used=tuple(used), flags=flags, params=params, bandwidth_mib_s=cap,
        start_bandwidth_mib_s=cap, switchover_mib_s=params.get(SWITCHOVER_PARAM),
        notes=tuple(notes))


def hangs_on(policy: keys.Policy, circumstances: Circumstances, **other: Any) -> bool:
    """Whether other values of these circumstances would change the plan.

    A circumstance that would change nothing need not be looked up.
    """
    return make(policy, circumstances) != make(
        policy, dataclasses.replace(circumstances, **other))


def _wanted(policy: keys.Policy, circumstances: Circumstances) -> list[str]:
    """List the policy's features; one that others depend on comes before them."""
    wanted = {
        fits.PARALLEL: policy.parallel_connections > 1,
        fits.POST_COPY: policy.may_post_copy or circumstances.nova_post_copy,
        fits.THROTTLE: policy.may_throttle,
        policy.compression: policy.compression in fits.COMPRESSIONS,
        fits.SWITCHOVER: settings_mod.told_mib_s(
            policy.bandwidth_mib_s, circumstances.link_mib_s) is not None,
    }
    return [feature for feature, is_wanted in wanted.items() if is_wanted]


def _params(policy: keys.Policy, circumstances: Circumstances,
            used: list[str]) -> dict[str, Any]:
    """Return libvirt's parameters for the features in use."""
    values: dict[str, dict[str, Any]] = {
        fits.PARALLEL: {
            libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS: policy.parallel_connections},
        fits.THROTTLE: {
            libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL: ARMED_THROTTLE_PERCENT,
            libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT: ARMED_THROTTLE_PERCENT},
        fits.SWITCHOVER: {SWITCHOVER_PARAM: settings_mod.told_mib_s(
            policy.bandwidth_mib_s, circumstances.link_mib_s)},
        policy.compression: {libvirt.VIR_MIGRATE_PARAM_COMPRESSION: policy.compression},
    }
    params: dict[str, Any] = {libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: policy.bandwidth_mib_s}
    for feature in used:
        params.update(values.get(feature, {}))
    return params


class PlannedDomain:
    """A libvirt domain whose migrate call follows a plan; all else passes through.

    :param leave_out: takes the refused feature and the reason, and returns a plan without it
    :param may_call_again: whether the guest is as it was, and the migration is not to end
    :param leave: the word to return at once, whatever libvirt does; None where it never comes
    """

    def __init__(self, domain: Any, plan: MigrateParams, call: outcome_mod.MigrateCall,
                 leave_out: Callable[[str, str], MigrateParams],
                 may_call_again: Callable[[], bool],
                 leave: leaving.Leave | None = None) -> None:
        self._domain = domain
        self._plan = plan
        self._call = call
        self._leave_out = leave_out
        self._may_call_again = may_call_again
        self._leave = leave or leaving.Leave()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def migrateToURI3(  # noqa: N802 - libvirt's name
        self, destination: str, params: dict[str, Any], flags: int,
    ) -> int:
        """Make libvirt's call with the plan's flags and parameters.

        It is repeated at most once for each feature in use. Where the migration is left meanwhile,
        this returns as if it were over: an error would be logged as one.

        :raises libvirt.libvirtError: it failed for another reason, or too late
        """
        while True:
            plan = self._plan
            edited = plan.edit_params(params)
            self._call.targets = tuple(
                uri for uri in (edited.get(libvirt.VIR_MIGRATE_PARAM_URI), destination) if uri)
            self._call.started = True
            try:
                return int(self._leave.unless_left(functools.partial(
                    self._domain.migrateToURI3, destination, params=edited,
                    flags=plan.edit_flags(flags))))
            except leaving.Left:
                self._call.is_left = True
                return 0
            except libvirt.libvirtError as error:
                # libvirt undoes a call that fails at its start, on both sides, before it returns.
                refused = refusals.named(error, plan.used)
                if refused is None or not self._may_call_again():
                    raise
                self._plan = self._leave_out(refused, refusals.said(error))
