# SPDX-License-Identifier: Apache-2.0
"""The settings that a person may hold: the engine does not steer them until they are released.

The names are the policy's keys. What is held now, and what follows from it, is in `terms`.
"""

from __future__ import annotations

from nova_migpolicy.engine import remedies

BANDWIDTH = 'bandwidth_mib_s'
DOWNTIME = 'max_downtime_ms'
THROTTLE = 'max_throttle_percent'
_REMEDIES = {BANDWIDTH: remedies.BANDWIDTH, DOWNTIME: remedies.DOWNTIME,
             THROTTLE: remedies.AUTO_CONVERGE}
HOLDABLE = frozenset(_REMEDIES)


def remedy_of(setting: str) -> str:
    """The remedy that a setting belongs to.

    :raises KeyError: for a setting that cannot be held.
    """
    return _REMEDIES[setting]
