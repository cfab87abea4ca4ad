# SPDX-License-Identifier: Apache-2.0
"""Bring about an end that is due: by the deadline, a judgement or an operator.

An end is a row of steps: when one is refused, the next is taken. Post-copy and a pause wait for
the memory to be sent, and are not taken where the migration ends by itself soon. Whether it cannot
converge is judged in `convergence`; what an operator may order in which phase is in `orders`.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine import course as course_mod
from nova_migpolicy.engine.estimation import end_cost
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy import vocabulary

Course = course_mod.Course
Decision = record.Decision
Ending = course_mod.Ending
Observation = observer.Observation
Phase = samples.Phase
State = state_mod.State
Steps = tuple[remedies.Action, ...]

ABORT = remedies.Abort()
PAUSE = remedies.Pause()
POST_COPY = remedies.StartPostCopy()
# The policy's words for on_timeout and on_stall; what comes first is preferred.
STEPS: dict[str, Steps] = {
    'abort': (ABORT,),
    'force_complete': (POST_COPY, PAUSE, ABORT),
    'post_copy': (POST_COPY, ABORT),
    'pause': (PAUSE, ABORT),
}
# An operator who wants it to complete does not want it aborted.
BY_OPERATOR: Steps = (POST_COPY, PAUSE)
RETRY_S = 5.0
# An end waits this long for disks that are not in sync, in seconds; longer where they progress.
GRACE_S = 60.0
# An end is not forced where it comes by itself within this many times the time that forcing takes,
# or within this many seconds. Forecasts err: the wait is twice as long and a little more at most.
SOON = 3.0
SOON_S = 2.0
SOON_SAID = 'it is expected to end by itself in about'
# What an end waits for.
MEMORY = 'memory'
EARLY = 'that will be done as soon as the memory is being sent'
ONCE = ('that will be done when all of the memory has been sent once, if it does not end by '
        'itself then')


@dataclasses.dataclass(frozen=True)
class Patience:
    """The limits of an end's wait for the disks to be in sync; seconds on the engine's clock."""

    since_s: float
    started_s: float
    deadline_s: float | None

    def from_deadline(self, *, never: bool) -> Patience:
        """The same, but with no end of the wait before the deadline, or ever."""
        never = never or self.deadline_s is None
        return dataclasses.replace(self, since_s=math.inf if never else max(
            self.since_s, self.deadline_s or 0.0))

    @property
    def is_bounded(self) -> bool:
        """Whether the wait may end in vain."""
        return not math.isinf(self.since_s)

    def over(self, at_s: float, needs_s: float | None) -> bool:
        """Whether it has waited in vain.

        Disks that progress are waited for, but no longer than the time the whole migration had.

        :param needs_s: seconds until the disks are in sync and the memory was sent; infinity for
            never, None for not known
        """
        if at_s - self.since_s < GRACE_S:
            return False
        begun_s = max(self.since_s, self.deadline_s or 0.0)
        patience_s = GRACE_S if self.deadline_s is None else max(
            GRACE_S, self.deadline_s - self.started_s)
        return needs_s is None or at_s + needs_s > begun_s + patience_s


@dataclasses.dataclass(frozen=True)
class _Wait:
    """A wait of an end: its name, the sentence and actions at its start, and its latest end."""

    name: str
    says: str
    actions: Steps = ()
    until_s: float | None = None


def is_over(state: State, seen: Observation) -> bool:
    """Whether there is nothing left to steer: paused, post-copy or aborted."""
    return state.ended_by is not None or seen.phase is Phase.POST_COPY


def is_aborted(state: State) -> bool:
    """Whether libvirt has taken an abort."""
    return isinstance(state.ended_by, remedies.Abort)


def waits(state: State) -> bool:
    """Whether an end is due that has to wait for the memory."""
    return state.course.ending.due is not None and state.course.ending.waits_for == MEMORY


def abort_is_asked(state: State) -> bool:
    """Whether an operator asked to abort it, which may have been refused once."""
    due = state.course.ending.due
    return due is not None and due.is_abort and due.rule == vocabulary.OPERATOR


def owes_abort(state: State, seen: Observation) -> bool:
    """Whether an abort of a paused guest was refused and is still due."""
    due = state.course.ending.due
    return (due is not None and due.is_abort and isinstance(state.ended_by, remedies.Pause)
            and seen.phase is not Phase.POST_COPY)


def next_due_s(state: State, after_s: float) -> float | None:
    """The next moment after `after_s` at which a sample is needed; None for none."""
    moments = [state.terms.deadline_s]
    if state.course.ending.due is not None:
        moments.append(state.abort_again_s)
    return min((moment for moment in moments if moment is not None and moment > after_s),
               default=None)


def take_next_step(state: State, seen: Observation) -> Decision | None:
    """Take the next step of an end that is due, or say what it waits for."""
    return step(state, seen, state.course, seen.at_s, now=seen.ended_pass is not None)


def at_deadline(state: State, seen: Observation) -> Decision | None:
    """Carry out on_timeout once the deadline has passed."""
    at_s, ending = seen.at_s, state.course.ending
    left_s = state.time_left_s(at_s)
    if left_s is None or left_s > 0 or ending.deadline_done or ending.due is not None:
        return None
    course = state.course.with_ending(deadline_done=True)
    still = seen.left_in_all(state, at_s)
    whole = figures.span(at_s + left_s - seen.facts.started_s)
    reason = f'The deadline of {whole} has passed'
    if still is not None:
        reason += f' {figures.still_to_send(still)}'
    if seen.standstill.lasts:
        reason += f', and {seen.standstill.sentence}'
    if state.policy.on_timeout == 'continue':
        return Decision(at_s, (), vocabulary.ON_TIMEOUT,
                        f'{reason}; it goes on as the policy says', seen.forecast, course=course)
    return _start(state, seen, course, state.policy.on_timeout, vocabulary.ON_TIMEOUT, reason)


def stall(state: State, seen: Observation, course: Course, rule: str,
          reason: str) -> Decision | None:
    """Carry out on_stall for a migration that no permitted remedy makes converge."""
    if state.policy.on_stall != 'continue':
        return _start(state, seen, course, state.policy.on_stall, rule, reason)
    if course.ending.stall_said:
        return None
    return Decision(seen.at_s, (), rule, f'{reason}; it goes on as the policy says',
                    seen.forecast, course=course.with_ending(stall_said=True))


def _start(state: State, seen: Observation, course: Course, way: str, rule: str,
           reason: str) -> Decision | None:
    """Begin the end that the policy names for a deadline or a stall."""
    if way != 'abort' and seen.standstill.lasts:
        way, reason = 'abort', f'{reason}, so what {rule} asks for ({way}) would not end'
    elif way == 'post_copy' and not seen.facts.can_post_copy:
        reason += '; post-copy was asked for but is not possible'
    return begin(state, seen, course, Ending(_steps_of(way, state.policy.may_pause), rule, reason))


def begin(state: State, seen: Observation, course: Course, due: Ending) -> Decision | None:
    """Begin an end with its first step, or with a wait for it."""
    return step(state, seen, course.begin(due), seen.at_s, now=True)


def _steps_of(way: str, may_pause: bool) -> Steps:
    """The steps for the policy's on_timeout or on_stall.

    A post-copy that is impossible or refused is followed by a pause where the policy permits one
    anywhere.
    """
    if way == 'post_copy' and may_pause:
        return STEPS['force_complete']
    return STEPS[way]


def step(state: State, seen: Observation, course: Course, at_s: float, *, now: bool,
         aloud: bool = False) -> Decision | None:
    """Take the next step of an end that is due; None where nothing changes.

    :param course: with the end that is due, which may just have begun
    :param now: also where a step was refused a moment ago
    :param aloud: report a wait again even where it was reported before
    """
    due = course.ending.due
    if due is None:
        return None
    action = _possible(state, seen, due)
    if action is None:
        return _given_up(state, seen, course, due, at_s)
    if not _is_time(state, course, action, at_s, now):
        return _silent(state, course, at_s)
    wait = _wait(state, seen, course, action, at_s)
    if wait is not None and wait.name == MEMORY:
        course, in_vain = _waits_in_vain(state, seen, course, due, at_s)
        if in_vain:
            return step(state, seen, course, at_s, now=True)
    if wait is not None:
        said = course.ending.waits_for
        course = course.with_ending(waits_for=wait.name, until_s=wait.until_s)
        if said == wait.name and not aloud:
            return _silent(state, course, at_s)
        return Decision(at_s, wait.actions, due.rule, f'{due.reason}; {wait.says}',
                        seen.forecast, course=course)
    before = f' (refused before: {state.error})' if course.failed_s else ''
    again = course.ending.abort_said
    if isinstance(action, remedies.Abort):
        course = course.with_ending(abort_said=True)
    return Decision(at_s, actions(state, seen, action), due.rule,
                    f'{due.reason}; {says(state, seen, action, at_s)}{before}', seen.forecast,
                    again=again, course=course)


def _silent(state: State, course: Course, at_s: float) -> Decision | None:
    return Decision.silent(at_s, course) if course != state.course else None


def _possible(state: State, seen: Observation, due: Ending) -> remedies.Action | None:
    """The first possible step; None when none is."""
    for action in due.steps:
        if isinstance(action, remedies.StartPostCopy) and not seen.facts.can_post_copy:
            continue
        if state.available(action.remedy):
            return action
    return None


def _is_time(state: State, course: Course, action: remedies.Action, at_s: float,
             now: bool) -> bool:
    """Whether to take a step now that may have been refused before.

    An abort is tried after its pauses, however many passes end in the meantime; other steps at
    the next pass, or after a while.
    """
    if isinstance(action, remedies.Abort):
        return state.abort_again_s is None or at_s >= state.abort_again_s
    return course.failed_s is None or now or at_s - course.failed_s >= RETRY_S


def _given_up(state: State, seen: Observation, course: Course, due: Ending,
              at_s: float) -> Decision:
    """Drop an end of which no step is possible; a deadline that it had replaced holds again."""
    by_operator = due.rule == vocabulary.OPERATOR
    course = course.with_ending(
        due=None, deadline_done=course.ending.deadline_done and not by_operator)
    return Decision(at_s, (), due.rule, (
        f'{due.reason}; but that was refused: {state.error or "not possible"}'),
        seen.forecast, course=course)


def _must_wait(action: remedies.Action, phase: Phase) -> bool:
    """Whether it is too early for a step: a paused guest makes no disk copy faster."""
    return phase in (Phase.SETUP, Phase.DISKS) and isinstance(
        action, (remedies.StartPostCopy, remedies.Pause))


def _wait(state: State, seen: Observation, course: Course, action: remedies.Action,
          at_s: float) -> _Wait | None:
    """The wait that is better before the guest is stopped or moved; None for none."""
    if not isinstance(action, (remedies.StartPostCopy, remedies.Pause)):
        return None
    if _must_wait(action, seen.phase):
        bound = ', and it is aborted if the disks are not in sync in time' if (
            _patience(state, seen, course, at_s).is_bounded) else ''
        return _Wait(MEMORY, EARLY + bound)
    if seen.phase is Phase.BULK:
        # All has to be sent once, whether the guest runs in the meantime or not.
        return _Wait(vocabulary.BULK_COPY, ONCE, _raised(state, seen))
    forecast, until_s = seen.forecast, course.ending.until_s
    spent = cost(state, seen, action, at_s)
    if (seen.phase is not Phase.PASSES or forecast is None or forecast.eta_s is None
            or not forecast.converges or spent is None):
        return None
    if until_s is None and forecast.eta_s <= max(SOON_S, SOON * spent.seconds):
        until_s = at_s + 2 * forecast.eta_s + SOON_S
    if until_s is None or at_s >= until_s:
        return None
    return _Wait('end', f'{SOON_SAID} {figures.span(forecast.eta_s)}', until_s=until_s)


def _patience(state: State, seen: Observation, course: Course, at_s: float) -> Patience:
    """The limits of the due end's wait for the memory to be sent."""
    since_s, due = course.ending.waits_since_s, course.ending.due
    patience = Patience(at_s if since_s is None else since_s, seen.facts.started_s,
                        state.terms.deadline_s)
    if due is None or due.rule != vocabulary.OPERATOR:
        return patience
    # An operator does not want it aborted; the policy may, but not before its deadline.
    return patience.from_deadline(never=state.policy.on_timeout == 'continue')


