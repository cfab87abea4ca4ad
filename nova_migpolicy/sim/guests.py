# SPDX-License-Identifier: Apache-2.0
"""Guests that write to their memory in fully known ways.

A workload is a list of writers. Each dirties pages of a range of its own, in order (a sweep) or
at random, at a rate that may change with time; ranges may overlap. Sizes are MiB, rates MiB of
pages written per second: a page that is written twice counts twice. `Workload.unique_mib` is the
writable-set curve U(t), and its limit the writable set W. Nothing here knows of a migration.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import itertools
import math

MIB = 1 << 20
FOR_EVER = 1e12
# Zipf's law is kept as this many parts, each hit evenly; together they hold the same writes.
ZIPF_PARTS = 12


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A time in which a writer writes rate_mib_s to set_mib of memory from first_mib on.

    to_mib_s: the rate at the end where it changes steadily; None where it does not.
    """

    seconds: float
    rate_mib_s: float
    set_mib: float
    first_mib: float = 0.0
    sweep: bool = True
    to_mib_s: float | None = None

    def written_mib(self, since_s: float, until_s: float) -> float:
        """Return MiB written between two times, counted from the beginning of the stretch."""
        begin, end = max(0.0, since_s), min(until_s, self.seconds)
        if end <= begin:
            return 0.0
        mean = self.rate_mib_s
        if self.to_mib_s is not None:
            mean += (self.to_mib_s - mean) * (begin + end) / 2 / self.seconds
        return mean * (end - begin)


@dataclasses.dataclass(frozen=True)
class Workload:
    """The behaviour of a guest of memory_mib; zero_mib of its memory were never touched.

    Several writers run side by side. Each goes through its stretches in turn and stays with the
    last or, with cycle, begins with the first again. A sweep begins at the start of its set
    with each stretch. busy: the share of its processors' time (0..1) that its work takes, so that
    a throttle slows it only where it takes more than the idle time.
    """

    memory_mib: int
    writers: tuple[tuple[Stretch, ...], ...] = ()
    zero_mib: int = 0
    cycle: bool = False
    busy: float = 1.0

    def speed(self, throttle_percent: int) -> float:
        """Return the share of its own speed at which it works under a throttle."""
        return min(1.0, (1 - throttle_percent / 100) / self.busy)

    @property
    def writable_set_mib(self) -> float:
        """W: all memory that is ever written to."""
        ranges = sorted((one.first_mib, one.first_mib + one.set_mib) for writer in self.writers
                        for one in writer if one.rate_mib_s > 0 or one.to_mib_s)
        total = reach = 0.0
        for first, last in ranges:
            total += max(0.0, last - max(first, reach))
            reach = max(reach, last)
        return min(total, float(self.memory_mib))

    def unique_mib(self, seconds: float) -> float:
        """Return U(t): MiB dirtied in the first seconds, for writers that do not overlap."""
        total = 0.0
        for writer in self.writers:
            clean: dict[tuple[float, float], float] = {}
            for one, since_s, until_s in passages(writer, self.cycle, 0.0, seconds):
                place = (one.first_mib, one.set_mib)
                written = one.written_mib(since_s, until_s) / one.set_mib
                left = max(0.0, 1 - written) if one.sweep else math.exp(-written)
                before = clean.get(place, 1.0)
                # Each stretch of a sweep begins again: it adds only the part that reaches further.
                clean[place] = min(before, left) if one.sweep else before * left
            total += sum(size * (1 - left) for (_, size), left in clean.items())
        return total


def passages(stretches: abc.Sequence[Stretch], cycle: bool, begin_s: float, end_s: float
             ) -> abc.Iterator[tuple[Stretch, float, float]]:
    """Generate the parts of stretches between two times: (stretch, since, until) within it.

    Of repeating stretches no more than two rounds are given: all rounds in between are like
    them.
    """
    whole = sum(one.seconds for one in stretches)
    if cycle and end_s - begin_s > 2 * whole:
        begin_s = end_s - whole - end_s % whole
    at_s = whole * math.floor(begin_s / whole) if cycle else 0.0
    for one, seconds in _endless(stretches, cycle):
        until_s = at_s + seconds
        if until_s > begin_s:
            yield one, max(begin_s - at_s, 0.0), min(end_s, until_s) - at_s
        if until_s >= end_s:
            return
        at_s = until_s


