# SPDX-License-Identifier: Apache-2.0
"""The terms of a migration: the policy in force, its deadline, and the settings held.

A held value is the operator's own responsibility: it is not bound by the policy, but the limit
given to QEMU still follows the bandwidth cap and the link, so that a promised blackout keeps its
meaning. Nothing is asked or refused here.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import types

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys

GIB = 1 << 30
# The settings that may be held, by the policy's keys: they are not steered until released.
BANDWIDTH = 'bandwidth_mib_s'
DOWNTIME = 'max_downtime_ms'
THROTTLE = 'max_throttle_percent'
_REMEDIES = {BANDWIDTH: remedies.BANDWIDTH, DOWNTIME: remedies.DOWNTIME,
             THROTTLE: remedies.AUTO_CONVERGE}
HOLDABLE = frozenset(_REMEDIES)
# Auto-converge that may no longer be used is left armed, and slows the guest by no more than this.
ARMED_PERCENT = 1


def remedy_of(setting: str) -> str:
    """Return the remedy that a setting belongs to.

    :raises KeyError: for a setting that cannot be held.
    """
    return _REMEDIES[setting]


@dataclasses.dataclass(frozen=True)
class Change:
    """One retune by an operator.

    hold: settings of HOLDABLE to hold, with their values. release: settings to give back to the
    engine; one that is not held stays so. policy: replaces the one in force; None keeps it, and
    its deadline. deadline_s: that policy's deadline, absolute, on the clock of the samples; None
    for no deadline.
    """

    hold: abc.Mapping[str, int] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({}))
    release: frozenset[str] = frozenset()
    policy: keys.Policy | None = None
    deadline_s: float | None = None

    @property
    def is_of_bandwidth(self) -> bool:
        """Whether it changes only the bandwidth, which also applies to a paused guest."""
        return self.policy is None and {BANDWIDTH}.issuperset({*self.hold, *self.release})


@dataclasses.dataclass(frozen=True)
class Terms:
    """The terms in force.

    deadline_s: absolute, on the clock of the samples; None for no deadline. held: values by
    setting, of HOLDABLE.
    """

    policy: keys.Policy
    deadline_s: float | None
    held: abc.Mapping[str, int] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({}))

    def resized(self, more_bytes: int) -> Terms:
        """The terms with this many more bytes (fewer below 0) to be copied than was known."""
        if self.deadline_s is None or not more_bytes:
            return self
        later_s = self.policy.timeout_seconds_per_gib * more_bytes / GIB
        return dataclasses.replace(self, deadline_s=self.deadline_s + later_s)

    def changed(self, change: Change) -> Terms:
        """The terms with a change made."""
        held = {setting: value for setting, value in self.held.items()
                if setting not in change.release}
        held.update(change.hold)
        new = dataclasses.replace(self, held=types.MappingProxyType(held))
        if change.policy is None:
            return new
        return dataclasses.replace(new, policy=change.policy, deadline_s=change.deadline_s)

    def frees(self, remedy: str) -> bool:
        """Whether no held setting keeps the engine from using a remedy."""
        return all(remedy_of(setting) != remedy for setting in self.held)

    def highest_cap(self, cap_mib_s: int) -> int:
        """The highest permitted cap, where this one is in force; 0 for no cap."""
        if not cap_mib_s or not self.frees(remedies.BANDWIDTH) or (
                remedies.BANDWIDTH not in self.policy.remedies):
            return cap_mib_s
        top = self.policy.max_bandwidth_mib_s
        return max(top, cap_mib_s) if top else 0

    @property
    def limit_is_held(self) -> bool:
        """Whether the operator holds what determines the limit given to QEMU."""
        return BANDWIDTH in self.held or DOWNTIME in self.held

    @property
    def most_downtime_ms(self) -> int:
        """The longest blackout that the server may suffer now."""
        return self.held.get(DOWNTIME, self.policy.max_downtime_ms)

    def fit(self, now: settings_mod.Settings, wanted: settings_mod.Settings,
            link: settings_mod.Link) -> settings_mod.Settings:
        """Fit wanted settings to the terms, starting from those in force.

        Held values are put in, the rest is brought below the policy's ceilings, and the limit
        follows where something is held, or where the cap or the promise changes.
        """
        policy = self.policy
        top = policy.max_bandwidth_mib_s
        cap, promised, throttle = wanted.cap_mib_s, wanted.promised_ms, wanted.throttle_percent
        if top and not 0 < cap <= top:
            cap = top
        cap = self.held.get(BANDWIDTH, cap)
        promised = self.held.get(DOWNTIME, min(promised, policy.max_downtime_ms))
        highest = policy.max_throttle_percent if policy.may_throttle else ARMED_PERCENT
        throttle = self.held.get(THROTTLE, min(throttle, highest))
        limit = wanted.limit_ms
        if self.limit_is_held or (cap, promised) != (now.cap_mib_s, now.promised_ms):
            limit = settings_mod.limit_ms(promised, cap, link)
        return settings_mod.Settings(cap, limit, promised, throttle)