def _waits_in_vain(state: State, seen: Observation, course: Course, due: Ending,
                   at_s: float) -> tuple[Course, bool]:
    """Whether the memory will not be sent in time; an abort is due then."""
    if course.ending.waits_since_s is None:
        course = course.with_ending(waits_since_s=at_s)
    patience = _patience(state, seen, course, at_s)
    if course.sharing.own_cap_mib_s is not None or not patience.over(
            at_s, seen.disks_need_s(state)):
        return course, False    # It may go at a trickle, for another migration.
    rule = vocabulary.ON_TIMEOUT if due.rule == vocabulary.OPERATOR else due.rule
    return course.begin(Ending((ABORT,), rule, (
        f'{due.reason}; {figures.span(at_s - patience.since_s)} later '
        f'{_held_up(state, seen)}'))), True


def _held_up(state: State, seen: Observation) -> str:
    """A clause on what an end has waited for in vain."""
    rates = seen.disk_rates(state)
    left = seen.sample.disk_remaining_bytes if seen.sample is not None else None
    if not left:
        return 'its memory is still not being sent'
    wrote = f', which the guest dirties again at {figures.rate(rates.again)},' if (
        rates is not None and rates.is_written) else ''
    return f'{figures.size(left)} of the disks{wrote} are still not in sync'


