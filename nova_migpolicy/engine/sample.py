# SPDX-License-Identifier: Apache-2.0
"""What was seen of a migration at one moment.

A `Sample` is made from libvirt's job statistics and is the only thing that the engine learns
from. It is not a judgement: no rates are derived and nothing is smoothed here. A statistic that
is missing, negative or not a number is None, and everything that reads a sample copes with that.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import enum
import typing


class Phase(enum.Enum):
    """Where a migration is; the values are the words shown to people."""

    SETUP = 'setup'
    DISKS = 'disks'
    BULK = 'bulk copy'
    PASSES = 'passes'
    POST_COPY = 'post-copy'
    DONE = 'done'


def _count(stats: abc.Mapping[str, typing.Any], key: str) -> int | None:
    """A non-negative whole number from the statistics, or None for anything else."""
    value = stats.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if number >= 0 else None


def _sent(stats: abc.Mapping[str, typing.Any]) -> int | None:
    """Guest memory sent so far in bytes, from the counters of pages, or None."""
    normal, constant = _count(stats, 'memory_normal'), _count(stats, 'memory_constant')
    page_size = _count(stats, 'memory_page_size') or 4096
    if normal is None or constant is None:
        return None
    return (normal + constant + (_count(stats, 'compression_pages') or 0)) * page_size


@dataclasses.dataclass(frozen=True)
class Sample:
    """One look at the job statistics.

    at_s: seconds on the caller's clock (any origin, never running backwards by itself).
    boundary: taken at a MIGRATION_ITERATION event, just after QEMU synced its dirty bitmap, so
        that remaining is what the next pass starts with; otherwise it is a watchdog tick.
    iteration: libvirt's pass counter; it may start above 1 after a cancelled attempt.
    memory_sent_bytes: guest memory sent so far, each page in full whether it went over the wire
        as it is, compressed or as a mark for zeros. Remaining falls by just this between syncs.
    """

    at_s: float
    boundary: bool = False
    iteration: int | None = None
    memory_total_bytes: int | None = None
    memory_processed_bytes: int | None = None
    memory_remaining_bytes: int | None = None
    memory_rate_bytes_s: int | None = None
    dirty_pages_s: int | None = None
    page_size_bytes: int | None = None
    disk_total_bytes: int | None = None
    disk_processed_bytes: int | None = None
    disk_remaining_bytes: int | None = None
    expected_downtime_ms: int | None = None
    throttle_percent: int | None = None
    post_copy: bool = False
    memory_sent_bytes: int | None = None

    @classmethod
    def from_stats(cls, at_s: float, stats: abc.Mapping[str, typing.Any], *,
                   boundary: bool = False, iteration: int | None = None,
                   post_copy: bool = False) -> Sample:
        """Read libvirt's job statistics (the dictionary that `jobStats` returns).

        The keys are libvirt's VIR_DOMAIN_JOB_* strings. An iteration given by the caller (from
        the event) wins over the one among the statistics. Never raises.
        """
        if iteration is None:
            iteration = _count(stats, 'memory_iteration')
        return cls(
            at_s=at_s,
            boundary=boundary,
            iteration=iteration,
            memory_total_bytes=_count(stats, 'memory_total'),
            memory_processed_bytes=_count(stats, 'memory_processed'),
            memory_remaining_bytes=_count(stats, 'memory_remaining'),
            memory_rate_bytes_s=_count(stats, 'memory_bps'),
            dirty_pages_s=_count(stats, 'memory_dirty_rate'),
            page_size_bytes=_count(stats, 'memory_page_size'),
            disk_total_bytes=_count(stats, 'disk_total'),
            disk_processed_bytes=_count(stats, 'disk_processed'),
            disk_remaining_bytes=_count(stats, 'disk_remaining'),
            expected_downtime_ms=_count(stats, 'downtime'),
            throttle_percent=_count(stats, 'auto_converge_throttle'),
            post_copy=post_copy,
            memory_sent_bytes=_sent(stats))

    @property
    def dirty_bytes_s(self) -> int | None:
        """The reported rate of newly dirtied memory; QEMU cannot report more than it sends."""
        if self.dirty_pages_s is None:
            return None
        return self.dirty_pages_s * (self.page_size_bytes or 4096)

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal; what was not seen is left out."""
        return {key: value for key, value in vars(self).items() if value is not None}
