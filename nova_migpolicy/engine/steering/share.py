# SPDX-License-Identifier: Apache-2.0
"""Share the link with the other migrations of a host, and decide which of them goes first.

A rate on a shared link tells nothing of the guest, nor of the link. So where a migration would be
given up on, or its guest stopped, moved or slowed, while others use the link, it is *in need*
instead: those that began after it give way, at a trickle, until it has ended. Of several in need
the oldest goes first, and the others follow one by one. One that gives way and has a deadline
becomes *urgent* in good time before it, and goes before all that are not. One that cannot end even
with the link to itself, or over whose link nothing moves, keeps no other from it.
Migrations of other hosts show only by the rate that they take: it is then far below what the link
has given. They are waited for, but not for long.
"""

from __future__ import annotations

from collections import abc

from nova_migpolicy.engine import course as course_mod
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import vocabulary

Course = course_mod.Course
Decision = record.Decision
Observation = observer.Observation
State = state_mod.State
RULE = vocabulary.SHARE
TRICKLE_MIB_S = 1
# A rate below this share of what the link has given is put down to others, for this long.
TAKEN = 0.6
PATIENCE_S = 60.0
# Before its deadline it takes the link for this many times the remaining transfer, plus some.
URGENT = 3.0
URGENT_S = 10.0
GIVES_WAY = (samples.Phase.DISKS, samples.Phase.BULK, samples.Phase.PASSES)


def needed_by(all_of_them: abc.Sequence[tuple[bool, bool]], place: int) -> int:
    """The number of those in need that go before the one at a place.

    :param all_of_them: for each, oldest first, whether it is in need and whether it is urgent
    """
    _, own = all_of_them[place]
    return sum(in_need and (not urgent, number) < (not own, place)
               for number, (in_need, urgent) in enumerate(all_of_them))


def has_given_way(state: State) -> bool:
    """Whether it sends at a trickle, for another migration."""
    return (state.course.sharing.own_cap_mib_s is not None
            and state.settings.cap_mib_s == TRICKLE_MIB_S)


def is_in_need(state: State, seen: Observation) -> bool:
    """Whether it cannot end beside the others that use the link, but may with it to itself.

    One that had the link to itself and goes on as its policy says, or whose link is dead, is not.
    One that is paused is: its guest stands still as long as others take their part.
    """
    in_vain = state.course.ending.stall_said and not isinstance(state.ended_by, remedies.Pause)
    return state.course.sharing.in_need and not (in_vain or stands_still(state, seen))


def stands_still(state: State, seen: Observation) -> bool:
    """Whether nothing has moved over the link for long enough to be reported."""
    return seen.standstill.lasts and not isinstance(state.ended_by, remedies.Abort)


def paused(state: State, seen: Observation) -> Course:
    """The course with a paused guest, which needs the link to itself."""
    return state.course.with_sharing(
        in_need=state.course.sharing.in_need or seen.others(state) > 0)


def give_way_or_go_on(state: State, seen: Observation) -> Decision | None:
    """Give way to another migration in need, or return to its own rate."""
    course, sharing = state.course, state.course.sharing
    needed_by = (seen.sample.needed_by or 0) if seen.sample is not None else 0
    if sharing.own_cap_mib_s is not None and (
            terms_mod.BANDWIDTH in state.terms.held or not has_given_way(state)):
        course = course.with_sharing(own_cap_mib_s=None)    # It was set otherwise since.
    own = course.sharing.own_cap_mib_s
    found: Decision | None = None
    if own is not None and not sharing.is_urgent and _is_late(state, seen):
        found = _go_first(state, seen, course)
    elif needed_by and own is None:
        found = _give_way(state, seen, course, needed_by)
    elif not needed_by and own is not None:
        found = _go_on(seen, course, own)
    if found is None and course != state.course:
        return Decision.silent(seen.at_s, course)
    return found


