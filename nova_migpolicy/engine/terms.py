# SPDX-License-Identifier: Apache-2.0
"""What a migration is bound by: the policy in force, its deadline, and what a person holds.

A held value is the person's own responsibility: it is not bound by the policy, but the limit
handed to QEMU still follows the bandwidth cap and the link, so that a blackout that was promised
stays what it means. Nothing is asked or refused here.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import types

from nova_migpolicy.engine import hold
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys

GIB = 1 << 30
# Auto-converge that may not be used any more is left armed, and slows the guest by no more.
ARMED_PERCENT = 1


@dataclasses.dataclass
class Terms:
    """The terms now; one object that the controller and its parts share.

    deadline_s: absolute, on the clock of the samples; None for no deadline. held: values by
    setting (see `hold`); replaced as a whole, never changed in place.
    """

    policy: keys.Policy
    deadline_s: float | None
    held: abc.Mapping[str, int] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({}))

    def copy(self) -> Terms:
        """The terms as they are now."""
        return dataclasses.replace(self)

    def take(self, other: Terms) -> None:
        """From now on be as the other."""
        self.policy, self.deadline_s, self.held = other.policy, other.deadline_s, other.held

    def resize(self, more_bytes: int) -> None:
        """There is so much more to copy than was known, or less: the deadline goes with it."""
        if self.deadline_s is not None:
            self.deadline_s += self.policy.timeout_seconds_per_gib * more_bytes / GIB

    def frees(self, remedy: str) -> bool:
        """Whether the engine may use a remedy, as far as holds go."""
        return all(hold.remedy_of(setting) != remedy for setting in self.held)

    def highest_cap(self, cap_mib_s: int) -> int:
        """The highest cap that is permitted, where this one is in force; 0 for none at all."""
        if not cap_mib_s or not self.frees(remedies.BANDWIDTH) or (
                remedies.BANDWIDTH not in self.policy.remedies):
            return cap_mib_s
        top = self.policy.max_bandwidth_mib_s
        return max(top, cap_mib_s) if top else 0

    @property
    def limit_is_held(self) -> bool:
        """Whether the limit handed to QEMU is not the engine's to choose."""
        return hold.BANDWIDTH in self.held or hold.DOWNTIME in self.held

    @property
    def most_downtime_ms(self) -> int:
        """The longest blackout that the server may suffer now."""
        return self.held.get(hold.DOWNTIME, self.policy.max_downtime_ms)

    def fit(self, now: settings_mod.Settings, wanted: settings_mod.Settings,
            link: settings_mod.Link) -> settings_mod.Settings:
        """What becomes of settings that are wanted in place of those in force now.

        What is held is put in, the rest is brought below the policy's ceilings, and the limit
        follows: where something is held, and where the cap or the promise changes.
        """
        policy = self.policy
        top = policy.max_bandwidth_mib_s
        cap, promised, throttle = wanted.cap_mib_s, wanted.promised_ms, wanted.throttle_percent
        if top and not 0 < cap <= top:
            cap = top
        cap = self.held.get(hold.BANDWIDTH, cap)
        promised = self.held.get(hold.DOWNTIME, min(promised, policy.max_downtime_ms))
        highest = policy.max_throttle_percent if policy.may_throttle else ARMED_PERCENT
        throttle = self.held.get(hold.THROTTLE, min(throttle, highest))
        limit = wanted.limit_ms
        if self.limit_is_held or (cap, promised) != (now.cap_mib_s, now.promised_ms):
            limit = settings_mod.limit_ms(promised, cap, link)
        return settings_mod.Settings(cap, limit, promised, throttle)
