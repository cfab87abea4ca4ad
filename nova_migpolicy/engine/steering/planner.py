# SPDX-License-Identifier: Apache-2.0
"""Search for the least harmful permitted remedy that makes the migration converge.

Each remedy is raised straight to the lowest value that suffices. Permitted remedies are tried in
the order of the policy, alone and then together with those before it. A remedy that works only if
the guest is gentler than it seems is *possible*; it is worth trying if it is unobtrusive and there
is time. When to plan at all is not decided here.
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
UNOBTRUSIVE = (remedies.BANDWIDTH, remedies.DOWNTIME)
# The setting that each remedy changes, the most disruptive remedy first.
SETTINGS = {remedies.AUTO_CONVERGE: 'throttle_percent', remedies.DOWNTIME: 'promised_ms',
            remedies.BANDWIDTH: 'cap_mib_s'}
HARD_STOP_S = 86_400.0
# A value suffices when the remaining data takes at most this share of the time spent on memory so
# far, or hardly longer than with the highest permitted value. It matters little: on 250 guests of
# the suite full, seed 1, total time / oracle had the same p95 with 0.05, 0.1, 0.2 and without it
# (1.31); guests lost 0.134 of auto-converge's work with it, 0.161 without.
SOON_SHARE = 0.1
NEARLY_AS_SOON = 1.25


@dataclasses.dataclass(frozen=True)
class Permitted:
    """The permitted remedies and their bounds (max_bandwidth_mib_s 0: none).

    remedies: in the order of the policy, without those that the operator holds or that were
    refused. highest_cap_mib_s: the cap for the transfer of a paused guest; 0 for none.
    can_rescale: QEMU's limit can still be set, which a change of the cap may need.
    link_bound: something other than the cap limits the transfer.
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
    """The remedies used, the resulting settings (or the step that ends it), and the forecast.

    certain: the forecast says that it converges; otherwise it may. at_most: it may end sooner,
        since the rate that it was forecast with is one that a higher cap may beat.
    """

    used: tuple[str, ...]
    settings: settings_mod.Settings
    certain: bool
    seconds: float
    blackout_ms: float
    step: remedies.Action | None = None
    at_most: bool = False


@dataclasses.dataclass(frozen=True)
class _Trial:
    """The forecast of one set of settings for the three curves."""

    settings: Settings
    grade: int                  # 3: converges with a margin, 2: probably, 1: perhaps, 0: not
    seconds: float = 0.0
    blackout_ms: float = 0.0


