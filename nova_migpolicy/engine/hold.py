# SPDX-License-Identifier: Apache-2.0
"""Settings that a person holds: the engine does not steer them until they are released.

The names are the policy's keys. A held value is the person's own responsibility: it is not
bound by the policy, but the limit handed to QEMU still follows the bandwidth cap, so that a
blackout that was promised stays what it means.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_module

BANDWIDTH = 'bandwidth_mib_s'
DOWNTIME = 'max_downtime_ms'
THROTTLE = 'max_throttle_percent'
_REMEDIES = {BANDWIDTH: remedies.BANDWIDTH, DOWNTIME: remedies.DOWNTIME,
             THROTTLE: remedies.AUTO_CONVERGE}


def remedy_of(setting: str) -> str:
    """The remedy that a setting belongs to.

    :raises KeyError: for a setting that cannot be held.
    """
    return _REMEDIES[setting]


class Holds:
    """What is held now."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}

    def set(self, setting: str, value: int) -> None:
        """Hold a setting at a value."""
        remedy_of(setting)
        self._values[setting] = value

    def release(self, setting: str) -> None:
        """Let go of a setting; one that is not held stays so."""
        self._values.pop(setting, None)

    def get(self, setting: str) -> int | None:
        """The held value, or None."""
        return self._values.get(setting)

    def frees(self, remedy: str) -> bool:
        """Whether the engine may use a remedy."""
        return all(_REMEDIES[setting] != remedy for setting in self._values)

    def over(self, now: settings_module.Settings,
             link: settings_module.Link) -> settings_module.Settings:
        """Settings with what is held put in, and the limit following."""
        cap = self._values.get(BANDWIDTH, now.cap_mib_s)
        promised = self._values.get(DOWNTIME, now.promised_ms)
        limit = now.limit_ms
        if (cap, promised) != (now.cap_mib_s, now.promised_ms):
            limit = settings_module.limit_ms(promised, cap, link)
        return dataclasses.replace(
            now, cap_mib_s=cap, promised_ms=promised, limit_ms=limit,
            throttle_percent=self._values.get(THROTTLE, now.throttle_percent))