def actions(state: State, seen: Observation, step: remedies.Action) -> Steps:
    """The actions of a step; a pause is preceded by raising the bandwidth to the permitted limit.

    A guest that stands still costs most.
    """
    return (*_raised(state, seen), step) if isinstance(step, remedies.Pause) else (step,)


def _raised(state: State, seen: Observation) -> Steps:
    """Raise the bandwidth to the permitted limit; the promised blackout stays."""
    now, cap = state.settings, _highest_cap(state)
    raised = settings_mod.with_cap(now, cap, seen.link)
    if cap == now.cap_mib_s or not state.available(remedies.BANDWIDTH) or (
            raised.limit_ms != now.limit_ms and not state.available(remedies.DOWNTIME)):
        return ()
    return settings_mod.changes(now, raised)


def _highest_cap(state: State) -> int:
    """The highest permitted cap, also while it gives way to another migration."""
    own = state.course.sharing.own_cap_mib_s
    return state.terms.highest_cap(state.settings.cap_mib_s if own is None else own)


def cost(state: State, seen: Observation, step: remedies.Action,
         at_s: float) -> end_cost.Cost | None:
    """The cost of a step at the bandwidth that it will get."""
    cap = state.settings.cap_mib_s
    if isinstance(step, remedies.Pause) and _raised(state, seen):
        cap = _highest_cap(state)
    elif isinstance(step, remedies.StartPostCopy) and cap:
        # The cap does not bind it.
        cap = max(cap, int(seen.link.mib_s or 0))
    return seen.cost(state, at_s, cap)


