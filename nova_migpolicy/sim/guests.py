# SPDX-License-Identifier: Apache-2.0
"""Guests that write to their memory, as bitmaps of cells.

Memory is a row of cells, a cell standing for a run of pages; a set of cells is a whole number
used as a bitmap. A writer dirties cells of its own range in order or at random, at a rate that
may change with time. The kinds are those that the lab builds for real. There is no clock and no
source of chance: the same calls give the same writes.
"""

from __future__ import annotations

from collections import abc
import dataclasses

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Stretch:
    """For a time a writer writes rate_mib_s to set_mib of memory from first_mib on."""

    seconds: float
    rate_mib_s: float
    set_mib: float
    first_mib: float = 0.0
    sweep: bool = True


@dataclasses.dataclass(frozen=True)
class Workload:
    """What a guest of memory_mib does; zero_mib of its memory were never touched.

    Several writers run side by side. Each goes through its stretches in turn and stays with the
    last or, with cycle, begins with the first again.
    """

    memory_mib: int
    writers: tuple[tuple[Stretch, ...], ...] = ()
    zero_mib: int = 0
    cycle: bool = False


FOR_EVER = 1e12


def idle(memory_mib: int, zero_mib: int = 0) -> Workload:
    """It writes nothing."""
    return Workload(memory_mib, (), zero_mib)


def sweep(memory_mib: int, set_mib: float, rate_mib_s: float, zero_mib: int = 0) -> Workload:
    """It writes its set in order, again and again."""
    return Workload(memory_mib, ((Stretch(FOR_EVER, rate_mib_s, set_mib),),), zero_mib)


def uniform(memory_mib: int, set_mib: float, rate_mib_s: float, zero_mib: int = 0) -> Workload:
    """It writes to its set at random."""
    return Workload(memory_mib, ((Stretch(FOR_EVER, rate_mib_s, set_mib, sweep=False),),),
                    zero_mib)


def hot_cold(memory_mib: int, hot_mib: float, cold_mib: float, rate_mib_s: float,
             hot_share: float = 0.9) -> Workload:
    """It writes at random, most of it to a small part."""
    return Workload(memory_mib, (
        (Stretch(FOR_EVER, rate_mib_s * hot_share, hot_mib, sweep=False),),
        (Stretch(FOR_EVER, rate_mib_s * (1 - hot_share), cold_mib, hot_mib, sweep=False),)))


def bursts(memory_mib: int, set_mib: float, rate_mib_s: float, on_s: float,
           off_s: float) -> Workload:
    """It sweeps for a time and then does nothing for a time."""
    return Workload(memory_mib, ((Stretch(on_s, rate_mib_s, set_mib),
                                  Stretch(off_s, 0.0, set_mib)),), cycle=True)


def phases(memory_mib: int, *stretches: Stretch) -> Workload:
    """It changes its ways; the last for ever."""
    return Workload(memory_mib, (stretches,))


def mask(first: int, count: int) -> int:
    """A bitmap of count cells from first on."""
    return ((1 << count) - 1) << first if count > 0 else 0


class Writer:
    """One writer at work: `write` gives the cells that it dirtied."""

    def __init__(self, stretches: abc.Sequence[Stretch], cell_bytes: int, cells: int,
                 cycle: bool) -> None:
        self._stretches = stretches
        self._cell = cell_bytes
        self._cells = cells
        self._cycle = cycle
        self._index = 0
        self._left_s = stretches[0].seconds
        self._owed = 0.0
        self._at = 0
        self._chance = 12345

    def write(self, seconds: float, speed: float) -> int:
        """The cells dirtied in the next seconds, at a share (0..1) of the guest's own speed."""
        dirty = 0
        while seconds > 1e-9:
            now = self._stretches[self._index]
            step = min(seconds, self._left_s)
            dirty |= self._some(now, step * now.rate_mib_s * MIB * speed / self._cell)
            seconds -= step
            self._left_s -= step
            if self._left_s <= 1e-9:
                self._next()
        return dirty

    def _next(self) -> None:
        last = self._index == len(self._stretches) - 1
        if last and not self._cycle:
            self._left_s = FOR_EVER
            return
        self._index = 0 if last else self._index + 1
        self._left_s = self._stretches[self._index].seconds
        self._owed = 0.0

    def _some(self, now: Stretch, amount: float) -> int:
        """The cells of one stretch that amount cells' worth of writing dirties."""
        first = min(self._cells - 1, int(now.first_mib * MIB / self._cell))
        size = max(1, min(self._cells - first, round(now.set_mib * MIB / self._cell)))
        self._owed += amount
        count = int(self._owed)
        self._owed -= count
        if count >= (size if now.sweep else 12 * size):
            self._at = (self._at + count) % size
            return mask(first, size)
        if now.sweep:
            self._at %= size
            end = self._at + count
            dirty = mask(self._at, min(end, size) - self._at) | mask(0, end - size)
            self._at = end % size
            return dirty << first
        dirty = 0
        for _ in range(count):
            self._chance = (self._chance * 6364136223846793005 + 1442695040888963407) % 2 ** 64
            dirty |= 1 << ((self._chance >> 33) % size)
        return dirty << first


def writers(load: Workload, cell_bytes: int) -> list[Writer]:
    """The writers of a workload at the beginning of time."""
    cells = max(1, load.memory_mib * MIB // cell_bytes)
    return [Writer(stretches, cell_bytes, cells, load.cycle) for stretches in load.writers]
