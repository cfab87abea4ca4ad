# SPDX-License-Identifier: Apache-2.0
"""Which permitted remedy to take: the least harmful one that the forecast says will do.

Each remedy is raised straight to the least value that suffices. Those that the policy permits
are tried in its order, alone and then on top of those before it. A remedy that works only if the
guest is gentler than it seems is *possible*; it is worth trying if it is mild and there is time.
When to plan at all is not decided here.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import math

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import end_cost
from nova_migpolicy.engine.estimation import forecast
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod

MIB = settings_mod.MIB
Settings = settings_mod.Settings
STEP = 1.06
UNKNOWN_CEILING = 16
MILD = (remedies.BANDWIDTH, remedies.DOWNTIME)
HARD_STOP_S = 86_400.0
# A value counts as enough when what is left takes no more than this share of the time that was
# spent on the memory so far, or is nearly as soon as the most that is permitted. It matters
# little: on 250 guests of the suite full, seed 1, total time / oracle had the same p95 with 0.05,
# 0.1, 0.2 and without it (1.31); guests lost 0.134 of auto-converge's work with it, 0.161 without.
SOON_SHARE = 0.1
NEARLY_AS_SOON = 1.25


@dataclasses.dataclass(frozen=True)
class Means:
    """What may be used, and its bounds (max_bandwidth_mib_s 0: none).

    remedies: in the order of the policy, less what a person holds and what was refused.
    highest_cap_mib_s: what a guest that is paused is sent with; 0 for no cap.
    can_rescale: QEMU's limit can still be set, which a change of the cap may need.
    link_bound: the cap is not what holds the transfer down.
    """

    remedies: tuple[str, ...]
    max_bandwidth_mib_s: int
    max_downtime_ms: int
    max_throttle_percent: int
    link: settings_mod.Link
    can_rescale: bool = True
    link_bound: bool = False
    highest_cap_mib_s: int = 0
    time_left_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """The remedies used, the settings they lead to (or the step that ends it), and what to expect.

    certain: the forecast says that it will do; otherwise it may.
    """

    used: tuple[str, ...]
    settings: settings_mod.Settings
    certain: bool
    seconds: float
    blackout_ms: float
    step: remedies.Action | None = None


@dataclasses.dataclass(frozen=True)
class _Trial:
    """One set of settings against the three curves."""

    settings: Settings
    grade: int                  # 3: holds with a margin, 2: likely, 1: may hold, 0: cannot
    seconds: float = 0.0
    blackout_ms: float = 0.0


class Planner:
    """Searches the remedies for one estimate; it holds no state beyond that."""

    def __init__(self, seen: dirtying.Estimate, now: Settings, means: Means,
                 throttle_percent: int, spent_s: float = math.inf, *,
                 doubts_link: bool = False) -> None:
        """Take what a judgement knows.

        :param spent_s: how long the memory has been sent for
        :param doubts_link: reckon as if nothing were known of what the link gives
        """
        self.seen = seen
        self.now = now
        self.means = means
        self.throttle = throttle_percent
        self.soon_s = SOON_SHARE * spent_s
        self._spent_s = spent_s
        self._doubts_link = doubts_link

    def rate(self, cap_mib_s: int) -> float:
        """Bytes/s expected on the wire under a cap."""
        if cap_mib_s == self.now.cap_mib_s or self.means.link_bound:
            return self.seen.wire_rate
        most = 0.0 if self._doubts_link else (self.means.link.most_mib_s or 0) * MIB
        if not cap_mib_s:
            return most or UNKNOWN_CEILING * self.seen.wire_rate
        return min(cap_mib_s * MIB, most) if most else cap_mib_s * MIB

    def trial(self, cap: int, promised: int, throttle: int) -> _Trial:
        """How a set of settings would do."""
        link = self.means.link
        limit = settings_mod.limit_ms(promised, cap, link)
        if promised == self.now.promised_ms and cap == self.now.cap_mib_s:
            limit = self.now.limit_ms
        new = Settings(cap, limit, promised, throttle or self.now.throttle_percent)
        if limit < self.now.limit_ms and not self.means.can_rescale:
            return _Trial(new, 0)
        rate = self.rate(cap)
        drain = rate * self.seen.drain
        threshold = settings_mod.threshold_bytes(limit, rate, link)
        speed = 1 - max(throttle, self.throttle) / 100
        left = self.means.time_left_s
        horizon = HARD_STOP_S if left is None else left
        # Auto-converge acts at every second sync.
        wait = 2 * self.seen.remaining / drain if throttle > self.throttle else 0.0
        mid = self.seen.mid
        hard = mid.faster(1.15 * speed, 1.03)
        if self.seen.saturated and not throttle:
            hard = dataclasses.replace(hard, rate=1e6 * max(mid.rate, 1.0))
        for grade, curve, overlap in ((3, hard, False), (2, mid.faster(1.1 * speed), False),
                                      (1, self.seen.low.faster(1.1 * speed), True)):
            end = forecast.predict(curve, self.seen.remaining, drain, threshold,
                                   horizon_s=horizon, overlap=overlap)
            if end.converges and end.seconds + wait <= horizon:
                return _Trial(new, grade, end.seconds + wait, settings_mod.blackout_ms(
                    end.remaining, rate, link))
        return _Trial(new, 0)

    def _first(self, trials: abc.Iterable[_Trial]) -> _Trial | None:
        """The first that holds and is over soon; else the last that may hold.

        Where none is over soon, the first that is nearly as fast as the fastest. When the guest's
        rate is a guess, the first that the guess says will do comes before the last: there is
        time to go further.
        """
        may = None
        holding: list[_Trial] = []
        for one in trials:
            if one.grade == 3 or (one.grade == 2 and self.seen.saturated):
                if one.seconds <= self.soon_s:
                    return one
                holding.append(one)
            elif one.grade:
                may = one
        if not holding:
            return may
        fastest_s = min(one.seconds for one in holding)
        return next(one for one in holding if one.seconds <= NEARLY_AS_SOON * fastest_s)

    def caps(self) -> list[int]:
        """Caps to try, rising, the ceiling last; none when the cap holds nothing down."""
        now, top = self.now.cap_mib_s, self.means.max_bandwidth_mib_s
        if not now or self.means.link_bound or (top and top <= now):
            return []
        most = None if self._doubts_link else self.means.link.most_mib_s
        bound = top or UNKNOWN_CEILING * now
        if most:
            bound = min(bound, max(math.ceil(most), now))
        values = []
        value = float(now)
        while value * STEP < bound:
            value *= STEP
            values.append(math.ceil(value))
        if bound > now:
            values.append(bound)
        return values if top else [*values, 0]

    def promises(self) -> list[int]:
        """Blackouts in ms to try, rising, the highest permitted last."""
        low, top = self.now.promised_ms, self.means.max_downtime_ms
        values = []
        value = float(low)
        while value * STEP + 1 < top:
            value = value * STEP + 1
            values.append(int(value))
        return [*values, top] if top > low else values

    def throttles(self) -> list[int]:
        """Throttles in percent to try, rising, the highest permitted last."""
        low, top = max(self.throttle, self.now.throttle_percent), self.means.max_throttle_percent
        return [*range(low + 5, top, 5), top] if top > low else []

    def _combine(self, used: abc.Collection[str]) -> _Trial | None:
        """The least values of some remedies together.

        They are found one after the other, the later ones (more harmful) as low as the highest
        values of the earlier ones permit.
        """
        caps = self.caps() if remedies.BANDWIDTH in used else []
        promises = self.promises() if remedies.DOWNTIME in used else []
        throttles = self.throttles() if remedies.AUTO_CONVERGE in used else []
        if (bool(caps), bool(promises), bool(throttles)) != (
                remedies.BANDWIDTH in used, remedies.DOWNTIME in used,
                remedies.AUTO_CONVERGE in used):
            return None
        cap = caps[-1] if caps else self.now.cap_mib_s
        promise = promises[-1] if promises else self.now.promised_ms
        throttle = 0
        best = None
        if throttles:
            best = self._first(self.trial(cap, promise, value) for value in throttles)
            throttle = best.settings.throttle_percent if best else 0
        if promises and (best or not throttles):
            best = self._first(self.trial(cap, value, throttle) for value in promises)
            promise = best.settings.promised_ms if best else promise
        if caps and (best or not (throttles or promises)):
            best = self._first(self.trial(value, promise, throttle) for value in caps) or best
        return best

    def _certain(self, found: _Trial) -> bool:
        return found.grade == 3 or (found.grade == 2 and not self.seen.saturated)

    def _ending(self, remedy: str) -> Plan:
        """Post-copy or a pause: both always do."""
        link = self.means.link
        if remedy == remedies.PAUSE:
            cap = self.means.highest_cap_mib_s
            seconds = end_cost.of(self.seen.remaining, self.seen, 0.0, self.throttle,
                                  self.rate(cap)).seconds
            return Plan((remedy,), settings_mod.with_cap(self.now, cap, link), True, seconds,
                        seconds * 1000, remedies.Pause())
        rate = self.rate(self.now.cap_mib_s)
        # The cap does not bind post-copy.
        free = max(rate, (link.mib_s or 0) * MIB)
        return Plan((remedy,), self.now, True, self.seen.remaining / free,
                    settings_mod.blackout_ms(0, rate, link), remedies.StartPostCopy())

    def plans(self) -> abc.Iterator[Plan]:
        """All that hold or may, in the order of the policy."""
        before: list[str] = []
        for remedy in self.means.remedies:
            if remedy in (remedies.POST_COPY, remedies.PAUSE):
                yield self._ending(remedy)
                continue
            for used in dict.fromkeys(((remedy,), (*before, remedy))):
                found = self._combine(used)
                if found is not None:
                    yield Plan(used, found.settings, self._certain(found), found.seconds,
                               found.blackout_ms)
                elif remedies.BANDWIDTH in used:
                    yield from self._doubted(used)
            before.append(remedy)

    def _doubted(self, used: abc.Collection[str]) -> abc.Iterator[Plan]:
        """A plan that may do if the link gives more than is believed: the passes will show it."""
        if self._doubts_link or not self.means.link.most_mib_s:
            return
        found = Planner(self.seen, self.now, self.means, self.throttle, self._spent_s,
                        doubts_link=True)._combine(used)
        if found is not None:
            yield Plan(tuple(used), found.settings, False, found.seconds, found.blackout_ms)

    def last_rate(self) -> Plan | None:
        """The highest permitted rate, before a guest is given up that might keep below it."""
        means, now, seen = self.means, self.now, self.seen
        cap = means.highest_cap_mib_s
        if remedies.BANDWIDTH not in means.remedies or cap == now.cap_mib_s or means.link_bound:
            return None
        rate = max(self.rate(cap), cap * MIB) * seen.drain
        awake = 1 - max(self.throttle, now.throttle_percent) / 100
        if min(seen.mid.rate, seen.gentle.rate) * awake > rate:
            return None
        settings = settings_mod.with_cap(now, cap, means.link)
        if settings.limit_ms < now.limit_ms and not means.can_rescale:
            return None
        return Plan((remedies.BANDWIDTH,), settings, False, seen.remaining / rate,
                    settings_mod.blackout_ms(seen.low_bytes, rate, means.link))

    def quiet(self) -> Plan | None:
        """A downtime that catches a restless guest at the least that remained of late."""
        if remedies.DOWNTIME not in self.means.remedies:
            return None
        rate = self.rate(self.now.cap_mib_s)
        link = self.means.link
        for promise in self.promises():
            limit = settings_mod.limit_ms(promise, self.now.cap_mib_s, link)
            if settings_mod.threshold_bytes(limit, rate, link) > 1.1 * self.seen.low_bytes:
                return Plan((remedies.DOWNTIME,),
                            dataclasses.replace(self.now, limit_ms=limit, promised_ms=promise),
                            False, 0.0, settings_mod.blackout_ms(
                                self.seen.low_bytes, rate, link))
        return None

    def choose(self, pass_s: float) -> Plan | None:
        """The least harmful plan that holds; None when nothing can work.

        A mild one before it that only may hold is taken first when there is time to find out.
        pass_s: how long a pass takes.
        """
        left = self.means.time_left_s
        patient = left is None or left > 4 * pass_s
        may: Plan | None = None
        for plan in self.plans():
            if plan.certain:
                mild = may is not None and all(one in MILD for one in may.used)
                return may if mild and patient else plan
            may = may or plan
        return may
