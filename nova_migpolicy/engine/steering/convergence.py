# SPDX-License-Identifier: Apache-2.0
"""Judge a migration at the end of a pass: leave it alone, take a remedy, or give up on it.

Do nothing while it converges by itself. To say that it does not takes two consistent passes, or
one clear pass. If a remedy does not suffice, the next unobtrusive one follows after one pass under
the new settings, and a disruptive one or giving up after two. A guest of which less and less
remains is not given up on unless it writes much faster than it is sent, and a bursty guest is
given time for a lull. Where memory is done and QEMU goes on, the state of devices holds QEMU back,
not the guest. How an end is brought about is not known here.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

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

# A pass this much slower than those before it tells about the link, not about the guest.
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
# With a larger share of it QEMU may calculate with a rate other than the observed one: enough to
# allow the whole permitted blackout, but not to give up.
NEARLY_HELD = 0.9
FASTER = 1.1
MUCH_FASTER = 1.5
# Auto-converge acts at every second sync that is more than a second after the last one.
THROTTLE_PASSES = 6
LULL_PASSES = 8
LULL_MIN_S = 20.0
LULL_MAX_S = 120.0


@dataclasses.dataclass(frozen=True)
class Case:
    """The basis of a judgement, at the end of a pass.

    threshold_bytes: QEMU should switch over when less than that remains.
    settled: whole passes under the present settings. waited_s: for how long it has not been
    expected to converge in time. throttle_percent: how far auto-converge has gone; None when not
    reported.
    """

    seen: dirtying.Estimate
    passes: tuple[passes_mod.Pass, ...]
    now: settings_mod.Settings
    permitted: planner_mod.Permitted
    verdict: Verdict
    plateau_bytes: int | None
    eta_s: float | None
    settled: int
    waited_s: float
    throttle_percent: int | None
    threshold_bytes: float = 0.0


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A plan to carry out, or None where it cannot converge, and the reason."""

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
    """Whether the passes so far do not support a judgement yet."""
    if case.settled < 1 or case.seen.evidence < 1 or disturbed(case) or throttling(case):
        return True
    if case.seen.evidence < 2 and case.verdict is not Verdict.STALLED:
        return True
    return case.verdict is Verdict.UNSURE and not sure(case)


def sure(case: Case) -> bool:
    """Whether two consistent passes show that it does not converge.

    The remaining data must not be falling either, unless the guest clearly writes faster than it
    is sent: then it will not fall for long.
    """
    if min(case.settled, case.seen.evidence) < 2 or not had_a_chance(case):
        return False
    return cannot_converge(case) or not falling(case)


def cannot_converge(case: Case, factor: float = FASTER) -> bool:
    """Whether the guest clearly writes faster, by at least a factor, than it is sent."""
    seen = case.seen
    awake = 1 - min(case.throttle_percent or 0, 99) / 100
    slowest = min(seen.mid.rate, seen.gentle.rate) * awake
    return slowest > factor * seen.wire_rate * seen.drain


def may_disrupt(case: Case) -> bool:
    """Whether the passes justify a disruptive remedy, which brings the guest to the other host.

    One pass under the present settings suffices where it cannot converge and something else
    confirms that: the measurement before the start, or a pass before the settings were changed.
    Giving up takes two under the present ones: all of the guest will then be copied again.
    """
    return sure(case) or (case.settled >= 1 and case.seen.evidence >= 2 and had_a_chance(case)
                          and cannot_converge(case))


def may_give_up(case: Case) -> bool:
    """Whether the passes justify giving up.

    While the remaining data falls it may get there; where it cannot, it will not fall for long.
    """
    return sure(case) and (not falling(case) or cannot_converge(case, MUCH_FASTER))


def had_a_chance(case: Case) -> bool:
    """Whether the present settings were in force for as long as two passes before them took.

    A higher limit makes passes short: two of them may both fall into one burst of a guest that
    would switch over in its next lull. A higher bandwidth makes them short, too, but as much is
    sent in them.
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
    """The least number of bytes besides memory that keep QEMU from switching over; 0 for none.

    Less memory than a share of the threshold remains after each of several passes, and QEMU goes
    on: it also counts the state of devices, which appears in no statistic.
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
    permitted = case.permitted
    return (remedies.DOWNTIME in permitted.remedies
            and case.now.promised_ms < permitted.max_downtime_ms)


def falling(case: Case) -> bool:
    """Whether less and less remains, lately as well as over many passes."""
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


