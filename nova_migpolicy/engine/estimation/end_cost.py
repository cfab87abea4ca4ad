# SPDX-License-Identifier: Apache-2.0
"""What an end costs: how much is still to be sent when the guest is stopped, and for how long.

What remains by QEMU's counters is as of the last sync of the dirty bitmap. What the guest has
dirtied since then comes on top, for QEMU finds it at the next one.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine import settings as settings_mod


# Two figures that are closer to each other are told as one.
NEAR = 1.25


@dataclasses.dataclass(frozen=True)
class Cost:
    """What is to be sent, in bytes, and the seconds that it takes.

    left, seconds: what is likely. least_seconds, most_seconds: what it may be by what was seen,
        which says little of times between the shortest pass and none.
    at_least: nothing is known of what the guest writes. at_most: the rate is not known that the
        link gives without a cap, or without others, so it is reckoned at the rate that was seen.
    """

    left: float
    seconds: float
    least_seconds: float
    most_seconds: float
    at_least: bool = False
    at_most: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the likely figure is near enough to what it may be."""
        return self.most_seconds <= NEAR * self.least_seconds


def _least(points: abc.Sequence[dirtying.Point], seconds: float) -> float:
    """The least that a guest can have dirtied in a time, by what it dirtied in others.

    What is dirtied grows ever more slowly, so it is no less than a straight line between two
    times says.
    """
    before_s = before = 0.0
    for one in sorted(points, key=lambda one: one.seconds):
        if one.seconds >= seconds:
            share = (seconds - before_s) / max(one.seconds - before_s, 1e-9)
            return before + min(1.0, share) * max(0.0, one.dirtied - before)
        before_s, before = one.seconds, max(before, one.dirtied)
    return before


def _dirtied(seen: dirtying.Estimate, seconds: float) -> tuple[float, float, float]:
    """Bytes dirtied in seconds of unthrottled running: likely, the least, and the most."""
    likely, least = seen.mid.dirtied(seconds), _least(seen.points, seconds)
    most = seen.mid.set_bytes if seen.saturated or seen.evidence < 1 else likely
    return max(likely, least), min(likely, least), max(likely, least, most)


def of(left: float, seen: dirtying.Estimate | None, since_s: float, throttle_percent: int,
       rate: float, *, sends_again: bool = True, rate_is_known: bool = True) -> Cost:
    """What it costs to send all with the guest stopped.

    :param left: bytes, as of the last sample
    :param seen: None where no pass is over: what is dirtied is not known then
    :param since_s: since the last sync
    :param rate: bytes/s on the wire
    :param sends_again: see record.Facts
    :param rate_is_known: it is not just what was seen under a cap that is lifted, or beside others
    """
    dirtied = (0.0, 0.0, 0.0)
    if seen is not None and since_s > 0:
        dirtied = _dirtied(seen, since_s * (1 - min(throttle_percent, 99) / 100))
        if not sends_again and seen.mid.set_bytes > 0:
            clean = 1 - min(1.0, left / seen.mid.set_bytes)
            dirtied = (clean * dirtied[0], clean * dirtied[1], clean * dirtied[2])
    drain = rate * (1.0 if seen is None else seen.drain)
    seconds, least_s, most_s = (
        (left + new) / drain + settings_mod.OVERHEAD_MS / 1000 for new in dirtied)
    return Cost(left + dirtied[0], seconds, least_s, most_s,
                at_least=seen is None, at_most=not rate_is_known)
