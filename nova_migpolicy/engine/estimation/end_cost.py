# SPDX-License-Identifier: Apache-2.0
"""The cost of an end: how much is still to be sent with the guest stopped, and for how long.

The remaining bytes in QEMU's counters are those of the last sync of the dirty bitmap. The memory
that the guest has dirtied since then is added, since QEMU finds it at the next sync.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine import settings as settings_mod


# Two figures that are closer to each other are reported as one.
NEAR = 1.25


@dataclasses.dataclass(frozen=True)
class Cost:
    """The bytes to be sent, and the seconds that it takes.

    left, seconds: the likely values. least_seconds, most_seconds: the bounds by the observations,
        which tell little of times shorter than the shortest pass.
    at_least: nothing is known of the guest's writes. at_most: the rate of the link without a cap,
        or without others, is not known, so the observed rate is assumed.
    """

    left: float
    seconds: float
    least_seconds: float
    most_seconds: float
    at_least: bool = False
    at_most: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the bounds are close to each other."""
        return self.most_seconds <= NEAR * self.least_seconds


def _least(points: abc.Sequence[dirtying.Point], seconds: float) -> float:
    """The least that a guest can have dirtied in a time, given what it dirtied in other times.

    The dirtied amount grows ever more slowly, so it is no less than on a straight line between two
    times.
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
    """The cost of sending everything with the guest stopped.

    :param left: bytes, as of the last sample
    :param seen: None where no pass is over: the guest's writes are not known then
    :param since_s: seconds since the last sync
    :param rate: bytes/s on the wire
    :param sends_again: see record.Facts
    :param rate_is_known: False where it was observed under a cap that is lifted, or beside others
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
