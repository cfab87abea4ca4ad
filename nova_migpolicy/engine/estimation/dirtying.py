# SPDX-License-Identifier: Apache-2.0
"""Learn from the passes how a guest dirties its memory.

U(t) is the number of different bytes that a guest dirties in t seconds: concave, never falling,
flat once its whole writable set is dirty. It is a property of the guest alone, so passes at one
bandwidth predict what would happen at another. QEMU's own dirty rate is not used: it counts
newly dirtied pages, cannot exceed the rate of sending, and hides what a faster guest does.

The result is three curves: low is the gentlest guest that fits the observations, mid the best
fit, high a guest that dirties more. A migration that does not converge even by the low curve does
not converge.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import math
import statistics

from nova_migpolicy.engine.estimation import passes as passes_mod

Pass = passes_mod.Pass

# Two passes contradict each other when no concave curve comes within this of both.
TOLERANCE = 0.15
SATURATED = 0.94
# A fit with a smaller error than this is as good as any.
CLOSE = 0.03
KEPT = 5


@dataclasses.dataclass(frozen=True)
class Curve:
    """U(t): a set of set_bytes written at rate bytes/s, in order (sweep) or at random."""

    set_bytes: float
    rate: float
    sweep: bool = False

    def dirtied(self, seconds: float) -> float:
        """Different bytes dirtied in a time."""
        if self.set_bytes <= 0 or self.rate <= 0 or seconds <= 0:
            return 0.0
        if self.sweep:
            return min(self.set_bytes, self.rate * seconds)
        return self.set_bytes * -math.expm1(-self.rate * seconds / self.set_bytes)

    def faster(self, factor: float, wider: float = 1.0) -> Curve:
        """The curve of a guest that writes factor times as fast to a set wider times as big."""
        return Curve(self.set_bytes * wider, self.rate * factor, self.sweep)

    def holding(self, least_bytes: float) -> Curve:
        """The curve with a set of at least this size: the data that remained was written to."""
        if self.rate <= 0:
            return self
        return dataclasses.replace(self, set_bytes=max(self.set_bytes, least_bytes))


@dataclasses.dataclass(frozen=True)
class Point:
    """One observation of U: bytes dirtied in seconds of unthrottled running."""

    seconds: float
    dirtied: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The estimate from the passes so far.

    wire_rate: bytes/s sent at the present settings; measured: it was observed in a pass.
    drain: guest bytes covered per byte sent.
    gentle: the best fit if no writes were hidden, of a guest that writes in order if possible.
    evidence: the number of consecutive passes that agree with each other, without the bulk copy,
        but with the measurement before the start.
    bursty: the remaining amount has varied widely of late; low_bytes is its lowest value.
    points: those that agree with the newest pass, oldest first.
    saturated: the whole set was dirty in every pass, so its write rate is unknown, and mid's rate
        is only a guess.
    """

    low: Curve
    mid: Curve
    high: Curve
    gentle: Curve
    wire_rate: float
    drain: float
    remaining: int
    low_bytes: int
    evidence: int
    bursty: bool
    saturated: bool
    measured: bool
    points: tuple[Point, ...] = ()


def point(seen: Pass, set_bytes: float) -> Point | None:
    """The point of U that a pass shows; None when it shows too little.

    Pages that were left over hide that they were dirtied again, so their share of the set is
    added.
    """
    share = seen.leftover_bytes / set_bytes if set_bytes else 0.0
    if share > 0.8 or seen.duration_s < 0.02:
        return None
    new = seen.dirtied_bytes / seen.count
    dirtied = min(new / (1 - share), max(seen.end_bytes, new))
    awake = 1 - min(seen.throttle_percent, 99) / 100
    return Point(seen.duration_s / seen.count * awake, dirtied)


def agree(one: Point, other: Point) -> bool:
    """Whether one concave curve that never falls can pass near both points."""
    short, long = sorted((one, other), key=lambda p: p.seconds)
    slack = 1 + TOLERANCE
    floor = 1 << 20
    return (short.dirtied <= long.dirtied * slack + floor
            and long.dirtied / long.seconds
            <= short.dirtied / short.seconds * slack + floor / long.seconds)


def _error(curve: Curve, points: abc.Sequence[Point]) -> float:
    """The error of a curve, as a share of the observed values."""
    return math.sqrt(_mean([(curve.dirtied(p.seconds) / max(p.dirtied, 1) - 1) ** 2
                            for p in points]))


def _mean(values: abc.Sequence[float]) -> float:
    """The mean, weighted towards the newest value, which is the last."""
    weights = [0.6 ** age for age in reversed(range(len(values)))]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def fit(points: abc.Sequence[Point]) -> tuple[Curve, bool]:
    """The best-fitting curve, and whether its rate is only a guess (see Estimate.saturated).

    points: at least one, oldest first.
    """
    most = max(p.dirtied for p in points)
    if most < 1:
        return Curve(0.0, 0.0, sweep=True), False
    free = [p for p in points if p.dirtied < SATURATED * most]
    if not free and len(points) > 1:
        return Curve(most, 3 * most / min(p.seconds for p in points)), True
    best = line(points)
    least = _error(best, points)
    for step in range(12):
        size = most * 1.02 * 1.35 ** step
        curve = Curve(size, _mean([-size / p.seconds * math.log1p(-p.dirtied / size)
                                   for p in free or points]))
        error = _error(curve, points)
        if error < least:
            best, least = curve, error
    return best, False


