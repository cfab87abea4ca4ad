# SPDX-License-Identifier: Apache-2.0
"""Adjust the settings of a migration that goes on.

The occasions: a pass has ended (`convergence` judges), a copy alone would miss the deadline, the
measurement before the start rules out convergence, or a limit no longer keeps the promised
blackout. How an end is brought about is decided in `ending`.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine import course as course_mod
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy.engine.steering import convergence
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.engine.steering import planner as planner_mod
from nova_migpolicy.engine.steering import share
from nova_migpolicy import vocabulary

MIB = record.MIB
Decision = record.Decision
Observation = observer.Observation
State = state_mod.State
# A copy is sped up for the deadline at most this often, and only for a real gain.
SPEED_UP_S = 10.0
SPEED_UP_GAIN = 1.2
# The share of the remaining time in which the bulk copy should be over.
SPEED_UP_SHARE = 0.8
# A guest measured to dirty this much faster than the cap cannot converge. The rate is then raised
# to this many times its dirty rate: p95 of total time / oracle on the suite full, seed 101, was
# 1.38 with 3, 1.34 with 5, 1.26 with 8 and with 12; the median of bytes / oracle stayed 1.00.
EARLY = 1.05
EARLY_GAIN = 8.0
# A limit that is off by less is left: the margin kept back from the promise pays for it.
SLACK = 1.05
# The share of the permitted blackout that is used while others share the link.
BESIDE_OTHERS = 0.7
# QEMU was told a low estimate of the link's rate: up to this factor more is no error.
TOLD_SLACK = 1.2


def permitted(state: State, seen: Observation) -> planner_mod.Permitted:
    """The remedies permitted now, with their bounds."""
    policy = state.policy
    can = {remedies.AUTO_CONVERGE: seen.facts.can_throttle,
           remedies.POST_COPY: seen.facts.can_post_copy}
    usable = tuple(one for one in policy.remedies
                   if can.get(one, True) and state.available(one) and state.terms.frees(one))
    # Others may take more of the link just when the rest is sent.
    most_ms = policy.max_downtime_ms if not seen.others(state) else max(
        state.settings.promised_ms, int(BESIDE_OTHERS * policy.max_downtime_ms))
    cap = state.settings.cap_mib_s
    return planner_mod.Permitted(
        usable, policy.max_bandwidth_mib_s, most_ms, policy.max_throttle_percent, seen.link,
        highest_cap_mib_s=(state.terms.highest_cap(cap)
                           if state.available(remedies.BANDWIDTH) else cap),
        can_rescale=state.available(remedies.DOWNTIME), link_bound=seen.is_link_bound(state),
        time_left_s=state.time_left_s(seen.at_s))


def after_pass(state: State, seen: Observation) -> Decision | None:
    """Take the least harmful remedy that makes it converge, or carry out on_stall."""
    if seen.estimate is None or seen.forecast is None:
        return None
    at_s = seen.at_s
    unsure_s = None if seen.verdict is outlook.Verdict.FINE else (
        at_s if state.course.unsure_s is None else state.course.unsure_s)
    course = dataclasses.replace(state.course, unsure_s=unsure_s)
    found = convergence.judge(convergence.Case(
        seen.estimate, seen.passes, state.settings, permitted(state, seen), seen.verdict,
        seen.forecast.plateau_bytes, seen.forecast.eta_s, seen.settled_passes(state),
        at_s - (unsure_s or at_s), seen.throttle_percent, seen.threshold_bytes(state)))
    if found is None:
        return Decision.silent(at_s, course)
    return _carry_out(state, seen, course, found)


def _carry_out(state: State, seen: Observation, course: course_mod.Course,
               found: convergence.Judgement) -> Decision | None:
    """Carry out a judgement, or wait where others on the link slow it down."""
    now, at_s = state.settings, seen.at_s
    step = found.plan.step if found.plan is not None else None
    actions = () if found.plan is None or step is not None else settings_mod.changes(
        now, found.plan.settings)
    if found.plan is None or step is not None or any(
            isinstance(one, remedies.SetThrottle) for one in actions):
        # The guest would be given up, stopped, moved or slowed.
        course, waits, said = share.instead(state, seen, course, found.reason)
        if waits:
            return said or Decision.silent(at_s, course)
    if found.plan is None:
        return ending.stall(state, seen, course, found.rule, found.reason) or (
            Decision.silent(at_s, course))
    if step is not None:
        course = course.begin(ending.Ending((step,), found.rule, found.reason))
        actions = ending.actions(state, seen, step)
    return Decision(at_s, actions, found.rule, found.reason, seen.forecast, course=course)


def speed_up_copy(state: State, seen: Observation) -> Decision | None:
    """Raise the bandwidth when this copy of the memory would miss the deadline."""
    now, at_s = state.settings, seen.at_s
    passing = seen.phase is samples.Phase.PASSES
    time_left, left = state.time_left_s(at_s), seen.left_bytes
    rate = seen.rate(state) if passing else seen.pace
    may = permitted(state, seen)
    if time_left is None or time_left <= 0 or left is None or rate is None:
        return None
    if not now.cap_mib_s or remedies.BANDWIDTH not in may.remedies:
        return None
    if at_s - state.course.sped_up_s < SPEED_UP_S or left / rate <= time_left:
        return None
    # A pace below the cap is a slow link or slow host, and no cap helps with that.
    if rate < observer.LINK_BOUND * now.cap_mib_s * MIB:
        return None
    top = may.max_bandwidth_mib_s
    needed = math.ceil(now.cap_mib_s * left / rate / (time_left * SPEED_UP_SHARE))
    cap = min(needed, top) if top else needed
    if cap < SPEED_UP_GAIN * now.cap_mib_s:
        return None
    settings = with_cap(state, cap, may)
    if settings is None:
        return None
    what = 'this pass' if passing else 'the bulk copy'
    does = 'makes it' if cap >= needed else 'is the most that is permitted'
    return Decision(
        at_s, settings_mod.changes(now, settings), vocabulary.RAISE_BANDWIDTH, (
            f'{figures.size(left)} of {what} are left and need '
            f'{figures.span(left / rate)} at {now.cap_mib_s} MiB/s, but the deadline is in '
            f'{figures.span(time_left)}; {cap} MiB/s {does}'), seen.forecast,
        course=dataclasses.replace(state.course, sped_up_s=at_s))


def with_cap(state: State, cap_mib_s: int,
             may: planner_mod.Permitted) -> settings_mod.Settings | None:
    """The settings with another cap and the same promise; None where they cannot be set."""
    now = state.settings
    settings = settings_mod.with_cap(now, cap_mib_s, may.link)
    return None if settings.limit_ms < now.limit_ms and not may.can_rescale else settings


def raise_early(state: State, seen: Observation) -> Decision | None:
    """Raise the bandwidth in the bulk copy when the measurement rules out convergence.

    A guest dirties no less in a longer time than in a shorter one. So if it dirties more in the
    time of the measurement than may be sent, no pass gets shorter than that time, and more than
    that remains after each.
    """
    now, before, may = state.settings, seen.measured_before, permitted(state, seen)
    if before is None or state.course.early_considered or not now.cap_mib_s:
        return None
    if may.remedies[:1] != (remedies.BANDWIDTH,):
        return None
    course = dataclasses.replace(state.course, early_considered=True)
    no = Decision.silent(seen.at_s, course)
    rate = before.dirtied / before.seconds / MIB
    if rate < EARLY * now.cap_mib_s or before.dirtied < 2 * seen.threshold_bytes(state):
        return no
    bounds = [bound for bound in (may.max_bandwidth_mib_s, may.link.most_mib_s) if bound]
    cap = min([math.ceil(EARLY_GAIN * rate), *(int(bound) for bound in bounds)])
    settings = with_cap(state, cap, may)
    if cap < EARLY * rate or settings is None:
        return no
    return Decision(
        seen.at_s, settings_mod.changes(now, settings), vocabulary.RAISE_BANDWIDTH, (
            f'In {figures.span(before.seconds)} before the start the guest dirtied '
            f'{figures.size(before.dirtied)}, which {now.cap_mib_s} MiB/s cannot catch up '
            f'with; {cap} MiB/s can'), seen.forecast, course=course)


def keep_promise(state: State, seen: Observation) -> Decision | None:
    """Bring the limit back in line with the promise after the link or the cap changed.

    A limit that would break the promise is lowered. It is raised only where an operator holds what
    determines it, or QEMU was told less than the link's rate: otherwise a higher limit is a
    remedy, for when it is needed.
    """
    now, link = state.settings, seen.link
    if not state.available(remedies.DOWNTIME):
        return None
    if state.course.limit_owed and seen.phase is not samples.Phase.SETUP:
        return _set_owed_limit(state, seen)
    most = state.terms.most_downtime_ms
    highest = settings_mod.limit_ms(most, now.cap_mib_s, link)
    promised = min(now.promised_ms, most)
    limit = settings_mod.limit_ms(promised, now.cap_mib_s, link)
    if now.limit_ms > highest * SLACK + 1:
        effect = f'would break the promised {figures.blackout(most)} blackout'
    elif (state.terms.limit_is_held and limit > now.limit_ms * SLACK + 1) or (
            link.switchover_mib_s and limit > now.limit_ms * TOLD_SLACK):
        effect = f'does not use the permitted blackout of {figures.blackout(promised)}'
    else:
        return None
    rate = link.mib_s or link.switchover_mib_s
    where = f'With the link at {figures.rate(rate * MIB)}' if rate else (
        'With the rate of the link unknown')
    does = 'keeps it' if limit < now.limit_ms else 'does'
    action = remedies.SetMaxDowntime(limit, promised)
    return Decision(seen.at_s, (action,), vocabulary.KEEP_PROMISE, (
        f'{where} a limit of {now.limit_ms} ms {effect}; {limit} ms {does}'), seen.forecast)


def _set_owed_limit(state: State, seen: Observation) -> Decision | None:
    """Set the limit that could not be set before the start, once there is a job."""
    now = state.settings
    limit = settings_mod.limit_ms(now.promised_ms, now.cap_mib_s, seen.known_link)
    if now.limit_ms != seen.facts.qemu_limit_ms or now.limit_ms == limit:
        return Decision.silent(
            seen.at_s, dataclasses.replace(state.course, limit_owed=False))
    action = remedies.SetMaxDowntime(limit, now.promised_ms)
    return Decision(seen.at_s, (action,), vocabulary.KEEP_PROMISE, (
        f'The limit of {limit} ms, which stands for a blackout of '
        f'{figures.blackout(now.promised_ms)}, could not be set before the start, and QEMU '
        f'has {now.limit_ms} ms; it is set now'), seen.forecast)
