# SPDX-License-Identifier: Apache-2.0
"""The rate of a link over time, and how rates jitter from pass to pass.

Jitter is the only chance in the model; it comes from a seed.
"""

from __future__ import annotations

import bisect
import math
import random

# Jitter leaves at least this share of a rate.
LEAST_FACTOR = 0.2


class Link:
    """A link with a rate that changes with time; rates in MiB/s, 0 while it stalls.

    steps: (time, rate from then on), in order. outages: times (from, to) in which it moves
    nothing.
    """

    def __init__(self, mib_s: float, steps: tuple[tuple[float, float], ...] = (),
                 outages: tuple[tuple[float, float], ...] = ()) -> None:
        times = sorted({0.0, *(at_s for at_s, _ in steps),
                        *(at_s for outage in outages for at_s in outage)})
        self._times = times
        self._rates = []
        for at_s in times:
            rate = mib_s
            for since_s, value in steps:
                rate = value if since_s <= at_s else rate
            out = any(since_s <= at_s < until_s for since_s, until_s in outages)
            self._rates.append(0.0 if out else rate)

    def rate(self, at_s: float) -> float:
        """Return the rate at a time."""
        if len(self._times) == 1:
            return self._rates[0]
        return self._rates[max(0, bisect.bisect_right(self._times, at_s) - 1)]

    def changes_at(self, at_s: float) -> float:
        """Return the time of the next change of the rate after a time; infinity for never."""
        if len(self._times) == 1:
            return math.inf
        number = bisect.bisect_right(self._times, at_s)
        return self._times[number] if number < len(self._times) else math.inf

    def arrival(self, begin_s: float, mib: float) -> float:
        """Return the time when that much has moved, begun at a time; infinity for never."""
        at_s = begin_s
        while True:
            rate, change_s = self.rate(at_s), self.changes_at(at_s)
            if rate > 0 and at_s + mib / rate <= change_s:
                return at_s + mib / rate
            if change_s == math.inf:
                return math.inf
            mib -= rate * (change_s - at_s)
            at_s = change_s


class Jitter:
    """The factors of one migration on the rates of its link and of its guest, in this pass.

    :param link, guest: how far they vary, as a share of the rate; 0 for not at all
    """

    def __init__(self, seed: int, link: float, guest: float) -> None:
        self.link_factor = self.guest_factor = 1.0
        self._chance = random.Random(seed)
        self._link, self._guest = link, guest

    def next(self) -> bool:
        """Begin a pass; return whether any rate varies."""
        if self._link:
            self.link_factor = max(LEAST_FACTOR, 1 + self._link * self._chance.gauss(0, 1))
        if self._guest:
            self.guest_factor = max(LEAST_FACTOR, 1 + self._guest * self._chance.gauss(0, 1))
        return bool(self._link or self._guest)
