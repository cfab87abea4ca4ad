# SPDX-License-Identifier: Apache-2.0
"""Forecast a migration if nothing is done: the forecast shown to users, and a verdict.

For the phases before the passes, only their own end can be forecast: what the guest dirties in the
meantime is not seen before the bulk copy is over.
"""

from __future__ import annotations

import dataclasses
import enum
import math

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import forecast
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import record
from nova_migpolicy.engine import settings as settings_mod

MIB = record.MIB
# Without a deadline, an end later than this from now counts as never.
PATIENCE_S = 600.0


class Verdict(enum.Enum):
    """The answer to whether it ends by itself.

    FINE: in time. LATE: after the deadline. UNSURE: only if the guest is gentler than it seems.
    STALLED: no.
    """

    FINE = 'fine'
    LATE = 'late'
    UNSURE = 'unsure'
    STALLED = 'stalled'


def _slowed(curve: dirtying.Curve, throttle_percent: int) -> dirtying.Curve:
    return curve.faster(1 - min(throttle_percent, 99) / 100)


@dataclasses.dataclass(frozen=True)
class Ends:
    """The predicted ends for the low, the mid and the high curve, from the last sync on."""

    low: forecast.Prediction
    mid: forecast.Prediction
    high: forecast.Prediction


def ends(seen: dirtying.Estimate, now: settings_mod.Settings, link: settings_mod.Link,
         throttle_percent: int) -> Ends:
    """Predict the ends, which stay the same until a pass ends or a setting changes."""
    drain = seen.wire_rate * seen.drain
    threshold = settings_mod.threshold_bytes(now.limit_ms, seen.wire_rate, link)
    horizon = max(PATIENCE_S, 60 * seen.remaining / drain)
    return Ends(*(
        forecast.predict(_slowed(curve, throttle_percent), seen.remaining, drain, threshold,
                         horizon_s=horizon, overlap=overlap)
        for curve, overlap in ((seen.low, True), (seen.mid, False), (seen.high, False))))


def passing(seen: dirtying.Estimate, found: Ends, link: settings_mod.Link, number: int,
            since_s: float, time_left_s: float | None) -> tuple[record.Forecast, Verdict]:
    """The forecast during the passes. since_s: seconds since the last sync."""
    low, mid, high = found.low, found.mid, found.high
    late = time_left_s is not None and mid.seconds - since_s > time_left_s
    if mid.converges:
        verdict = Verdict.LATE if late else Verdict.FINE
    elif low.converges and (time_left_s is None or low.seconds - since_s <= time_left_s):
        verdict = Verdict.UNSURE
    else:
        verdict = Verdict.STALLED

    def eta(end: forecast.Prediction) -> float | None:
        return max(0.0, end.seconds - since_s) if end.converges else None

    return record.Forecast(
        converges=mid.converges, eta_low_s=eta(low), eta_s=eta(mid), eta_high_s=eta(high),
        blackout_ms=settings_mod.blackout_ms(
            mid.remaining, seen.wire_rate, link) if mid.converges else None,
        plateau_bytes=None if mid.converges else int(mid.remaining),
        bandwidth_mib_s=seen.wire_rate / MIB,
        dirty_mib_s=seen.low.rate / MIB, pass_number=number,
        writable_set_bytes=int(seen.mid.set_bytes), deadline_in_s=time_left_s,
        makes_deadline=None if time_left_s is None else verdict is Verdict.FINE), verdict


def copying(remaining_bytes: float, rate: float | None,
            time_left_s: float | None) -> record.Forecast:
    """The forecast during the disks and the bulk copy: the end is no earlier than theirs.

    rate: bytes/s by which the remaining data shrinks; None when not known yet.
    """
    seconds = remaining_bytes / rate if rate else None
    makes = None
    if time_left_s is not None and seconds is not None:
        makes = seconds <= time_left_s
    return record.Forecast(
        converges=True, eta_low_s=seconds, eta_s=seconds, eta_high_s=None,
        bandwidth_mib_s=rate / MIB if rate else None, deadline_in_s=time_left_s,
        makes_deadline=makes)


def mirroring(seconds: float | None, gross: float | None,
              time_left_s: float | None) -> record.Forecast:
    """The forecast during the disks: the end is no earlier than that of them and the memory.

    seconds: infinity where the disks are never in sync; None when not known yet, with no end in
    sight either. gross: bytes/s copied.
    """
    ends_s = seconds if seconds is not None and math.isfinite(seconds) else None
    makes = None
    if time_left_s is not None and seconds is not None:
        makes = seconds <= time_left_s
    return record.Forecast(
        converges=seconds is None or ends_s is not None, eta_low_s=ends_s, eta_s=ends_s,
        bandwidth_mib_s=gross / MIB if gross is not None else None,
        deadline_in_s=time_left_s, makes_deadline=makes)


def plateau(seen: list[passes_mod.Pass]) -> list[passes_mod.Pass]:
    """The newest passes that all ended with about the same amount remaining."""
    newest = seen[-1].end_bytes
    flat: list[passes_mod.Pass] = []
    for one in reversed(seen):
        if not 0.9 * newest <= one.end_bytes <= 1.1 * newest:
            break
        flat.insert(0, one)
    return flat
