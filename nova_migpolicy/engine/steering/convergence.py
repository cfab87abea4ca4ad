# SPDX-License-Identifier: Apache-2.0
"""Judges a migration at the end of a pass: leave it alone, take a remedy, or give up on it.

Do nothing while it converges by itself. It takes two passes that agree with each other to say
that it does not, or one that is plain. A remedy that turned out not to do is followed by the next
mild one after a pass under the new settings, by a harsh one or by giving up after two. A guest of
which less and less remains is not given up unless it writes much faster than it is sent, and one
that is restless is given time for a quiet moment. Where memory is done and QEMU goes on, it is
not the guest that is judged: the state of devices holds QEMU back. How an end is brought about is
not known here.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import planner as planner_mod
from nova_migpolicy.engine.steering import reasons
from nova_migpolicy import vocabulary

Verdict = outlook.Verdict

# A pass this much slower than those before it says something about the link, not the guest.
DISTURBED = 0.6
FALLING = 0.9
FALLING_A_PASS = 0.97
TREND_PASSES = 10
FLAT = 0.985
LATELY_S = 6.0
OVERDUE_PASSES = 4
OVERDUE_S = 1.0
HELD_PASSES = 4
HELD = 0.5
# With a larger share of it QEMU may reckon with another rate than the one that was seen: enough to
# allow all of the blackout that is permitted, but not to give up.
NEARLY_HELD = 0.9
FASTER = 1.1
MUCH_FASTER = 1.5
# Auto-converge acts at every second sync that is more than a second after the last one.
THROTTLE_PASSES = 6
QUIET_PASSES = 8
QUIET_MIN_S = 20.0
QUIET_MAX_S = 120.0


@dataclasses.dataclass(frozen=True)
class Case:
    """All that a judgement hangs on, at the end of a pass.

    threshold_bytes: with less than that remaining QEMU should switch over.
    settled: whole passes under the present settings. waited_s: for how long the guest has been
    restless. throttle_percent: how far auto-converge has gone; None when not reported.
    """

    seen: dirtying.Estimate
    passes: tuple[passes_mod.Pass, ...]
    now: settings_mod.Settings
    means: planner_mod.Means
    verdict: Verdict
    plateau_bytes: int | None
    eta_s: float | None
    settled: int
    waited_s: float
    throttle_percent: int | None
    threshold_bytes: float = 0.0


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A plan to carry out, or that it is hopeless (no plan), and the reason."""

    plan: planner_mod.Plan | None
    rule: str
    reason: str


def disturbed(case: Case) -> bool:
    """Whether the link, not the guest, made the last pass what it was."""
    newest = case.passes[-1]
    return newest.wire_rate < DISTURBED * case.seen.wire_rate


def throttling(case: Case) -> bool:
    """Whether auto-converge is still on its way to where it was allowed to go."""
    wanted = case.now.throttle_percent
    if not wanted or case.settled >= THROTTLE_PASSES:
        return False
    if case.throttle_percent is None:
        return True
    return case.throttle_percent < wanted - 2


def too_early(case: Case) -> bool:
    """Whether the passes so far do not carry a judgement yet."""
    if case.settled < 1 or case.seen.evidence < 1 or disturbed(case) or throttling(case):
        return True
    if case.seen.evidence < 2 and case.verdict is not Verdict.STALLED:
        return True
    return case.verdict is Verdict.UNSURE and not sure(case)


def sure(case: Case) -> bool:
    """Whether the passes carry a harsh step.

    Two have to agree, and what remains must not be falling, unless the guest clearly writes
    faster than it is sent: then it will not fall for long.
    """
    if min(case.settled, case.seen.evidence) < 2 or not had_a_chance(case):
        return False
    return hopeless(case) or not falling(case)


def hopeless(case: Case, factor: float = FASTER) -> bool:
    """Whether the guest clearly writes faster, at least by a factor, than it is sent."""
    seen = case.seen
    awake = 1 - min(case.throttle_percent or 0, 99) / 100
    slowest = min(seen.mid.rate, seen.gentle.rate) * awake
    return slowest > factor * seen.wire_rate * seen.drain


