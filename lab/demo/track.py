# SPDX-License-Identifier: Apache-2.0
"""What is known of one of the demo's migrations, as data: points, decisions and the end.

The screen, the table, the plot and demo.json are all made from it. Times are seconds since
the migration was asked for, sizes MiB, rates MiB/s.
"""

from __future__ import annotations

import dataclasses
from typing import Any

MIB = 2 ** 20


@dataclasses.dataclass(frozen=True)
class Point:
    """One look at libvirt's statistics of the job."""

    at_s: float
    memory_remaining_mib: float
    disk_remaining_mib: float
    bandwidth_mib_s: float
    dirty_mib_s: float
    sent_mib: float


@dataclasses.dataclass(frozen=True)
class Decided:
    """A decision of the policy's engine, from its journal."""

    at_s: float
    rule: str
    reason: str
    actions: tuple[str, ...]


@dataclasses.dataclass
class Track:
    """One server's migration; written by the watcher, read by everything else."""

    name: str
    title: str
    server_id: str
    points: list[Point] = dataclasses.field(default_factory=list)
    decisions: list[Decided] = dataclasses.field(default_factory=list)
    forecast: dict[str, Any] = dataclasses.field(default_factory=dict)
    status: str = 'not started'
    server_status: str = ''
    aborted: bool = False
    total_s: float | None = None
    blackout_ms: float | None = None
    sent_mib: float = 0.0
    host: str = ''
    beats_after: int | None = None

    @property
    def over(self) -> bool:
        """Whether Nova says that the migration has ended."""
        return self.status in ('completed', 'cancelled', 'error', 'failed')

    def to_dict(self) -> dict[str, Any]:
        """For demo.json."""
        return dataclasses.asdict(self)


def point(at_s: float, stats: dict[str, Any]) -> Point:
    """A point from libvirt's job statistics; what is missing counts as nothing."""
    def mib(name: str) -> float:
        value = stats.get(name, 0)
        return float(value) / MIB if isinstance(value, int) and value > 0 else 0.0

    return Point(
        at_s=round(at_s, 2),
        memory_remaining_mib=round(mib('memory_remaining'), 1),
        disk_remaining_mib=round(mib('disk_remaining'), 1),
        bandwidth_mib_s=round(mib('memory_bps'), 1),
        dirty_mib_s=round(mib('memory_dirty_rate') * int(stats.get('memory_page_size', 4096)), 1),
        sent_mib=round(mib('memory_processed') + mib('disk_processed'), 1))


def describe(action: dict[str, Any]) -> str:
    """An action of the journal in a few words."""
    name = action.get('action')
    if name == 'set_bandwidth':
        cap = action.get('mib_s')
        return f'bandwidth {cap} MiB/s' if cap else 'bandwidth uncapped'
    if name == 'set_max_downtime':
        return f"downtime {action['promised_ms']} ms"
    if name == 'set_throttle':
        return f"throttle up to {action['percent']} %"
    return str(name).replace('_', ' ')
