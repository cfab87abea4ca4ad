# SPDX-License-Identifier: Apache-2.0
"""Steers the settings of a migration that goes on: from what is seen to a decision.

Three occasions: a pass has ended (the judge is asked), the bulk copy alone would miss the
deadline, and a limit that no longer keeps the promised blackout. Ending a migration is not done
here: a hopeless one is only found out.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import convergence
from nova_migpolicy.engine.steering import planner as planner_mod
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import vocabulary

MIB = record.MIB
Decision = record.Decision
# The bulk copy is hurried along for the deadline at most this often, and only for a real gain.
HURRY_S = 10.0
HURRY_GAIN = 1.2
# Of the time that is left, the share in which the bulk copy should be over.
HURRY_SHARE = 0.8
# A guest that was seen to dirty that much faster than may be sent cannot converge. How much faster
# than it dirties is to be sent then: p95 of total time / oracle on the suite full, seed 101, was
# 1.38 with 3, 1.34 with 5, 1.26 with 8 and with 12; the median of bytes / oracle stayed 1.00.
FORESEEN = 1.05
FORESEEN_GAIN = 8.0


# A limit that is off by less is left: what is held back of a promise pays for it.
SLACK = 1.05
# Of the blackout that is permitted, so much is used while others share the link.
BESIDE_OTHERS = 0.7
# What QEMU was told of the link was taken low: so much more than that is no error.
TOLD_SLACK = 1.2


@dataclasses.dataclass(frozen=True)
class Found:
    """What a judgement came to: a decision, a step that ends it, that it is hopeless, or none."""

    decision: Decision | None = None
    step: remedies.Action | None = None
    hopeless: bool = False
    rule: str = ''
    reason: str = ''

    @property
    def is_harsh(self) -> bool:
        """Whether the guest is given up, stopped, moved or slowed by it."""
        actions = self.decision.actions if self.decision is not None else ()
        return self.hopeless or self.step is not None or any(
            isinstance(one, remedies.SetThrottle) for one in actions)


class Steering:
    """The hands on the wheel; they hold no state but for how long they have waited."""

    def __init__(self, terms: terms_mod.Terms, books: ledger.Ledger,
                 watch: observer.Watch) -> None:
        self._terms = terms
        self._books = books
        self._watch = watch
        self._restless_s: float | None = None
        self._hurried_s = self._facts.started_s
        self._foresaw = False
        self._refused_limit = self._facts.qemu_limit_ms != settings_mod.initial_limit_ms(
            terms.policy, self._facts)

    @property
    def _facts(self) -> record.Facts:
        return self._watch.facts

    def means(self, at_s: float) -> planner_mod.Means:
        """What may be used now."""
        policy = self._terms.policy
        can = {remedies.AUTO_CONVERGE: self._facts.can_throttle,
               remedies.POST_COPY: self._facts.can_post_copy}
        usable = tuple(one for one in policy.remedies
                       if can.get(one, True) and self._books.available(one)
                       and self._terms.frees(one))
        # Others may take more of the link just when the rest is sent.
        most_ms = policy.max_downtime_ms if not self._watch.others else max(
            self._books.now.promised_ms, int(BESIDE_OTHERS * policy.max_downtime_ms))
        return planner_mod.Means(
            usable, policy.max_bandwidth_mib_s, most_ms,
            policy.max_throttle_percent, self._watch.link,
            highest_cap_mib_s=(
                self._terms.highest_cap(self._books.now.cap_mib_s)
                if self._books.available(remedies.BANDWIDTH) else self._books.now.cap_mib_s),
            can_rescale=self._books.available(remedies.DOWNTIME),
            link_bound=self._watch.link_bound, time_left_s=self._watch.time_left(at_s))

    def at_pass(self, at_s: float) -> Found:
        """Judge at the end of a pass."""
        watch, now = self._watch, self._books.now
        if watch.seen is None or watch.forecast is None:
            return Found()
        if watch.verdict is outlook.Verdict.FINE:
            self._restless_s = None
        elif self._restless_s is None:
            self._restless_s = at_s
        found = convergence.judge(convergence.Case(
            watch.seen, tuple(watch.tracker.passes), now, self.means(at_s), watch.verdict,
            watch.forecast.plateau_bytes, watch.forecast.eta_s, watch.settled(),
            at_s - (self._restless_s or at_s), watch.throttle_percent, watch.threshold()))
        if found is None:
            return Found()
        if found.plan is None:
            return Found(hopeless=True, rule=found.rule, reason=found.reason)
        if found.plan.step is not None:
            return Found(step=found.plan.step, rule=found.rule, reason=found.reason)
        return Found(Decision(at_s, settings_mod.changes(now, found.plan.settings),
                              found.rule, found.reason, watch.forecast), reason=found.reason)

    def hurry(self, at_s: float) -> Decision | None:
        """Raise the bandwidth when this copy of the memory would miss the deadline."""
        watch, now = self._watch, self._books.now
        passing = watch.tracker.phase is samples.Phase.PASSES
        time_left, left = watch.time_left(at_s), watch.left()
        rate = watch.rate() if passing else watch.pace.rate()
        means = self.means(at_s)
        if time_left is None or time_left <= 0 or left is None or rate is None:
            return None
        if not now.cap_mib_s or remedies.BANDWIDTH not in means.remedies:
            return None
        if at_s - self._hurried_s < HURRY_S or left / rate <= time_left:
            return None
        # A pace below the cap is a slow link or slow host, and no cap helps with that.
        if rate < observer.LINK_BOUND * now.cap_mib_s * MIB:
            return None
        top = means.max_bandwidth_mib_s
        needed = math.ceil(now.cap_mib_s * left / rate / (time_left * HURRY_SHARE))
        cap = min(needed, top) if top else needed
        if cap < HURRY_GAIN * now.cap_mib_s:
            return None
        settings = self.with_cap(cap, means)
        if settings is None:
            return None
        self._hurried_s = at_s
        what = 'this pass' if passing else 'the bulk copy'
        does = 'makes it' if cap >= needed else 'is the most that is permitted'
        return Decision(
            at_s, settings_mod.changes(now, settings), vocabulary.RAISE_BANDWIDTH, (
                f'{figures.size(left)} of {what} are left and need '
                f'{figures.span(left / rate)} at {now.cap_mib_s} MiB/s, but the deadline is in '
                f'{figures.span(time_left)}; {cap} MiB/s {does}'), watch.forecast)

    def with_cap(self, cap_mib_s: int, means: planner_mod.Means) -> settings_mod.Settings | None:
        """The settings with another cap and the same promise; None where they cannot be had."""
        now = self._books.now
        settings = settings_mod.with_cap(now, cap_mib_s, means.link)
        return None if settings.limit_ms < now.limit_ms and not means.can_rescale else settings

    def foresee(self, at_s: float) -> Decision | None:
        """Raise the bandwidth in the bulk copy when what was measured before rules out an end.

        What a guest dirties in a longer time is no less than in a shorter one. So if in the time
        of the measurement it dirties more than may be sent, no pass gets shorter than that time,
        and more than that remains after each.
        """
        watch, now = self._watch, self._books.now
        before, means = watch.before, self.means(at_s)
        if before is None or self._foresaw or not now.cap_mib_s:
            return None
        if means.remedies[:1] != (remedies.BANDWIDTH,):
            return None
        self._foresaw = True
        rate = before.dirtied / before.seconds / MIB
        if rate < FORESEEN * now.cap_mib_s or before.dirtied < 2 * watch.threshold():
            return None
        bounds = [bound for bound in (means.max_bandwidth_mib_s, means.link.most_mib_s) if bound]
        cap = min([math.ceil(FORESEEN_GAIN * rate), *(int(bound) for bound in bounds)])
        settings = self.with_cap(cap, means)
        if cap < FORESEEN * rate or settings is None:
            return None
        return Decision(
            at_s, settings_mod.changes(now, settings), vocabulary.RAISE_BANDWIDTH, (
                f'In {figures.span(before.seconds)} before the start the guest dirtied '
                f'{figures.size(before.dirtied)}, which {now.cap_mib_s} MiB/s cannot catch up '
                f'with; {cap} MiB/s can'), watch.forecast)

    def _set_refused_limit(self, at_s: float) -> Decision | None:
        """Set what could not be set before the start, once there is a job to set it for."""
        now = self._books.now
        limit = settings_mod.limit_ms(now.promised_ms, now.cap_mib_s, self._watch.known_link)
        if now.limit_ms != self._facts.qemu_limit_ms or now.limit_ms == limit:
            self._refused_limit = False
            return None
        action = remedies.SetMaxDowntime(limit, now.promised_ms)
        return Decision(at_s, (action,), vocabulary.KEEP_PROMISE, (
            f'The limit of {limit} ms, which stands for a blackout of '
            f'{figures.blackout(now.promised_ms)}, could not be set before the start, and QEMU '
            f'has {now.limit_ms} ms; it is set now'), self._watch.forecast)

    def keep_promise(self, at_s: float) -> Decision | None:
        """Bring the limit in line with the promise, which a changed link or cap has bent.

        One that would break the promise is lowered. It is raised only where a person holds what
        it is made of, or QEMU was told less than the link gives: otherwise a higher one is a
        remedy, to be taken when there is need.
        """
        now, link = self._books.now, self._watch.link
        if not self._books.available(remedies.DOWNTIME):
            return None
        if self._refused_limit and self._watch.tracker.phase is not samples.Phase.SETUP:
            return self._set_refused_limit(at_s)
        most = self._terms.most_downtime_ms
        highest = settings_mod.limit_ms(most, now.cap_mib_s, link)
        promised = min(now.promised_ms, most)
        limit = settings_mod.limit_ms(promised, now.cap_mib_s, link)
        if now.limit_ms > highest * SLACK + 1:
            effect = f'would break the promised {figures.blackout(most)} blackout'
        elif (self._terms.limit_is_held and limit > now.limit_ms * SLACK + 1) or (
                link.switchover_mib_s and limit > now.limit_ms * TOLD_SLACK):
            effect = (f'does not use the {figures.blackout(promised)} of blackout that are '
                      'permitted')
        else:
            return None
        rate = link.mib_s or link.switchover_mib_s
        where = f'With the link at {figures.rate(rate * MIB)}' if rate else (
            'With the rate of the link unknown')
        does = 'keeps it' if limit < now.limit_ms else 'does'
        action = remedies.SetMaxDowntime(limit, promised)
        return Decision(at_s, (action,), vocabulary.KEEP_PROMISE, (
            f'{where} a limit of {now.limit_ms} ms {effect}; {limit} ms {does}'),
            self._watch.forecast)
