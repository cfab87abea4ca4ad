# SPDX-License-Identifier: Apache-2.0
"""Several migrations of the model over one link, which divides itself evenly among them.

Each gets as much as every other one, but for those whose cap is less than that; what these leave
goes to the others. Between two moments of sharing it out again, a slice, the rates stay.
"""

from __future__ import annotations

from collections import abc

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine.steering import share
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run as sim_run

SLICE_S = 0.05
Pair = tuple[controller_mod.Controller, precopy.Migration]


def shares(wanted: abc.Sequence[float], mib_s: float) -> list[float]:
    """Share a link of this many MiB/s among migrations by the rate that each would take."""
    given = [0.0] * len(wanted)
    left, open_ = mib_s, sorted(range(len(wanted)), key=lambda one: wanted[one])
    while open_:
        first = open_.pop(0)
        given[first] = min(wanted[first], left / (len(open_) + 1))
        left -= given[first]
    return given


class Crowd:
    """Migrations of one host that begin together.

    :param pairs: the pilot and the migration of each, the oldest first
    """

    def __init__(self, pairs: abc.Sequence[Pair], link_mib_s: float) -> None:
        self._link_mib_s = link_mib_s
        self._at_s = 0.0
        self._needy: tuple[bool, ...] = ()
        self.courses = [sim_run.Course(pilot, plant, change=self._telling(place))
                        for place, (pilot, plant) in enumerate(pairs)]

    def _telling(self, place: int) -> sim_run.Change:
        """Return a function that adds one's view of the others to its statistics."""
        def change(stats: dict[str, int]) -> dict[str, int]:
            under_way = [one for one in self.courses if not one.plant.over]
            order = [(needs, one.pilot.is_urgent)
                     for needs, one in zip(self._in_need(), self.courses, strict=True)]
            return {
                **stats,
                'others': sum(one is not self.courses[place] and not one.pilot.has_given_way
                              for one in under_way),
                'needed_by': share.needed_by(order, place)}
        return change

    def _in_need(self) -> tuple[bool, ...]:
        return tuple(one.pilot.in_need and not one.plant.over for one in self.courses)

    def go(self, until_s: float) -> list[sim_run.Run]:
        """Let time pass to a moment or until all are over; return the result of each."""
        at_s = self._at_s
        while at_s < until_s and not all(one.plant.over for one in self.courses):
            at_s += SLICE_S
            given = shares([one.plant.wants_mib_s for one in self.courses], self._link_mib_s)
            needy = (*self._in_need(), *(one.pilot.is_urgent for one in self.courses))
            for course, mib_s in zip(self.courses, given, strict=True):
                if needy != self._needy:
                    course.look_soon()
                course.plant.share_link(max(mib_s, 1e-6))
                course.go(at_s)
            self._needy = needy
        self._at_s = at_s
        return [one.told() for one in self.courses]