def clear(case: Case) -> bool:
    """Whether the passes carry a harsh step that brings the guest to the other host.

    One pass under the present settings does where it is hopeless and something else agrees: what
    was measured before the start, or a pass before the settings were changed. To give up takes
    two under the present ones: a guest that is given up will be copied all over again.
    """
    return sure(case) or (case.settled >= 1 and case.seen.evidence >= 2 and had_a_chance(case)
                          and hopeless(case))


def had_a_chance(case: Case) -> bool:
    """Whether the present settings were in force for as long as two passes before them took.

    A higher limit makes passes short: two of them may both lie in one burst of a guest that the
    limit would catch in its next quiet time. A higher bandwidth makes them short, too, but sends
    as much in them.
    """
    after = [one for one in case.passes if one.number > 0]
    if case.settled >= len(after):
        return True
    rate = case.seen.wire_rate
    longest_s = max(one.duration_s * min(1.0, one.wire_rate / rate)
                    for one in after[:-case.settled])
    return after[-1].end_s - after[-case.settled].start_s >= 2 * longest_s


def overdue(case: Case) -> bool:
    """Whether a guest that should have converged by the forecast just does not."""
    if case.verdict is not Verdict.FINE or min(case.settled, case.seen.evidence) < OVERDUE_PASSES:
        return False
    span_s = case.passes[-1].end_s - case.passes[-OVERDUE_PASSES].start_s
    return span_s > OVERDUE_S + OVERDUE_PASSES * (case.eta_s or 0.0) and not falling(case)


def held_back(case: Case, share: float = HELD) -> float:
    """The bytes beside memory that keep QEMU from switching over, at least; 0 for none.

    Less memory remains after each of some passes than a share of its threshold, and it goes on: it
    counts the state of devices as well, which no statistic tells of.
    """
    after = [one for one in case.passes if one.number > 0]
    lately = after[-case.settled:] if case.settled else []
    if sum(one.count for one in lately) < HELD_PASSES or (
            lately[-1].end_s - lately[0].start_s < OVERDUE_S):
        return 0.0
    most = max(one.end_bytes for one in lately)
    return case.threshold_bytes - most if most < share * case.threshold_bytes else 0.0


def may_stop_longer(case: Case) -> bool:
    """Whether a longer blackout is permitted."""
    means = case.means
    return remedies.DOWNTIME in means.remedies and case.now.promised_ms < means.max_downtime_ms


def falling(case: Case) -> bool:
    """Whether less and less remains, and not only at first."""
    newest = case.passes[-1]
    lately = [one for one in case.passes if newest.end_s - one.end_s < LATELY_S]
    back = min(case.settled, TREND_PASSES)
    share = max(FALLING, FALLING_A_PASS ** (back - 1))
    return (newest.end_bytes < share * case.passes[-back].end_bytes
            and newest.end_bytes < FLAT * lately[0].start_bytes)


ALONE = {remedies.BANDWIDTH: vocabulary.RAISE_BANDWIDTH,
         remedies.DOWNTIME: vocabulary.RAISE_DOWNTIME}


def _rule(plan: planner_mod.Plan) -> str:
    if len(plan.used) == 1:
        return ALONE.get(plan.used[0], plan.used[0])
    return vocabulary.COMBINE


def _quiet(case: Case, planner: planner_mod.Planner, why: str) -> Judgement | None:
    """Wait for a quiet moment of a restless guest, with a limit that will catch it."""
    plan = planner.quiet()
    if plan is None:
        return None
    return Judgement(plan, vocabulary.AWAIT_QUIET, (
        f'{why}, but only {figures.size(case.seen.low_bytes)} remained in a quieter time; with a '
        f'blackout of up to {figures.blackout(plan.settings.promised_ms)} allowed it will switch '
        f'over in the next one'))