def _endless(stretches: abc.Sequence[Stretch],
             cycle: bool) -> abc.Iterable[tuple[Stretch, float]]:
    """Generate stretches and their seconds without end: the last one lasts, or they repeat."""
    timed = [(one, one.seconds) for one in stretches]
    return itertools.cycle(timed) if cycle else [*timed[:-1], (stretches[-1], math.inf)]


def idle(memory_mib: int, zero_mib: int = 0) -> Workload:
    """Make a guest that writes nothing."""
    return Workload(memory_mib, (), zero_mib)


def sweep(memory_mib: int, set_mib: float, rate_mib_s: float, zero_mib: int = 0) -> Workload:
    """Make a guest that writes its set in order, again and again."""
    return Workload(memory_mib, ((Stretch(FOR_EVER, rate_mib_s, set_mib),),), zero_mib)


def uniform(memory_mib: int, set_mib: float, rate_mib_s: float, zero_mib: int = 0) -> Workload:
    """Make a guest that writes to its set at random."""
    return Workload(memory_mib, ((Stretch(FOR_EVER, rate_mib_s, set_mib, sweep=False),),),
                    zero_mib)


def hot_cold(memory_mib: int, hot_mib: float, cold_mib: float, rate_mib_s: float,
             hot_share: float = 0.9) -> Workload:
    """Make a guest that writes at random, most of it to a small part."""
    return Workload(memory_mib, (
        (Stretch(FOR_EVER, rate_mib_s * hot_share, hot_mib, sweep=False),),
        (Stretch(FOR_EVER, rate_mib_s * (1 - hot_share), cold_mib, hot_mib, sweep=False),)))


def zipf(memory_mib: int, set_mib: float, rate_mib_s: float, skew: float = 1.0) -> Workload:
    """Make a guest that writes at random, to the page of rank n in proportion to n ** -skew."""
    pages = set_mib * MIB / 4096
    edges = [0.0, *(pages ** (part / ZIPF_PARTS) for part in range(1, ZIPF_PARTS + 1))]

    def weight(to: float) -> float:
        """Return the integral of rank ** -skew from rank 1 on, a rank being half a page wide."""
        if abs(skew - 1) < 1e-6:
            return math.log(to + 0.5) - math.log(0.5)
        power = 1 - skew
        return (math.pow(to + 0.5, power) - math.pow(0.5, power)) / power

    whole = weight(pages)
    return Workload(memory_mib, tuple(
        (Stretch(FOR_EVER, rate_mib_s * (weight(last) - weight(first)) / whole,
                 (last - first) * 4096 / MIB, first * 4096 / MIB, sweep=False),)
        for first, last in itertools.pairwise(edges)))


def bursts(memory_mib: int, set_mib: float, rate_mib_s: float, on_s: float,
           off_s: float) -> Workload:
    """Make a guest that sweeps for a time and then does nothing for a time."""
    return Workload(memory_mib, ((Stretch(on_s, rate_mib_s, set_mib),
                                  Stretch(off_s, 0.0, set_mib)),), cycle=True)


def ramp(memory_mib: int, set_mib: float, rate_mib_s: float, to_mib_s: float,
         seconds: float) -> Workload:
    """Make a guest that writes at random, at a rate that changes steadily and then stays."""
    return Workload(memory_mib, ((
        Stretch(seconds, rate_mib_s, set_mib, sweep=False, to_mib_s=to_mib_s),
        Stretch(FOR_EVER, to_mib_s, set_mib, sweep=False)),))


def phases(memory_mib: int, *stretches: Stretch) -> Workload:
    """Make a guest that goes through stretches, and stays with the last for ever."""
    return Workload(memory_mib, (stretches,))