def _give_way(state: State, seen: Observation, course: Course,
              needed_by: int) -> Decision | None:
    now = state.settings.cap_mib_s
    if (seen.phase not in GIVES_WAY or terms_mod.BANDWIDTH in state.terms.held
            or now == TRICKLE_MIB_S or not state.available(remedies.BANDWIDTH)):
        return None
    if seen.phase is samples.Phase.DISKS and not seen.facts.can_hurry_disks:
        return None         # A refusal would count against the memory's rate, too.
    course = course.with_sharing(
        own_cap_mib_s=now, tries=0, own_rate=max(_given(state, seen), seen.pace or 0.0),
        # A guest sent once ends soon with the link to itself: one after the other.
        in_need=course.sharing.in_need or seen.phase is samples.Phase.PASSES)
    return Decision(seen.at_s, (remedies.SetBandwidth(TRICKLE_MIB_S),), RULE, (
        f'{figures.count(needed_by, "migration")} of this host that began before it, or whose '
        f'deadline permits no more waiting, cannot end while others use the link; '
        f'it goes on at {TRICKLE_MIB_S} MiB/s until then'), seen.forecast, course=course)


def _go_on(seen: Observation, course: Course, cap_mib_s: int) -> Decision | None:
    tries = course.sharing.tries
    if tries and seen.at_s < course.sharing.again_s:
        return None
    course = course.with_sharing(
        tries=tries + 1, again_s=seen.at_s + state_mod.abort_pause_s(tries + 1))
    rate = f'{cap_mib_s} MiB/s' if cap_mib_s else 'no bandwidth cap'
    return Decision(seen.at_s, (remedies.SetBandwidth(cap_mib_s),), RULE, (
        f'No migration that goes before it needs the link any more; it goes on with {rate}'),
        seen.forecast, again=tries > 0, course=course)


def _is_late(state: State, seen: Observation) -> bool:
    """Whether it has to go on now to meet its deadline."""
    time_left, left = state.time_left_s(seen.at_s), seen.left_bytes
    if time_left is None or left is None or state.policy.on_timeout == 'continue':
        return False
    rate = max(state.course.sharing.own_rate, TRICKLE_MIB_S * record.MIB)
    return time_left <= URGENT_S + URGENT * left / rate


def _go_first(state: State, seen: Observation, course: Course) -> Decision:
    left, time_left = seen.left_bytes or 0, state.time_left_s(seen.at_s) or 0.0
    return _say(seen, course.with_sharing(is_urgent=True, in_need=True), (
        f'{figures.size(left)} are left, and the deadline is in '
        f'{figures.span(max(time_left, 0.0))}; it goes before the migrations of this host '
        f'that can wait'))


def instead(state: State, seen: Observation, course: Course,
            reason: str) -> tuple[Course, bool, Decision | None]:
    """Decide whether to wait instead of acting on the guest.

    Returns the course from now on, whether to wait, and what is reported of it.

    :param reason: the reason for acting
    """
    others, at_s, sharing = seen.others(state), seen.at_s, course.sharing
    if others and course.ending.stall_said:
        # It did not end alone either: nobody gives way to it any more.
        return course, True, None
    if others:
        needs = course.with_sharing(in_need=True)
        return needs, True, None if sharing.in_need else _say(seen, needs, (
            f'{reason}, beside {figures.count(others, "other migration")} of this host; those '
            'that began after it give way until it has ended'))
    if not _is_taken(state, seen):
        return course.with_sharing(waits_since_s=None), False, None
    since_s = sharing.waits_since_s
    if since_s is None:
        course = course.with_sharing(waits_since_s=at_s)
        return course, True, _say(seen, course, (
            f'{reason}; the link has given {figures.rate(_given(state, seen))} before, so others '
            f'seem to use it, and it waits for them for up to {figures.span(PATIENCE_S)}'))
    return course, at_s - since_s < PATIENCE_S, None


def _say(seen: Observation, course: Course, reason: str) -> Decision:
    return Decision(seen.at_s, (), RULE, reason, seen.forecast, course=course)


def _given(state: State, seen: Observation) -> float:
    """The highest rate of the link, in bytes/s, as far as this migration could use it."""
    cap, known = state.settings.cap_mib_s, seen.known_link.most_mib_s or 0.0
    most = max([known * record.MIB, *(
        one.wire_rate for one in seen.passes if one.cap_mib_s == cap and one.steady)])
    return min(most, cap * record.MIB) if cap else most


def _is_taken(state: State, seen: Observation) -> bool:
    estimate = seen.estimate
    if estimate is None or estimate.remaining <= seen.threshold_bytes(state):
        return False        # This little data tells nothing of the rate.
    return estimate.measured and estimate.wire_rate < TAKEN * _given(state, seen)
