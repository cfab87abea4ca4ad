# SPDX-License-Identifier: Apache-2.0
"""What may be used to make a migration converge, and a plan made of it; plain records."""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod


@dataclasses.dataclass(frozen=True)
class Means:
    """What may be used, and its bounds (max_bandwidth_mib_s 0: none).

    remedies: in the order of the policy, less what a person holds and what was refused.
    highest_cap_mib_s: what a guest that is paused is sent with; 0 for no cap.
    can_rescale: QEMU's limit can still be set, which a change of the cap may need.
    link_bound: the cap is not what holds the transfer down.
    """

    remedies: tuple[str, ...]
    max_bandwidth_mib_s: int
    max_downtime_ms: int
    max_throttle_percent: int
    link: settings_mod.Link
    can_rescale: bool = True
    link_bound: bool = False
    highest_cap_mib_s: int = 0
    time_left_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """The remedies used, the settings they lead to (or the step that ends it), and what to expect.

    certain: the forecast says that it will do; otherwise it may.
    """

    used: tuple[str, ...]
    settings: settings_mod.Settings
    certain: bool
    seconds: float
    blackout_ms: float
    step: remedies.Action | None = None
