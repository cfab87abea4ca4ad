# SPDX-License-Identifier: Apache-2.0
"""Predict the end of a migration pass by pass, as QEMU runs it.

QEMU sends until the remaining data is below its threshold, syncs the dirty bitmap, and switches
over if the remaining data is still below; else it goes on with the next pass. A pass begins with
what was left over and what was newly dirtied, so the length of each decides the next. Pure
arithmetic: which settings to try is not decided here.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine.estimation import dirtying

# A pass gets no shorter than what QEMU sends between two looks at its threshold.
LEAST_PASS_S = 0.01
MAX_PASSES = 300
# The remaining data is sampled, and the rate behind the threshold varies.
MARGIN = 0.93
NEARLY = 1.02


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The predicted end of a migration, or that it has none.

    seconds: from now. remaining: bytes at the switchover, or after each pass when there is no
    end in sight.
    """

    converges: bool
    seconds: float
    remaining: float
    passes: int


def predict(curve: dirtying.Curve, remaining: float, drain_rate: float, threshold: float, *,
            horizon_s: float, overlap: bool = False) -> Prediction:
    """Run the passes from a sync at which remaining bytes were to be sent.

    curve: U(t) of the guest. drain_rate: guest bytes/s covered. threshold: bytes that may remain
    at the switchover. horizon_s: later than that counts as never. overlap: pages that are left
    over are as likely to be dirtied again as others (a guest that writes at random), instead of
    as little as possible.
    """
    if drain_rate <= 0:
        return Prediction(False, horizon_s, remaining, 0)
    seconds = 0.0
    left = remaining
    burst = LEAST_PASS_S
    # At the threshold, one moment in which less is dirtied than sent suffices.
    drains = curve.dirtied(burst) < 0.98 * drain_rate * burst
    fits = threshold * (NEARLY if drains else MARGIN)
    for number in range(MAX_PASSES):
        if left <= fits:
            return Prediction(True, seconds, left, number)
        step = max((left - threshold) / drain_rate, burst)
        over = max(0.0, left - step * drain_rate)
        new = curve.dirtied(step)
        if overlap and curve.set_bytes > 0:
            new *= 1 - min(1.0, over / curve.set_bytes)
        after = min(over + new, max(curve.set_bytes, over))
        seconds += step
        if seconds > horizon_s:
            return Prediction(False, seconds, after, number + 1)
        if after - threshold >= (left - threshold) * 0.998 and (
                number > 0 or after >= curve.set_bytes):
            return Prediction(False, seconds, after, number + 1)
        left = after
    return Prediction(False, seconds, left, MAX_PASSES)
