# SPDX-License-Identifier: Apache-2.0
"""Steer a migration while its disks are mirrored: speed it up, or carry out on_stall.

There are two occasions, both at a tick: the rest of the disks and the memory would miss the
deadline or does not fall at all, and a higher rate is permitted; or it does not fall at the
highest permitted rate. Memory has its own rules (see `adjust` and `convergence`).
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine.estimation import disk_sync
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy.engine.steering import adjust
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.engine.steering import planner as planner_mod
from nova_migpolicy.engine.steering import reasons
from nova_migpolicy.engine.steering import share
from nova_migpolicy import vocabulary

MIB = record.MIB
Decision = record.Decision
Observation = observer.Observation
State = state_mod.State
# Only part of the guest's writes is seen.
MARGIN = 1.2
# A guest that fills a cache or a log for a while is no reason to give up.
STALL_S = observer.DISKS_KEPT_S
STALL_SEEN = 0.9
# The last seconds of that time must still reach this share of the rate of all of it.
LATELY_S = 10.0
MOVES = 0.5


def _is_highest(state: State, seen: Observation, may: planner_mod.Permitted, gross: float) -> bool:
    """Whether no permitted and possible rate is much higher than the present one."""
    cap, top = state.settings.cap_mib_s, may.max_bandwidth_mib_s
    if not cap or not seen.facts.can_hurry_disks or remedies.BANDWIDTH not in may.remedies:
        return True
    # Where something else is slower than the cap, a higher cap does not help.
    return not _binds(state, gross) or bool(top and top < adjust.SPEED_UP_GAIN * cap)


def _binds(state: State, gross: float) -> bool:
    """Whether the cap limits the copy, not the link, the hosts or others."""
    cap = state.settings.cap_mib_s
    return cap > 0 and gross >= observer.LINK_BOUND * cap * MIB


def speed_up(state: State, seen: Observation) -> Decision | None:
    """Raise the bandwidth when the disks and the memory would miss the deadline."""
    now, at_s, may = state.settings, seen.at_s, adjust.permitted(state, seen)
    rates, needs_s = seen.disk_rates(state), seen.disks_need_s(state)
    time_left, left = state.time_left_s(at_s), seen.left_bytes
    if rates is None or needs_s is None or left is None:
        return None
    if at_s - state.course.disks_sped_up_s < adjust.SPEED_UP_S or (
            _is_highest(state, seen, may, rates.gross)):
        return None
    if time_left is not None and time_left <= 0 and not ending.waits(state):
        return None
    horizon_s = time_left if time_left is not None and time_left > 0 else outlook.PATIENCE_S
    if needs_s <= (math.inf if time_left is None else time_left) and not math.isinf(needs_s):
        return None
    needed = math.ceil(max(
        (MARGIN * rates.written + left / (horizon_s * adjust.SPEED_UP_SHARE)) / MIB,
        adjust.SPEED_UP_GAIN * now.cap_mib_s))
    top = may.max_bandwidth_mib_s
    cap = min(needed, top) if top else needed
    settings = adjust.with_cap(state, cap, may)
    if settings is None:
        return None
    does = 'makes it' if cap >= needed else 'is the most that is permitted'
    return Decision(
        at_s, settings_mod.changes(now, settings), vocabulary.RAISE_BANDWIDTH, (
            f'{figures.size(left)} of the disks and the memory are left{_written(rates)} and '
            f'{_needs(needs_s, now.cap_mib_s, time_left)}; {cap} MiB/s {does}'),
        seen.forecast, course=dataclasses.replace(state.course, disks_sped_up_s=at_s))


def give_up(state: State, seen: Observation) -> Decision | None:
    """Carry out on_stall when the disks make no progress at the highest rate."""
    rates, may = seen.disk_rates(state, STALL_S), adjust.permitted(state, seen)
    left = seen.sample.disk_remaining_bytes if seen.sample is not None else None
    if rates is None or rates.seconds < STALL_SEEN * STALL_S or not left:
        return None
    lately = seen.disk_rates(state, LATELY_S)
    if lately is None or lately.gross < MOVES * rates.gross or rates.gross <= 0:
        # Where nothing is copied at all, the guest is not the cause.
        return None
    if rates.net > disk_sync.LEVEL * rates.gross or not _is_highest(
            state, seen, may, rates.gross):
        return None
    course, reason = state.course, (
        f'{figures.size(left)} of the disks remained after {figures.span(rates.seconds)} at '
        f'{figures.rate(rates.gross)} because the guest dirties them again at '
        f'{figures.rate(rates.again)}, and '
        f'{reasons.exhausted(may, state.settings)}')
    if not _binds(state, rates.gross):
        course, waits, said = share.instead(state, seen, course, reason)
        if waits:
            return said or Decision.silent(seen.at_s, course)
    return ending.stall(state, seen, course, vocabulary.ON_STALL, reason) or (
        Decision.silent(seen.at_s, course))


def _written(seen: disk_sync.Rates) -> str:
    """A clause on the guest's write rate, where it writes anything."""
    return f', to which the guest writes {figures.rate(seen.written)} or more,' if (
        seen.is_written) else ''


def _needs(needs_s: float, cap_mib_s: int, time_left_s: float | None) -> str:
    if math.isinf(needs_s):
        return f'are never in sync at {cap_mib_s} MiB/s'
    deadline = '' if time_left_s is None else (
        f', but the deadline is in {figures.span(max(time_left_s, 0.0))}')
    return f'need {figures.span(needs_s)} at {cap_mib_s} MiB/s{deadline}'
