# SPDX-License-Identifier: Apache-2.0
"""The actions of each step, and the rule under which they are carried out.

Before each action the evidence is collected again, and the rest is left where it has come to mean
another step. An action may be interrupted anywhere and be done again: done twice, it is as done
once.
"""

from __future__ import annotations

from collections import abc
import enum
import typing

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import table

Kind = table.Kind

#: seconds; evidence of which a part was seen longer ago is collected again before anything is
#: done, for a process may have been frozen. A destination and a third host that are both silent
#: take as long to be asked
FRESH_S = 8.0


class Action(enum.Enum):
    """A change of the world, by the hands that know Nova and libvirt."""

    #: watch and steer the job, and end it as any other
    WATCH = 'watch'
    #: our record says from now on that the guest has arrived
    MARK_FINISHING = 'mark as finishing'
    #: the copy on the source, which is paused or shut off for good, does not stay
    REMOVE_SOURCE_COPY = 'remove the copy on the source'
    #: Nova's own end of a completed migration, from wherever it was left
    FINISH_IN_NOVA = 'finish in Nova'
    #: our record says from now on that nothing is left to do
    MARK_DONE = 'mark as done'
    #: our record says from now on that the guest has stayed
    MARK_ROLLING_BACK = 'mark as rolling back'
    #: a guest that was paused for the migration runs again
    LET_RUN = 'let the guest run'
    #: Nova's own end of a failed migration, from wherever it was left
    ROLL_BACK_IN_NOVA = 'roll back in Nova'
    RESUME_POST_COPY = 'resume post-copy'
    #: what Nova's own start does to what was evacuated from its host
    END_SOURCE_COPY = 'end the second copy on the source'
    #: Nova's record of the migration ends, and its allocation goes
    CLOSE_IN_NOVA = 'close in Nova'
    #: what a deleted server has left on either host is removed
    REMOVE_ALL_COPIES = 'remove all copies'
    #: Nova's users cannot start, rebuild or delete it; the reason is shown
    LOCK = 'lock'
    #: if it was us who locked it
    UNLOCK = 'unlock'
    #: the record is removed
    FORGET = 'forget'


PLAN: abc.Mapping[Kind, tuple[Action, ...]] = {
    # It may have been locked while it was not decided.
    Kind.ADOPT: (Action.UNLOCK, Action.WATCH),
    Kind.FINISH: (Action.MARK_FINISHING, Action.REMOVE_SOURCE_COPY, Action.FINISH_IN_NOVA,
                  Action.MARK_DONE),
    Kind.ROLL_BACK: (Action.MARK_ROLLING_BACK, Action.LET_RUN, Action.ROLL_BACK_IN_NOVA),
    Kind.RESUME: (Action.LOCK, Action.RESUME_POST_COPY),
    Kind.DISCARD: (Action.REMOVE_ALL_COPIES,),
    Kind.CLOSE: (Action.REMOVE_SOURCE_COPY, Action.CLOSE_IN_NOVA, Action.MARK_DONE),
    Kind.END: (Action.END_SOURCE_COPY,),
    Kind.CLEAR: (Action.REMOVE_SOURCE_COPY,),
    Kind.WAIT: (),
    Kind.HOLD: (Action.LOCK,),
    # All that was done comes to this, too.
    Kind.NOTHING: (Action.UNLOCK, Action.FORGET),
}


Course = abc.Generator[tuple[Action, table.Step] | None, evidence.Evidence | None, table.Step]


def course() -> Course:
    """Give what is to be done next: an action, or None, to be answered with fresh evidence.

    Where the evidence changes on the way, the step that it then means is returned, and not begun.
    An action is to be begun as soon as it is given: what was seen may not be so any more later.
    """
    step = table.decide(_seen((yield None)))
    for number, action in enumerate(PLAN[step.kind]):
        if number:
            now = table.decide(_seen((yield None)))
            if now.kind is not step.kind:
                return now
        yield action, step
    return step


def _seen(answer: evidence.Evidence | None) -> evidence.Evidence:
    if answer is None:
        raise ValueError('a course is answered with evidence where it gives None')
    return answer


def carry_out(look: abc.Callable[[], evidence.Evidence],
              do: abc.Callable[[Action, table.Step], object]) -> table.Step:
    """Decide on the next step, do its actions, and return it.

    Where the evidence changes on the way, the step that it then means is returned, and not begun.

    :param look: collects the evidence anew
    :param do: carries out an action, or raises: then the step is taken again at the next look
    """
    going = course()
    answer: evidence.Evidence | None = None
    while True:
        try:
            wanted = going.send(answer)
        except StopIteration as end:
            return typing.cast(table.Step, end.value)
        answer = None
        if wanted is None:
            answer = look()
        else:
            do(*wanted)
