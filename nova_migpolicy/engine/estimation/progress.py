# SPDX-License-Identifier: Apache-2.0
"""The progress of a migration for users: a percentage that never falls, and a pace.

The remaining memory jumps up at each sync of the dirty bitmap, so the raw share of work done jumps
back. This is for display only; nothing is decided by it except how long the bulk copy will take.
"""

from __future__ import annotations

import collections

from nova_migpolicy.engine import samples


WINDOW_S = 30.0


class Pace:
    """The rate at which the remaining data shrinks, over the last window_s seconds."""

    def __init__(self, window_s: float = WINDOW_S, least_s: float = 4.0) -> None:
        self._window_s = window_s
        self._least_s = least_s
        self._seen: collections.deque[tuple[float, int]] = collections.deque()

    def add(self, at_s: float, remaining_bytes: int | None) -> None:
        """Take in the remaining bytes; a rise or a step back in time restarts the window."""
        if remaining_bytes is None:
            return
        if self._seen and (at_s < self._seen[-1][0] or remaining_bytes > self._seen[-1][1]):
            self._seen.clear()
        self._seen.append((at_s, remaining_bytes))
        while self._seen[-1][0] - self._seen[0][0] > self._window_s and len(self._seen) > 2:
            self._seen.popleft()

    def rate(self) -> float | None:
        """Bytes per second, or None when too little was seen or nothing moves."""
        if len(self._seen) < 2:
            return None
        (start_s, most), (end_s, least) = self._seen[0], self._seen[-1]
        if end_s - start_s < self._least_s or most <= least:
            return None
        return (most - least) / (end_s - start_s)


class Progress:
    """Percent done of disks and memory together.

    disk_bytes: bytes to be copied of the disks as far as known; QEMU's own total counts as soon as
    there is one.
    """

    def __init__(self, memory_bytes: int, disk_bytes: int) -> None:
        self._memory = max(memory_bytes, 0)
        self._disk = max(disk_bytes, 0)
        self._best = 0.0

    def observe(self, sample: samples.Sample) -> float:
        """Percent done, 0 to 99: only the end itself is 100."""
        memory = max(sample.memory_total_bytes or 0, self._memory)
        disk = self._disk = sample.disk_total_bytes or self._disk
        done = 0.0
        if sample.memory_total_bytes and sample.memory_remaining_bytes is not None:
            done += memory - min(memory, sample.memory_remaining_bytes)
            # Memory starts when the disks are in sync.
            done += disk
        elif sample.disk_total_bytes and sample.disk_remaining_bytes is not None:
            done += disk - min(disk, sample.disk_remaining_bytes)
        if memory + disk > 0:
            self._best = max(self._best, min(99.0, 100 * done / (memory + disk)))
        return self._best

    @property
    def percent(self) -> float:
        """The last percentage."""
        return self._best
