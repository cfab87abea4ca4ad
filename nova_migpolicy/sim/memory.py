# SPDX-License-Identifier: Apache-2.0
"""A guest's dirty memory as QEMU keeps it, without a bit for each page.

Memory is a row of pieces, each with the share of its pages that is dirty. Pages that are written
in order make pieces that are dirty as a whole; pages that are written at random make pieces that
are dirty in part, and there the share is the expected one of a great number of pages. The sender
goes round and round through the pieces from a place that it keeps. Sizes are MiB.
"""

from __future__ import annotations

import math

from nova_migpolicy.sim import guests

_SAME = 1e-9
# Closer than a page: the rounding error of the same place.
_NEAR = 1e-6


class Writing:
    """The writes of one writer of a guest since the last sync."""

    def __init__(self, stretches: tuple[guests.Stretch, ...], cycle: bool,
                 memory_mib: float) -> None:
        self._stretches = stretches
        self._cycle = cycle
        self._memory = memory_mib
        self._simple = len(stretches) == 1 and stretches[0].to_mib_s is None
        # A sweep's place in its set; under a throttle it differs from the rate times the time.
        self._behind: dict[int, float] = {}
        self.marks: list[tuple[float, float, float]] = []

    def go_on(self, begin_s: float, end_s: float, speed: float) -> None:
        """Write from one time to another at a share (0..1) of its own speed."""
        if speed <= 0 or end_s <= begin_s:
            return
        if self._simple:
            one = self._stretches[0]
            self._write(one, 0, one.rate_mib_s * (end_s - begin_s) * speed,
                        self._behind.get(0, 0.0))
            return
        for one, since_s, until_s in guests.passages(
                self._stretches, self._cycle, begin_s, end_s):
            if since_s <= 0:
                self._behind.clear()
            number = self._stretches.index(one)
            self._write(one, number, one.written_mib(since_s, until_s) * speed,
                        self._behind.get(number, 0.0))

    def _write(self, one: guests.Stretch, number: int, written: float, at: float) -> None:
        first = min(one.first_mib, self._memory)
        size = min(one.set_mib, self._memory - first)
        if written <= 0 or size <= 0:
            return
        if not one.sweep:
            self.marks.append((first, first + size, math.exp(-written / size)))
            return
        self._behind[number] = (at + written) % size
        if written >= size:
            self.marks.append((first, first + size, 0.0))
            return
        end = at + written
        self.marks.append((first + at, first + min(end, size), 0.0))
        if end > size:
            self.marks.append((first, first + end - size, 0.0))


class Memory:
    """The dirty memory of one guest; all of it is dirty at first."""

    def __init__(self, load: guests.Workload) -> None:
        size = float(load.memory_mib)
        self._zero_from = size - min(size, load.zero_mib)
        self._zeros = load.zero_mib > 0
        self._starts = [0.0, self._zero_from] if 0 < self._zero_from < size else [0.0]
        self._shares = [1.0] * len(self._starts)
        self._size = size
        self._at = 0.0
        self._writers = [Writing(stretches, load.cycle, size) for stretches in load.writers]
        self.dirty_mib = size

    def write(self, begin_s: float, end_s: float, speed: float) -> None:
        """Let the guest write from one time to another at a share of its own speed."""
        for writer in self._writers:
            writer.go_on(begin_s, end_s, speed)

    def sync(self) -> float:
        """Take in the writes since the last sync; return the MiB that became dirty."""
        marks = [mark for writer in self._writers for mark in writer.marks]
        for writer in self._writers:
            writer.marks = []
        starts, shares = self._starts, self._shares
        for first, last, left in marks:
            begin, end = self._split(first), self._split(last)
            for number in range(begin, end):
                shares[number] = 1 - (1 - shares[number]) * left
        before = self.dirty_mib
        self._merge()
        ends = [*starts[1:], self._size]
        self.dirty_mib = sum((end - start) * share for start, end, share in zip(
            starts, ends, shares, strict=True))
        return self.dirty_mib - before

    def zeros_ahead(self) -> bool:
        """Whether the next pages to be sent were never touched."""
        return self._zeros and self._at >= self._zero_from - _NEAR

    def until_zeros(self) -> float:
        """Return MiB to be sent before pages that were never touched, or before they end."""
        if not self._zeros:
            return math.inf
        stop = self._size if self.zeros_ahead() else self._zero_from
        total = 0.0
        ends = [*self._starts[1:], self._size]
        for start, end, share in zip(self._starts, ends, self._shares, strict=True):
            total += share * max(0.0, min(end, stop) - max(start, self._at))
        return total

    def send(self, mib: float) -> None:
        """Send that much, on from where the last sending ended."""
        if mib >= self.dirty_mib - _SAME:
            self._starts[:], self._shares[:] = [0.0], [0.0]
            if 0 < self._zero_from < self._size and self._zeros:
                self._pass_zeros(self._size)
            self.dirty_mib = 0.0
            return
        left = mib
        number = self._split(self._at)
        while left > _SAME:
            if number >= len(self._starts):
                number = 0
                self._pass_zeros(self._size)
                self._at = 0.0
            end = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
            start, share = self._starts[number], self._shares[number]
            amount = (end - start) * share
            if amount <= left:
                self._shares[number] = 0.0
                left -= amount
                self._at = end
                number += 1
            else:
                self._at = start + left / share
                cut = self._split(self._at)
                if cut > number:
                    self._shares[number] = 0.0
                left = 0.0
        self._skip_crumbs()
        self._pass_zeros(self._at)
        self.dirty_mib = max(0.0, self.dirty_mib - mib)

    def _skip_crumbs(self) -> None:
        """Pass by less than a byte before pages that were never touched begin, or end.

        Rounding leaves that there, and it could never be sent: sending it takes no time.
        """
        if not self._zeros:
            return
        stop = self._size if self.zeros_ahead() else self._zero_from
        while self._at < stop:
            number = self._split(self._at)
            end = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
            end = min(end, stop)
            if number < len(self._starts) and (end - self._at) * self._shares[number] > _NEAR:
                return
            self._at = end

    def _pass_zeros(self, at: float) -> None:
        """Treat pages that were never touched, once sent, as any others from then on."""
        if self._zeros and at >= self._size - _SAME:
            self._zeros = False

    def _split(self, at: float) -> int:
        """Make a piece begin at a place; return its number."""
        starts = self._starts
        if at >= self._size - _SAME:
            return len(starts)
        low, high = 0, len(starts)
        while low < high:
            middle = (low + high) // 2
            if starts[middle] < at - _SAME:
                low = middle + 1
            else:
                high = middle
        if low < len(starts) and starts[low] <= at + _SAME:
            return low
        starts.insert(low, at)
        self._shares.insert(low, self._shares[low - 1])
        return low

    def _merge(self) -> None:
        """Join neighbours that are dirty alike."""
        starts, shares = self._starts, self._shares
        kept = 0
        for number in range(1, len(starts)):
            if abs(shares[number] - shares[kept]) > _SAME:
                kept += 1
                starts[kept], shares[kept] = starts[number], shares[number]
        del starts[kept + 1:], shares[kept + 1:]
