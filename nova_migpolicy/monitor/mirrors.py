# SPDX-License-Identifier: Apache-2.0
"""The disks that QEMU mirrors for a migration, and the changes of their caps.

Nothing is called here: the result of `query-block-jobs` comes in. Rates are bytes/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Any

from nova_migpolicy.engine import disk_caps


@dataclasses.dataclass(frozen=True)
class Mirror:
    """The job of one disk. ready: it is in sync. speed: its cap now; 0 for none."""

    device: str
    ready: bool
    speed: int


def mirrors(jobs: Any) -> tuple[Mirror, ...]:
    """The mirrors among QEMU's block jobs, as `query-block-jobs` returns them."""
    return tuple(
        Mirror(str(job['device']), bool(job.get('ready')), int(job.get('speed') or 0))
        for job in (jobs if isinstance(jobs, list) else ())
        if isinstance(job, Mapping) and job.get('type') == 'mirror' and 'device' in job)


def changes(found: Sequence[Mirror], cap: int) -> tuple[Mirror, ...]:
    """The disks whose speed changes, with the new one; those that fall come first.

    So the sum is at no time above `cap` because of the order of the changes.

    :param cap: for all of them together; 0 for none
    """
    copying = sum(not one.ready for one in found)
    given = kept = 0.0
    if found and cap:
        given, kept = disk_caps.divide(cap, copying, len(found) - copying)
    wanted = [(one, int(kept if one.ready else given)) for one in found]
    if cap:
        # QEMU's 0 is no cap at all.
        wanted = [(one, max(1, speed)) for one, speed in wanted]
    return tuple(dataclasses.replace(one, speed=speed) for one, speed in sorted(
        ((one, speed) for one, speed in wanted if speed != one.speed),
        key=lambda pair: (pair[1] or math.inf) - (pair[0].speed or math.inf)))
