# SPDX-License-Identifier: Apache-2.0
"""Disks that are mirrored before the memory is sent, side by side.

A guest writes to its disks all over: a write to a part that is still to be copied adds nothing,
and the rest is copied once more. So the amount to copy of a disk of size S, to which w is written
while it is copied at g, tends to S (1 - g / w), and where g is not above w there is no end. A disk
that is in sync follows every write at once, whatever its cap, and stays in sync.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine import disk_caps
from nova_migpolicy.engine.estimation import disk_sync
from nova_migpolicy.sim import guests

_DONE = 1e-6
MIB = guests.MIB


@dataclasses.dataclass
class _Disk:
    """One disk: its size and the amount still to be copied, in MiB."""

    size: float
    left: float
    ready: bool

    def end_s(self, rate: float, written: float) -> float:
        """Return the seconds until it is in sync when copied at a rate; infinity for never."""
        if rate <= 0:
            return math.inf
        return disk_sync.in_sync_s(self.left, self.size, rate, written)

    def go_on(self, seconds: float, rate: float, written: float) -> float:
        """Copy it for a time, which ends no later than the copy; return MiB on the wire."""
        if self.ready:
            return written * seconds
        if written <= 0:
            self.left -= rate * seconds
        else:
            rest = self.size * (1 - rate / written)
            self.left = rest + (self.left - rest) * math.exp(-written / self.size * seconds)
        self.left = max(0.0, self.left)
        self.ready = self.left <= _DONE
        return rate * seconds


class Mirrors:
    """The disks of one migration; sizes in MiB, rates in MiB/s.

    write_mib_s: the guest's writes to each. cap_is_shared: the cap is for all together, and disks
    in sync leave their part of it to the others; else each has it for itself.
    """

    def __init__(self, sizes: tuple[float, ...], write_mib_s: float = 0.0,
                 cap_is_shared: bool = False) -> None:
        self._disks = [_Disk(float(size), float(size), size <= _DONE) for size in sizes]
        self._written = write_mib_s
        self._cap_is_shared = cap_is_shared
        self._sizes_mib = float(sum(sizes))
        self.wire_mib = 0.0

    @property
    def left_mib(self) -> float:
        """The amount still to be copied."""
        return sum(disk.left for disk in self._disks)

    @property
    def total_mib(self) -> float:
        """The amount to copy from the start: QEMU also counts writes in the meantime."""
        return max(self._sizes_mib, self.left_mib + self.wire_mib)

    @property
    def in_sync(self) -> bool:
        """Whether all are in sync, and memory can begin."""
        return all(disk.ready for disk in self._disks)

    def _rate(self, link_mib_s: float, cap_mib_s: float) -> float:
        """Return the rate of each disk that is not in sync."""
        ready = sum(disk.ready for disk in self._disks)
        copying = len(self._disks) - ready
        share = max(0.0, link_mib_s - ready * self._written) / copying
        if not cap_mib_s:
            return share
        if self._cap_is_shared:
            cap_mib_s = disk_caps.divide(cap_mib_s * MIB, copying, ready)[0] / MIB
        return min(share, cap_mib_s)

    def next_change_s(self, link_mib_s: float, cap_mib_s: float) -> float:
        """Return the seconds until the next disk is in sync; infinity where none ever is."""
        rate = self._rate(link_mib_s, cap_mib_s)
        return min(disk.end_s(rate, self._written) for disk in self._disks if not disk.ready)

    def go_on(self, seconds: float, link_mib_s: float, cap_mib_s: float) -> float:
        """Copy for a time in which a disk ends only at its end; return MiB on the wire."""
        rate = self._rate(link_mib_s, cap_mib_s)
        wire = sum(disk.go_on(seconds, rate, self._written) for disk in self._disks)
        self.wire_mib += wire
        return wire
