# SPDX-License-Identifier: Apache-2.0
"""End a migration that will not finish any more.

Nothing moves over its link, or its guest is paused for far longer than was expected. Until
post-copy has begun the guest belongs to the source, so an abort does no harm: a paused guest runs
again. Whether something moves is determined in `standstill`, and how an end is brought about in
`ending`.
"""

from __future__ import annotations

from nova_migpolicy.engine import course as course_mod
from nova_migpolicy.engine.estimation import end_cost
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy.engine.steering import ending
from nova_migpolicy import vocabulary

Course = course_mod.Course
Decision = record.Decision
Observation = observer.Observation
State = state_mod.State
Phase = samples.Phase
RULE = vocabulary.STANDSTILL
LET_GO = vocabulary.LET_GO
# A paused guest is let go after this many times the expected time, and at the deadline after one
# and a half times of it. Below some seconds a short disturbance of the link would decide.
MOST = 3.0
AT_DEADLINE = 1.5
LEAST_S = 10.0
# A switchover in which nothing moves is given this many times the promised blackout.
HUNG = 20


def expected(state: State, seen: Observation, decision: Decision) -> Course:
    """The course after a decision, with the expected time of a pause that it begins or changes."""
    course, at_s = state.course if decision.course is None else decision.course, decision.at_s
    paused_s = course.stopped.paused_s
    for action in decision.actions:
        if isinstance(action, remedies.Pause):
            course = _expecting(course, 0.0, ending.cost(state, seen, action, at_s))
        elif isinstance(action, remedies.SetBandwidth) and paused_s is not None:
            course = _expecting(course, at_s - paused_s, seen.cost(state, at_s, action.mib_s))
    return course


def _expecting(course: Course, stood_s: float, cost: end_cost.Cost | None) -> Course:
    return course.with_stopped(expected_s=stood_s + (cost.most_seconds if cost else 0.0))


def next_due_s(state: State, seen: Observation, after_s: float) -> float | None:
    """The time to let a paused guest go, if it comes after `after_s`; else None."""
    due_s, _ = _due(state, seen)
    return due_s if due_s is not None and due_s > after_s else None


def _due(state: State, seen: Observation) -> tuple[float | None, str]:
    """The time to let a paused guest go, None for one that is not paused, and the rule."""
    stopped = state.course.stopped
    if (stopped.paused_s is None or not isinstance(state.ended_by, remedies.Pause)
            or seen.phase is Phase.POST_COPY):
        return None, ''
    most_s = stopped.paused_s + max(LEAST_S, MOST * stopped.expected_s)
    deadline_s = state.terms.deadline_s
    if deadline_s is None or state.policy.on_timeout == 'continue':
        return most_s, LET_GO
    due_s = max(deadline_s, stopped.paused_s + max(LEAST_S, AT_DEADLINE * stopped.expected_s))
    return (due_s, vocabulary.ON_TIMEOUT) if due_s < most_s else (most_s, LET_GO)


def let_go(state: State, seen: Observation) -> Decision | None:
    """Report that nothing moves any more, and end in time a migration that will not finish."""
    still, at_s, course = seen.standstill, seen.at_s, state.course
    if ending.is_aborted(state) or ending.owes_abort(state, seen):
        return None
    due_s, rule = _due(state, seen)
    if due_s is not None and (at_s >= due_s or still.lasts):
        return _end(state, seen, rule if at_s >= due_s else LET_GO, _stood(state, seen))
    if not still.lasts:
        return _moves_again(seen, course)
    if _hangs(state, seen):
        return _end(state, seen, LET_GO, (
            f'The guest has been standing still in its switchover for '
            f'{figures.span(at_s - (seen.switched_s or at_s))}, and {still.sentence}'))
    if course.stopped.said_s is None:
        return _say(seen, course.with_stopped(said_s=at_s),
                    f'{_sentence(seen)}; {_prospect(state, seen)}')
    course = course.with_stopped(stood_s=still.seconds)
    rule = _ends_by(state, seen)
    return _end(state, seen, rule, _sentence(seen), course) if rule else (
        Decision.silent(at_s, course))


def _hangs(state: State, seen: Observation) -> bool:
    """Whether the guest has stood still in its switchover for far too long."""
    most_s = max(LEAST_S, HUNG * state.settings.promised_ms / 1000)
    return (seen.switched_s is not None and seen.phase is not Phase.POST_COPY
            and seen.at_s - seen.switched_s >= most_s)


def _end(state: State, seen: Observation, rule: str, reason: str,
         course: Course | None = None) -> Decision | None:
    return ending.begin(state, seen, state.course if course is None else course,
                        ending.Ending((ending.ABORT,), rule, reason))


def _stood(state: State, seen: Observation) -> str:
    stopped = state.course.stopped
    since_s = seen.at_s if stopped.paused_s is None else stopped.paused_s
    text = (f'The guest has been standing still for {figures.span(seen.at_s - since_s)} for the '
            f'rest of its transfer, which was expected to take {figures.span(stopped.expected_s)}')
    if seen.left_bytes is not None:
        text += f', {figures.still_to_send(seen.left_bytes)}'
    still = seen.standstill
    return f'{text}, and {still.sentence}' if still.lasts else text


def _moves_again(seen: Observation, course: Course) -> Decision | None:
    if course.stopped.said_s is None:
        return None
    return _say(seen, course.with_stopped(said_s=None), (
        f'It moves again over the link to the destination, after about '
        f'{figures.span(course.stopped.stood_s)}'))


def _ends_by(state: State, seen: Observation) -> str:
    """The rule by which to end it now, also where another end waits; empty for none."""
    due, left_s = state.course.ending.due, state.time_left_s(seen.at_s)
    if (not seen.standstill.is_to_end or seen.phase is Phase.POST_COPY
            or (due is not None and due.is_abort)):
        return ''
    if _acts(state, seen):
        return vocabulary.ON_STALL
    late = left_s is not None and left_s <= 0 and state.policy.on_timeout != 'continue'
    return vocabulary.ON_TIMEOUT if late else ''


def _acts(state: State, seen: Observation) -> bool:
    return state.policy.on_stall != 'continue' and seen.phase is not Phase.POST_COPY


def _sentence(seen: Observation) -> str:
    text = seen.standstill.sentence
    if seen.left_bytes is not None:
        text += f', {figures.still_to_send(seen.left_bytes)}'
    return text[0].upper() + text[1:]


def _prospect(state: State, seen: Observation) -> str:
    """A clause on what will be done if it lasts."""
    if seen.phase is Phase.POST_COPY:
        return ('the server runs at the destination and waits for the memory that it needs; '
                'nothing can be taken back, so check the network')
    if not _acts(state, seen):
        return 'it goes on as the policy says'
    return f'it will be aborted when that has lasted for {figures.span(seen.standstill.to_end_s)}'


def _say(seen: Observation, course: Course, reason: str) -> Decision:
    return Decision(seen.at_s, (), RULE, reason, seen.forecast, course=course)