def line(points: abc.Sequence[Point]) -> Curve:
    """The best-fitting curve of a guest that writes in order."""
    curves = []
    for size in {p.dirtied for p in points}:
        rates = [p.dirtied / p.seconds for p in points if p.dirtied < SATURATED * size]
        rates = rates or [max(p.dirtied / p.seconds for p in points)]
        curves.append(Curve(size, _mean(rates), sweep=True))
    return min(curves, key=lambda curve: (_error(curve, points), curve.set_bytes))


def _rate(seen: abc.Sequence[Pass], cap_mib_s: int) -> float | None:
    """Bytes/s on the wire in the last passes at this cap; None when there was no such pass."""
    rates = [p.wire_rate for p in seen if p.number > 0 and p.steady
             and p.cap_mib_s == cap_mib_s and p.duration_s >= 0.3]
    return statistics.median_high(rates[-3:]) if rates else None


@dataclasses.dataclass(frozen=True)
class _Kept:
    """The newest points that agree, oldest first: raw as counted, and with hidden writes added."""

    raw: tuple[Point, ...]
    points: tuple[Point, ...]
    evidence: int
    agreed: bool


def _keep(seen: abc.Sequence[Pass], before: Point | None) -> _Kept:
    size = max(1, seen[0].dirtied_bytes, *(p.end_bytes for p in seen[-12:] if p.number > 0))
    points: list[Point] = []
    raw: list[Point] = []
    evidence = 0
    agreed = True
    for one in reversed(seen[-KEPT - 3:]):
        found = point(one, size)
        if found is None:
            continue
        agreed = all(agree(found, other) for other in points)
        if len(points) >= KEPT or not agreed:
            break
        points.insert(0, found)
        raw.insert(0, Point(found.seconds, one.dirtied_bytes / one.count))
        evidence += one.number > 0
    if before is not None and agreed and len(points) < KEPT and all(
            agree(before, other) for other in points):
        points.insert(0, before)
        raw.insert(0, before)
        evidence += 1
    if not points:
        points = raw = [Point(max(seen[-1].duration_s, 0.02), seen[-1].end_bytes)]
    return _Kept(tuple(raw), tuple(points), evidence, agreed)


def _curves(kept: _Kept, least_bytes: float) -> tuple[Curve, Curve, Curve, bool]:
    """The low, mid and gentle curves, and whether mid's rate is a guess."""
    mid, saturated = fit(kept.points)
    short = sorted(kept.points, key=lambda p: p.seconds)[:2]
    low = Curve(max(p.dirtied for p in kept.points),
                min(p.dirtied / p.seconds for p in short), sweep=True)
    gentle = line(kept.raw)
    if _error(gentle, kept.raw) >= CLOSE:
        curve, guess = fit(kept.raw)
        gentle = gentle if guess else curve
        if kept.evidence >= 2 and not saturated and _error(mid, kept.raw) < 2 * CLOSE:
            # The curve is certain, so the guest is not much gentler than that.
            low = mid.faster(0.8)
    low, mid, gentle = (curve.holding(least_bytes) for curve in (low, mid, gentle))
    return low, mid, gentle, saturated


def estimate(seen: abc.Sequence[Pass], cap_mib_s: int, expected_rate: float,
             before: Point | None = None) -> Estimate | None:
    """Estimate from the passes so far, oldest first; None when there is none.

    cap_mib_s: the cap in force. expected_rate: bytes/s to assume when no pass has shown the rate
    at this cap. before: the measurement before the start; it counts as long as the passes agree
    with it.
    """
    if not seen:
        return None
    newest = seen[-1]
    kept = _keep(seen, before)
    low, mid, gentle, saturated = _curves(kept, newest.end_bytes)
    least = min([p.end_bytes for p in seen[-8:] if p.number > 0] or [newest.end_bytes])
    measured = _rate(seen, cap_mib_s)
    drained = [p.drain_rate / p.wire_rate for p in seen[-3:] if p.wire_bytes and p.number > 0]
    return Estimate(
        low=low, mid=mid, high=mid.faster(1.2, 1.1), gentle=gentle,
        wire_rate=max(measured or expected_rate, 1.0),
        drain=max(1.0, statistics.median(drained)) if drained else 1.0,
        remaining=newest.end_bytes, low_bytes=least, evidence=kept.evidence,
        bursty=not kept.agreed and least < 0.6 * newest.end_bytes, saturated=saturated,
        measured=measured is not None, points=kept.points)