def says(state: State, seen: Observation, step: remedies.Action, at_s: float) -> str:
    """A clause on what a step does to the guest."""
    spent, left, about = cost(state, seen, step, at_s), 'memory', ''
    if spent is not None:
        left = f'{figures.size(spent.left)}{" or more" if spent.at_least else ""}'
        about = f' in {_span(spent)}'
    if isinstance(step, remedies.StartPostCopy):
        return (f'post-copy runs the guest at the destination now and fetches the remaining {left}'
                f'{about}')
    if isinstance(step, remedies.Pause):
        return (f'pausing the guest so that the remaining {left} can be sent{about}'
                f'{_at_rate(actions(state, seen, step))}, all of which is blackout')
    return 'aborting, the guest stays where it is'


def _at_rate(actions: Steps) -> str:
    """A clause on the cap for a pause, where it is raised for that."""
    for one in actions:
        if isinstance(one, remedies.SetBandwidth):
            return f', at the permitted {one.mib_s} MiB/s' if one.mib_s else (
                ', without a bandwidth cap')
    return ''


def _span(spent: end_cost.Cost) -> str:
    """The time that it takes, with its uncertainty."""
    if spent.at_least != spent.at_most:
        return f'{"no less than" if spent.at_least else "at most"} {figures.span(spent.seconds)}'
    if not spent.is_known:
        return f'{figures.span(spent.least_seconds)} to {figures.span(spent.most_seconds)}'
    return f'about {figures.span(spent.seconds)}'
