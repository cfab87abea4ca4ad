# SPDX-License-Identifier: Apache-2.0
"""The observed state of a migration at one moment.

A `Sample` is made from libvirt's job statistics and is the engine's only source. It is not a
judgement: no rates are derived and nothing is smoothed here. A statistic that is missing or
impossible is None, and everything that reads a sample copes with that. Impossible are: values that
are no number or below 0 (also as the 2**64 - x that C makes of it), a server without memory, and
more left or done than there is.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import enum
import typing

from nova_migpolicy import vocabulary


class Phase(enum.Enum):
    """The phase of a migration; the values are the words shown to users."""

    SETUP = vocabulary.PREPARING
    DISKS = vocabulary.DISKS
    BULK = vocabulary.BULK_COPY
    PASSES = vocabulary.PASSES
    POST_COPY = vocabulary.POST_COPY


# From here on a number is one below 0 in 64 bits without a sign.
_WRAPPED = 1 << 63
# The parts of a whole are counted at different moments, so a little more than all of it may be.
_MORE = 1.1


def count(stats: abc.Mapping[str, typing.Any], key: str) -> int | None:
    """A non-negative whole number from the statistics, or None for anything else."""
    value = stats.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < _WRAPPED else None


def _part(stats: abc.Mapping[str, typing.Any], key: str, total: int | None) -> int | None:
    """The part left or done of a total; None where it exceeds that or that is not known."""
    part = count(stats, key)
    return part if part is not None and total is not None and part <= _MORE * total else None


def _sent(stats: abc.Mapping[str, typing.Any]) -> int | None:
    """Guest memory sent so far in bytes, from the counters of pages, or None."""
    normal, constant = count(stats, 'memory_normal'), count(stats, 'memory_constant')
    page_size = count(stats, 'memory_page_size') or 4096
    if normal is None or constant is None:
        return None
    return (normal + constant + (count(stats, 'compression_pages') or 0)) * page_size


@dataclasses.dataclass(frozen=True)
class Sample:
    """One reading of the job statistics.

    at_s: seconds on the caller's clock (any origin, never running backwards by itself).
    boundary: taken at a MIGRATION_ITERATION event, just after QEMU synced its dirty bitmap, so
        that remaining is what the next pass starts with; otherwise it is a watchdog tick.
    iteration: libvirt's pass counter; it may start above 1 after a cancelled attempt.
    others: the number of other migrations of this host that send at full rate; None for not known.
        needed_by: the number of those before it that cannot end beside others.
    memory_sent_bytes: guest memory sent so far, each page in full whether it went over the wire
        as it is, compressed or as a mark for zeros. Remaining falls by just this between syncs.
    took_s: the values may be older than at_s by up to this many seconds, the time that libvirt
        took to answer.
    moved_s, moved_bytes: libvirt reported this much later, when this much more was processed; the
        bytes are a guess from the rate.
    xbzrle: pages that were written to but are unchanged are dropped and counted nowhere: remaining
        falls by them, too.
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
    others: int | None = None
    needed_by: int | None = None
    xbzrle: bool | None = None
    took_s: float = 0.0
    moved_s: float = 0.0
    moved_bytes: int = 0

    @classmethod
    def from_stats(cls, at_s: float, stats: abc.Mapping[str, typing.Any], *,
                   boundary: bool = False, iteration: int | None = None,
                   post_copy: bool = False) -> Sample:
        """Read libvirt's job statistics (the dictionary that `jobStats` returns).

        The keys are libvirt's VIR_DOMAIN_JOB_* strings. An iteration given by the caller (from
        the event) wins over the one among the statistics. Never raises.
        """
        if iteration is None:
            iteration = count(stats, 'memory_iteration')
        memory, disk = count(stats, 'memory_total') or None, count(stats, 'disk_total')
        throttle = count(stats, 'auto_converge_throttle')
        return cls(
            at_s=at_s,
            boundary=boundary,
            iteration=iteration,
            memory_total_bytes=memory,
            memory_processed_bytes=count(stats, 'memory_processed'),
            memory_remaining_bytes=_part(stats, 'memory_remaining', memory),
            memory_rate_bytes_s=count(stats, 'memory_bps'),
            dirty_pages_s=count(stats, 'memory_dirty_rate'),
            page_size_bytes=count(stats, 'memory_page_size'),
            disk_total_bytes=disk,
            disk_processed_bytes=_part(stats, 'disk_processed', disk),
            disk_remaining_bytes=_part(stats, 'disk_remaining', disk),
            expected_downtime_ms=count(stats, 'downtime'),
            throttle_percent=throttle if throttle is None or throttle <= 100 else None,
            post_copy=post_copy,
            memory_sent_bytes=_sent(stats),
            xbzrle=count(stats, 'compression_pages') is not None or None)

    @property
    def dirty_bytes_s(self) -> int | None:
        """The reported rate of newly dirtied memory; QEMU cannot report more than it sends."""
        if self.dirty_pages_s is None:
            return None
        return self.dirty_pages_s * (self.page_size_bytes or 4096)

    @property
    def told_s(self) -> float:
        """The time of libvirt's answer."""
        return self.at_s + self.moved_s

    @property
    def told_bytes(self) -> int | None:
        """The bytes processed by then, without a guess."""
        processed = self.memory_processed_bytes
        return None if processed is None else processed + self.moved_bytes

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal; missing ones are left out."""
        return {key: value for key, value in vars(self).items() if value is not None}