def _for_devices(case: Case, beside: float) -> Judgement:
    """Allow the whole permitted blackout, or give up: no other remedy helps."""
    now, permitted = case.now, case.permitted
    left = max(one.end_bytes for one in case.passes[-case.settled:])
    remains = 'Almost no memory remains' if figures.is_little(left) else (
        f'No more than {figures.size(left)} of memory remain')
    why = (f'{remains} after each pass, but QEMU waits for {figures.size(beside)} or more of '
           f'other state, such as that of devices')
    most = permitted.max_downtime_ms
    if may_stop_longer(case):
        settings = dataclasses.replace(now, promised_ms=most, limit_ms=settings_mod.limit_ms(
            most, now.cap_mib_s, permitted.link))
        plan = planner_mod.Plan(
            (remedies.DOWNTIME,), settings, False, 0.0, float(most))
        return Judgement(plan, _rule(plan), (
            f'{why}; with a blackout of up to {figures.blackout(most)} allowed it may switch '
            'over'))
    return Judgement(None, vocabulary.ON_STALL, (
        f'{why}, and a blackout of up to {figures.blackout(now.promised_ms)} is too short for '
        f'that; permit a higher max_downtime_ms'))


def judge(case: Case) -> Judgement | None:
    """Judge a migration; None where nothing is to be done."""
    beside = held_back(case)
    if not beside and overdue(case) and may_stop_longer(case):
        beside = held_back(case, NEARLY_HELD)
    return _for_devices(case, beside) if beside else _for_memory(case)


class _Search(NamedTuple):
    """The planner of one case, the evidence as a sentence, and how long a pass takes."""

    planner: planner_mod.Planner
    why: str
    pass_s: float


def _for_memory(case: Case) -> Judgement | None:
    """Judge how memory converges: wait for a lull, take a remedy, or give up."""
    if overdue(case):
        case = dataclasses.replace(case, verdict=Verdict.UNSURE)
    if case.verdict is Verdict.FINE or too_early(case):
        return None
    seen = case.seen
    search = _Search(
        planner_mod.Planner(seen, case.now, case.permitted, case.throttle_percent or 0,
                            case.passes[-1].end_s - case.passes[0].start_s),
        reasons.evidence(list(case.passes), case.now.cap_mib_s, case.plateau_bytes),
        max(seen.remaining / (seen.wire_rate * seen.drain), 0.1))
    if seen.bursty and case.verdict is not Verdict.LATE:
        found = _await_lull(case, search)
        if found is not None or _is_patient(case, search.pass_s):
            return found
    plan = search.planner.choose(search.pass_s)
    if plan is not None:
        return _best_plan(case, plan, search.why)
    if case.verdict is Verdict.LATE:
        return None
    return _best_effort(case, search) or _give_up(case, search)


def _await_lull(case: Case, search: _Search) -> Judgement | None:
    """Wait for a lull of a bursty guest, with a limit with which it then switches over."""
    plan = search.planner.await_lull()
    if plan is None:
        return None
    return Judgement(plan, vocabulary.AWAIT_QUIET, (
        f'{search.why}, but only {figures.size(case.seen.low_bytes)} remained in a lull; '
        f'with a blackout of up to {figures.blackout(plan.settings.promised_ms)} allowed it will '
        f'switch over in the next one'))


def _is_patient(case: Case, pass_s: float) -> bool:
    """Whether a bursty guest is given more time for a lull."""
    patience_s = min(max(LULL_MIN_S, LULL_PASSES * pass_s), LULL_MAX_S)
    left = case.permitted.time_left_s
    return case.waited_s < patience_s and (left is None or left > 4 * pass_s)


def _best_plan(case: Case, plan: planner_mod.Plan, why: str) -> Judgement | None:
    """Carry out a plan; a disruptive one only where the passes justify that."""
    disruptive = any(one not in planner_mod.UNOBTRUSIVE for one in plan.used)
    if disruptive and not may_disrupt(case):
        return None
    return Judgement(plan, _rule(plan), f'{why}; {reasons.prospect(plan, case.now, case.seen)}')


def _best_effort(case: Case, search: _Search) -> Judgement | None:
    """Take an unobtrusive remedy that makes it converge, though too late by the forecast."""
    if case.permitted.time_left_s is None:
        return None
    permitted = dataclasses.replace(case.permitted, time_left_s=None, remedies=tuple(
        one for one in case.permitted.remedies if one in planner_mod.UNOBTRUSIVE))
    plan = planner_mod.Planner(case.seen, case.now, permitted,
                               case.throttle_percent or 0).choose(search.pass_s)
    if plan is None:
        return None
    return Judgement(plan, _rule(plan), (
        f'{search.why}; {reasons.prospect(plan, case.now, case.seen)}, which the deadline may not '
        f'leave time for'))


def _give_up(case: Case, search: _Search) -> Judgement | None:
    """Try the highest permitted rate, and give up where that cannot suffice either."""
    if not may_give_up(case):
        return None
    plan = search.planner.last_rate()
    if plan is not None:
        return Judgement(plan, _rule(plan), (
            f'{search.why}; {reasons.prospect(plan, case.now, case.seen)}'))
    newest = case.passes[-1]
    again = 100 * newest.dirtied_bytes / max(newest.sent_bytes, 1)
    return Judgement(None, vocabulary.ON_STALL, (
        f'{search.why} because the guest re-dirties {again:.0f} % of what is sent, and '
        f'{reasons.exhausted(case.permitted, case.now)}'))