def _for_devices(case: Case, beside: float) -> Judgement:
    """Allow all of the blackout that is permitted, or give up: no other remedy helps."""
    now, means = case.now, case.means
    left = max(one.end_bytes for one in case.passes[-case.settled:])
    remains = 'Next to no memory remains' if figures.is_little(left) else (
        f'No more than {figures.size(left)} of memory remain')
    why = (f'{remains} after each pass, but QEMU holds back for {figures.size(beside)} or more of '
           f'other state, as that of devices is')
    most = means.max_downtime_ms
    if may_stop_longer(case):
        settings = dataclasses.replace(now, promised_ms=most, limit_ms=settings_mod.limit_ms(
            most, now.cap_mib_s, means.link))
        plan = planner_mod.Plan(
            (remedies.DOWNTIME,), settings, False, 0.0, float(most))
        return Judgement(plan, _rule(plan), (
            f'{why}; with a blackout of up to {figures.blackout(most)} allowed it may switch '
            'over'))
    return Judgement(None, vocabulary.ON_STALL, (
        f'{why}, and a blackout of up to {figures.blackout(now.promised_ms)} is too short for '
        f'that; permit a higher max_downtime_ms'))


def judge(case: Case) -> Judgement | None:
    """What to do now; None for nothing."""
    beside = held_back(case)
    if not beside and overdue(case) and may_stop_longer(case):
        beside = held_back(case, NEARLY_HELD)
    return _for_devices(case, beside) if beside else _for_memory(case)


def _for_memory(case: Case) -> Judgement | None:
    if overdue(case):
        case = dataclasses.replace(case, verdict=Verdict.UNSURE)
    if case.verdict is Verdict.FINE or too_early(case):
        return None
    seen, means = case.seen, case.means
    newest = case.passes[-1]
    planner = planner_mod.Planner(seen, case.now, means, case.throttle_percent or 0,
                                  newest.end_s - case.passes[0].start_s)
    why = reasons.evidence(list(case.passes), case.now.cap_mib_s, case.plateau_bytes)
    pass_s = max(seen.remaining / (seen.wire_rate * seen.drain), 0.1)
    if seen.restless and case.verdict is not Verdict.LATE:
        quiet = _quiet(case, planner, why)
        if quiet is not None:
            return quiet
        patience = min(max(QUIET_MIN_S, QUIET_PASSES * pass_s), QUIET_MAX_S)
        left = means.time_left_s
        if case.waited_s < patience and (left is None or left > 4 * pass_s):
            return None
    plan = planner.choose(pass_s)
    if plan is not None:
        harsh = any(one not in planner_mod.MILD for one in plan.used)
        if harsh and not clear(case):
            return None
        return Judgement(plan, _rule(plan), f'{why}; {reasons.prospect(plan, case.now, seen)}')
    if case.verdict is Verdict.LATE:
        return None
    plan = _best_effort(case, pass_s)
    if plan is not None:
        return Judgement(plan, _rule(plan), (
            f'{why}; {reasons.prospect(plan, case.now, seen)}, which the deadline may not leave '
            f'time for'))
    if not sure(case) or (falling(case) and not hopeless(case, MUCH_FASTER)):
        return None     # what still falls may get there, and will not fall for long if it cannot
    plan = planner.last_rate()
    if plan is not None:
        return Judgement(plan, _rule(plan), f'{why}; {reasons.prospect(plan, case.now, seen)}')
    anew = 100 * newest.dirtied_bytes / max(newest.sent_bytes, 1)
    return Judgement(None, vocabulary.ON_STALL, (
        f'{why}, for the guest dirties {anew:.0f} % as much anew as is sent, and '
        f'{reasons.exhausted(means, case.now)}'))


def _best_effort(case: Case, pass_s: float) -> planner_mod.Plan | None:
    """A mild remedy that makes it converge, if not in time by the forecast."""
    if case.means.time_left_s is None:
        return None
    mild = tuple(one for one in case.means.remedies if one in planner_mod.MILD)
    means = dataclasses.replace(case.means, remedies=mild, time_left_s=None)
    return planner_mod.Planner(case.seen, case.now, means,
                               case.throttle_percent or 0).choose(pass_s)
