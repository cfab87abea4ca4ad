# SPDX-License-Identifier: Apache-2.0
"""The rate of a link over time: constant from step to step, 0 while it stalls."""

from __future__ import annotations

import bisect
import math


class Link:
    """How much moves over a link at a time; rates in MiB/s.

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
        """The rate at a time."""
        if len(self._times) == 1:
            return self._rates[0]
        return self._rates[max(0, bisect.bisect_right(self._times, at_s) - 1)]

    def changes_at(self, at_s: float) -> float:
        """When the rate changes next after a time; infinity for never."""
        if len(self._times) == 1:
            return math.inf
        number = bisect.bisect_right(self._times, at_s)
        return self._times[number] if number < len(self._times) else math.inf

    def arrival(self, begin_s: float, mib: float) -> float:
        """When that much is over, begun at a time; infinity where it never is."""
        at_s = begin_s
        while True:
            rate, change_s = self.rate(at_s), self.changes_at(at_s)
            if rate > 0 and at_s + mib / rate <= change_s:
                return at_s + mib / rate
            if change_s == math.inf:
                return math.inf
            mib -= rate * (change_s - at_s)
            at_s = change_s
