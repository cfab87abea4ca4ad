# SPDX-License-Identifier: Apache-2.0
"""Carry out an operator's orders to end a migration, one way or another.

An order beats the rules. One table says what may be ordered in which phase; an order that cannot
be carried out is refused with a sentence that names the phase and what to do next. Changing
settings and the policy is done in `retune`, but is in the table as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nova_migpolicy.engine import course as course_mod
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy.engine.steering import ending
from nova_migpolicy import vocabulary

Decision = record.Decision
Ending = course_mod.Ending
Observation = observer.Observation
State = state_mod.State

# A retune is no order, but is refused like one. One of the bandwidth alone has rules of its own.
RETUNE = 'retune'
RETUNE_BANDWIDTH = 'retune of bandwidth_mib_s'

ABORTING = ('the migration is being stopped and the server stays where it is; wait until that is '
            'done and start a new migration if you want one')
PAUSED = ('the server is paused until the rest of its memory has been sent; wait for that, retune '
          'bandwidth_mib_s or cancel the migration')
POST_COPY = ('the server runs at the destination already and fetches its memory; wait for that to '
             'finish')
EARLY = 'its memory is not being sent yet; try again when it is'
UNSET = ('nothing is being sent yet to which it would apply; try again when disks or memory are')


class Ruling(NamedTuple):
    """The ruling on an order in a phase.

    done: 'now', 'later' or 'never'. why: the sentence of a refusal, or of a wait; with 'now', of
    the case in which it is not done all the same.
    """

    done: str
    why: str = ''


NOW = Ruling('now')
_NOT_YET = Ruling('never', EARLY)
_MEMORY_FIRST = Ruling('later', ending.EARLY)
#: the reason for refusing most orders in each phase of an end that has begun
ENDED: Mapping[str, Ruling] = {
    vocabulary.PAUSED: Ruling('never', PAUSED),
    vocabulary.POST_COPY: Ruling('never', POST_COPY),
    vocabulary.ABORTING: Ruling('never', ABORTING),
}
ON_ITS_WAY = (vocabulary.PREPARING, vocabulary.DISKS, vocabulary.BULK_COPY, vocabulary.PASSES)


def _row(*on_its_way: Ruling) -> dict[str, Ruling]:
    """Return a row: the rulings of ON_ITS_WAY, and refusals where an end has begun."""
    return {**dict(zip(ON_ITS_WAY, on_its_way, strict=True)), **ENDED}


#: the ruling on each order in each phase; `ending` carries out the waits
TABLE: Mapping[str, Mapping[str, Ruling]] = {
    vocabulary.CANCEL: _row(NOW, NOW, NOW, NOW) | {
        vocabulary.PAUSED: NOW, vocabulary.ABORTING: NOW},
    vocabulary.FORCE_COMPLETE: _row(
        _MEMORY_FIRST, _MEMORY_FIRST, Ruling('later', ending.ONCE),
        Ruling('now', ending.SOON_SAID)),
    vocabulary.START_POST_COPY: _row(_NOT_YET, _NOT_YET, NOW, NOW),
    vocabulary.PAUSE: _row(_NOT_YET, _NOT_YET, NOW, NOW),
    RETUNE: _row(Ruling('now', UNSET), NOW, NOW, NOW),
    RETUNE_BANDWIDTH: _row(Ruling('now', UNSET), NOW, NOW, NOW) | {vocabulary.PAUSED: NOW},
}
_WHAT = {vocabulary.CANCEL: 'It cannot be aborted',
         vocabulary.FORCE_COMPLETE: 'It cannot be forced to complete',
         vocabulary.START_POST_COPY: 'Post-copy cannot be started',
         vocabulary.PAUSE: 'The server cannot be paused for the transfer',
         RETUNE: 'It cannot be retuned', RETUNE_BANDWIDTH: 'It cannot be retuned'}


def phase(state: State, seen: Observation) -> str:
    """The phase in a word or two, including aborting and paused; a column of the table."""
    step = state.end_in_flight or state.ended_by
    if seen.phase.value == vocabulary.POST_COPY or isinstance(step, remedies.StartPostCopy):
        return vocabulary.POST_COPY
    if isinstance(step, remedies.Abort) or ending.abort_is_asked(state):
        return vocabulary.ABORTING
    return vocabulary.PAUSED if isinstance(step, remedies.Pause) else str(seen.phase.value)


def refused(state: State, seen: Observation, order: str, at_s: float,
            why: str = '') -> Decision | None:
    """The refusal of an order by the table, or for another reason; None where it may be done."""
    now = phase(state, seen)
    ruling = TABLE[order][now]
    if ruling.done == 'never' and (now in ENDED or not why):
        why = ruling.why
    if not why:
        return None
    return Decision(at_s, (), vocabulary.OPERATOR, f'{_WHAT[order]} in the phase {now}: {why}',
                    seen.forecast, refused=True)


def cancel(state: State, seen: Observation, at_s: float, why: str) -> Decision:
    """Cancel the migration; refused once post-copy has begun."""
    no = refused(state, seen, vocabulary.CANCEL, at_s)
    if no is not None:
        return no
    on_its_way = isinstance(state.end_in_flight or state.ended_by, remedies.Abort)
    course = state.course.begin(Ending((ending.ABORT,), vocabulary.OPERATOR, why), said=True)
    if on_its_way:
        return Decision(at_s, (), vocabulary.OPERATOR, f'{why}; it is being aborted already',
                        seen.forecast, course=course)
    return Decision(at_s, (ending.ABORT,), vocabulary.OPERATOR, why, seen.forecast, course=course)


def force_complete(state: State, seen: Observation, at_s: float) -> Decision:
    """Complete the migration by post-copy if possible, else by a pause.

    Either waits for the memory to be sent once, and is not done where it ends by itself soon.
    """
    no = refused(state, seen, vocabulary.FORCE_COMPLETE, at_s, _stands_still(seen))
    if no is not None:
        return no
    state.forgive((remedies.POST_COPY, remedies.PAUSE))
    due = Ending(ending.BY_OPERATOR, vocabulary.OPERATOR, 'An operator asked to complete it')
    course = state.course if state.course.ending.due == due else state.course.begin(due)
    found = ending.step(state, seen, course, at_s, now=True, aloud=True)
    if found is not None and not found.is_silent:
        return found
    return Decision(at_s, (), vocabulary.OPERATOR, 'Nothing can complete it now', seen.forecast,
                    course=course if found is None else found.course)


def post_copy(state: State, seen: Observation, at_s: float) -> Decision:
    """Start post-copy now or not at all."""
    why = '' if seen.facts.can_post_copy else (
        'post-copy was not made ready when this migration started, as its policy decides; '
        'pause the server or force it to complete instead')
    return _now(state, seen, vocabulary.START_POST_COPY, ending.POST_COPY, why, at_s)


def pause(state: State, seen: Observation, at_s: float) -> Decision:
    """Pause the guest for the rest of the transfer now or not at all."""
    return _now(state, seen, vocabulary.PAUSE, ending.PAUSE, '', at_s)


def _now(state: State, seen: Observation, order: str, step: remedies.Action, why: str,
         at_s: float) -> Decision:
    early = TABLE[order][phase(state, seen)]
    no = refused(state, seen, order, at_s, why or early.why or _stands_still(seen))
    if no is not None:
        return no
    # It is not retried: the caller is told the result.
    return Decision(at_s, ending.actions(state, seen, step), vocabulary.OPERATOR, (
        f'An operator wants it now; {ending.says(state, seen, step, at_s)}'), seen.forecast)


def _stands_still(seen: Observation) -> str:
    """The reason to begin nothing that needs the link; empty where data moves over it."""
    still = seen.standstill
    return (f'{still.sentence}, and without it the server would stand still; check '
            'the network and try again, or cancel the migration') if still.lasts else ''