class Planner:
    """The search for a plan from one estimate; it keeps no other state."""

    def __init__(self, seen: dirtying.Estimate, now: Settings, permitted: Permitted,
                 throttle_percent: int, spent_s: float = math.inf, *,
                 doubts_link: bool = False) -> None:
        """Take the estimate, the settings in force and the permitted remedies.

        :param spent_s: for how long memory has been sent
        :param doubts_link: calculate as if the rate of the link were unknown
        """
        self.seen = seen
        self.now = now
        self.permitted = permitted
        self.throttle = throttle_percent
        self.soon_s = SOON_SHARE * spent_s
        self._spent_s = spent_s
        self._doubts_link = doubts_link

    def rate(self, cap_mib_s: int) -> float:
        """Bytes/s expected on the wire under a cap."""
        if cap_mib_s == self.now.cap_mib_s or self.permitted.link_bound:
            return self.seen.wire_rate
        most = 0.0 if self._doubts_link else (self.permitted.link.most_mib_s or 0) * MIB
        if not cap_mib_s:
            return most or UNKNOWN_CEILING * self.seen.wire_rate
        return min(cap_mib_s * MIB, most) if most else cap_mib_s * MIB

    def trial(self, cap_mib_s: int, promised_ms: int, throttle_percent: int) -> _Trial:
        """Forecast the migration under other settings; a throttle of 0 is the one in force."""
        link = self.permitted.link
        limit = settings_mod.limit_ms(promised_ms, cap_mib_s, link)
        if promised_ms == self.now.promised_ms and cap_mib_s == self.now.cap_mib_s:
            limit = self.now.limit_ms
        new = Settings(cap_mib_s, limit, promised_ms,
                       throttle_percent or self.now.throttle_percent)
        if limit < self.now.limit_ms and not self.permitted.can_rescale:
            return _Trial(new, 0)
        rate = self.rate(cap_mib_s)
        drain = rate * self.seen.drain
        threshold = settings_mod.threshold_bytes(limit, rate, link)
        speed = 1 - max(throttle_percent, self.throttle) / 100
        left = self.permitted.time_left_s
        horizon = HARD_STOP_S if left is None else left
        # Auto-converge acts at every second sync.
        wait = 2 * self.seen.remaining / drain if throttle_percent > self.throttle else 0.0
        mid = self.seen.mid
        hard = mid.faster(1.15 * speed, 1.03)
        if self.seen.saturated and not throttle_percent:
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
        """Pick the least disruptive trial that converges soon; failing that, the last that might.

        Trials come in rising order. Where none converges soon, pick the first that is nearly as
        fast as the fastest. Where the guest's rate is a guess, the first that converges by that
        guess beats the last that might: there is time to go further.
        """
        possible = None
        converging: list[_Trial] = []
        for one in trials:
            if one.grade == 3 or (one.grade == 2 and self.seen.saturated):
                if one.seconds <= self.soon_s:
                    return one
                converging.append(one)
            elif one.grade:
                possible = one
        if not converging:
            return possible
        fastest_s = min(one.seconds for one in converging)
        return next(one for one in converging if one.seconds <= NEARLY_AS_SOON * fastest_s)

    def caps(self) -> list[int]:
        """Caps to try, in rising order, the ceiling last; none where the cap limits nothing."""
        now, top = self.now.cap_mib_s, self.permitted.max_bandwidth_mib_s
        if not now or self.permitted.link_bound or (top and top <= now):
            return []
        most = None if self._doubts_link else self.permitted.link.most_mib_s
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
        """Blackouts in ms to try, in rising order, the highest permitted last."""
        low, top = self.now.promised_ms, self.permitted.max_downtime_ms
        values = []
        value = float(low)
        while value * STEP + 1 < top:
            value = value * STEP + 1
            values.append(int(value))
        return [*values, top] if top > low else values

    def throttles(self) -> list[int]:
        """Throttles in percent to try, in rising order, the highest permitted last."""
        low = max(self.throttle, self.now.throttle_percent)
        top = self.permitted.max_throttle_percent
        return [*range(low + 5, top, 5), top] if top > low else []

    def _combine(self, used: abc.Collection[str]) -> _Trial | None:
        """Find the lowest values of some remedies that converge together; None where none do.

        The most disruptive remedy is settled first, as low as the highest values of the others
        permit.
        """
        to_try = {remedies.AUTO_CONVERGE: self.throttles, remedies.DOWNTIME: self.promises,
                  remedies.BANDWIDTH: self.caps}
        values = {SETTINGS[one]: to_try[one]() for one in SETTINGS if one in used}
        if not all(values.values()):
            return None
        chosen = {'throttle_percent': 0, 'promised_ms': self.now.promised_ms,
                  'cap_mib_s': self.now.cap_mib_s}
        chosen.update((setting, rising[-1]) for setting, rising in values.items())
        best = None
        for setting, rising in values.items():
            best = self._first(self.trial(**{**chosen, setting: value}) for value in rising)
            if best is None:
                return None
            chosen[setting] = getattr(best.settings, setting)
        return best

    def _certain(self, found: _Trial) -> bool:
        return found.grade == 3 or (found.grade == 2 and not self.seen.saturated)

    def _ending(self, remedy: str) -> Plan:
        """The plan for post-copy or a pause, which always end it."""
        link = self.permitted.link
        if remedy == remedies.PAUSE:
            cap = self.permitted.highest_cap_mib_s
            # What kept the guest's memory from being sent faster may end with its pause.
            at_most = cap != self.now.cap_mib_s and (
                self.permitted.link_bound or not (cap or link.most_mib_s))
            seconds = end_cost.of(self.seen.remaining, self.seen, 0.0, self.throttle,
                                  self.seen.wire_rate if at_most else self.rate(cap)).seconds
            return Plan((remedy,), settings_mod.with_cap(self.now, cap, link), True, seconds,
                        seconds * 1000, remedies.Pause(), at_most)
        rate = self.rate(self.now.cap_mib_s)
        # The cap does not bind post-copy.
        free = max(rate, (link.mib_s or 0) * MIB)
        return Plan((remedy,), self.now, True, self.seen.remaining / free,
                    settings_mod.blackout_ms(0, rate, link), remedies.StartPostCopy())

    def plans(self) -> abc.Iterator[Plan]:
        """All plans that converge or might, in the order of the policy."""
        before: list[str] = []
        for remedy in self.permitted.remedies:
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
        """A plan that converges if the link is faster than believed; the passes will show that."""
        if self._doubts_link or not self.permitted.link.most_mib_s:
            return
        found = Planner(self.seen, self.now, self.permitted, self.throttle, self._spent_s,
                        doubts_link=True)._combine(used)
        if found is not None:
            yield Plan(tuple(used), found.settings, False, found.seconds, found.blackout_ms)

    def last_rate(self) -> Plan | None:
        """The highest permitted rate, before giving up on a guest that may write more slowly."""
        permitted, now, seen = self.permitted, self.now, self.seen
        cap = permitted.highest_cap_mib_s
        if (remedies.BANDWIDTH not in permitted.remedies or cap == now.cap_mib_s
                or permitted.link_bound):
            return None
        rate = max(self.rate(cap), cap * MIB) * seen.drain
        awake = 1 - max(self.throttle, now.throttle_percent) / 100
        if min(seen.mid.rate, seen.gentle.rate) * awake > rate:
            return None
        settings = settings_mod.with_cap(now, cap, permitted.link)
        if settings.limit_ms < now.limit_ms and not permitted.can_rescale:
            return None
        return Plan((remedies.BANDWIDTH,), settings, False, seen.remaining / rate,
                    settings_mod.blackout_ms(seen.low_bytes, rate, permitted.link))

    def await_lull(self) -> Plan | None:
        """The lowest downtime limit with which a bursty guest switches over in a lull."""
        if remedies.DOWNTIME not in self.permitted.remedies:
            return None
        rate = self.rate(self.now.cap_mib_s)
        link = self.permitted.link
        for promise in self.promises():
            limit = settings_mod.limit_ms(promise, self.now.cap_mib_s, link)
            if settings_mod.threshold_bytes(limit, rate, link) > 1.1 * self.seen.low_bytes:
                return Plan((remedies.DOWNTIME,),
                            dataclasses.replace(self.now, limit_ms=limit, promised_ms=promise),
                            False, 0.0, settings_mod.blackout_ms(
                                self.seen.low_bytes, rate, link))
        return None

    def choose(self, pass_s: float) -> Plan | None:
        """The least harmful plan that converges, or else might; None where nothing can work.

        An unobtrusive plan before it that only might is preferred where there is time to find
        out.

        :param pass_s: how long a pass takes
        """
        left = self.permitted.time_left_s
        patient = left is None or left > 4 * pass_s
        possible: Plan | None = None
        for plan in self.plans():
            if plan.certain:
                unobtrusive = possible is not None and all(
                    one in UNOBTRUSIVE for one in possible.used)
                return possible if unobtrusive and patient else plan
            possible = possible or plan
        return possible
