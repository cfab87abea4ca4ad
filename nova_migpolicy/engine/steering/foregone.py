# SPDX-License-Identifier: Apache-2.0
"""Warn early of a migration that will miss its deadline at any permitted rate.

Everything has to be sent once. Where that alone takes longer than the deadline leaves, at the
highest permitted rate, an operator can still permit more or give it more time. It is not ended for
that: zero pages may be yet to come, which take almost no time.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine.estimation import disk_sync
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine.estimation import standstill
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy import vocabulary

Decision = record.Decision
Observation = observer.Observation
State = state_mod.State
RULE = vocabulary.DEADLINE
# A pace is known after this many seconds, and there is none where nothing has moved for as long.
SEEN_S = 10.0


def say_that_it_is_late(state: State, seen: Observation) -> Decision | None:
    """Report once, and early, that it will miss its deadline at any permitted rate."""
    at_s, course = seen.at_s, state.course
    if seen.standstill.seconds >= SEEN_S:
        # If it lasts, it is reported by its own rule.
        return Decision.silent(at_s, dataclasses.replace(course, stood_still_s=at_s))
    if seen.standstill.seconds >= standstill.STEP_S:
        return None         # It may have stopped a moment ago.
    time_left, left, pace = state.time_left_s(at_s), seen.left_bytes, _pace(state, seen)
    if course.late_said or time_left is None or time_left <= 0 or left is None or not pace:
        return None
    if at_s - max(seen.facts.started_s, _changed_s(state, seen)) < SEEN_S or _is_shared(seen):
        return None
    cap = state.settings.cap_mib_s
    top = state.terms.highest_cap(cap) if state.available(remedies.BANDWIDTH) else cap
    binds = cap > 0 and pace >= observer.LINK_BOUND * cap * record.MIB
    if binds and not top:
        return None         # Any rate is permitted.
    best = pace * top / cap if binds else pace
    needed_s = _needed_s(state, seen, left, best)
    if needed_s <= time_left:
        return None
    rate = f'the permitted {top} MiB/s' if binds else figures.rate(best)
    takes = (f'to which the guest writes faster than {rate} can copy' if math.isinf(needed_s) else
             f'which take no less than {figures.span(needed_s)} at {rate}')
    return Decision(at_s, (), RULE, (
        f'{figures.size(left)} are left, {takes}, but the deadline is in '
        f'{figures.span(time_left)}; permit more bandwidth or give it more time'),
        seen.forecast, course=dataclasses.replace(course, late_said=True))


def _needed_s(state: State, seen: Observation, left: int, rate: float) -> float:
    """Seconds to send everything at a rate in bytes/s; infinity for never."""
    rates = seen.disk_rates(state) if seen.phase is samples.Phase.DISKS else None
    if rates is None or not rates.is_written:
        return left / rate
    memory = seen.facts.memory_bytes
    # At a higher rate, no more writes are certain than those seen.
    written = math.inf if rates.level and rate <= rates.gross else rates.again
    return memory / rate + disk_sync.in_sync_s(left - memory, seen.disk_bytes, rate, written)


def _pace(state: State, seen: Observation) -> float | None:
    """Bytes/s sent, with the parts of disks that are sent again; None where not known yet."""
    if seen.phase is not samples.Phase.DISKS:
        return seen.pace
    rates = seen.disk_rates(state)
    return rates.gross if rates is not None and rates.seconds >= SEEN_S else None


def _changed_s(state: State, seen: Observation) -> float:
    """The time from which the pace is that of the present settings and a link that moves."""
    changed_s = max(state.changed_s, state.course.stood_still_s)
    at_start = changed_s <= seen.facts.started_s
    return changed_s if at_start else changed_s + progress_mod.WINDOW_S


def _is_shared(seen: Observation) -> bool:
    return seen.sample is None or bool(seen.sample.others) or seen.phase not in (
        samples.Phase.DISKS, samples.Phase.BULK)
