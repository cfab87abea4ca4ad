# SPDX-License-Identifier: Apache-2.0
"""The actions of each step, and the rule under which they are carried out.

Before each action the evidence is collected again, and the rest is left where it has come to mean
another step. An action may be interrupted anywhere and be done again: done twice, it is as done
once.
"""

from __future__ import annotations

from collections import abc
import enum

from nova_migpolicy.recovery import evidence as evidence_mod
from nova_migpolicy.recovery import table

Kind = table.Kind


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
    #: our record says from now on that the guest has stayed
    MARK_ROLLING_BACK = 'mark as rolling back'
    #: a guest that was paused for the migration runs again
    LET_RUN = 'let the guest run'
    #: Nova's own end of a failed migration, from wherever it was left
    ROLL_BACK_IN_NOVA = 'roll back in Nova'
    RESUME_POST_COPY = 'resume post-copy'
    #: what a deleted server has left on either host is removed
    REMOVE_ALL_COPIES = 'remove all copies'
    #: Nova's users cannot start, rebuild or delete it; the reason is shown
    LOCK = 'lock'
    #: if it was us who locked it
    UNLOCK = 'unlock'
    #: the record is removed
    FORGET = 'forget'


PLAN: abc.Mapping[Kind, tuple[Action, ...]] = {
    Kind.ADOPT: (Action.WATCH,),
    Kind.FINISH: (Action.MARK_FINISHING, Action.REMOVE_SOURCE_COPY, Action.FINISH_IN_NOVA),
    Kind.ROLL_BACK: (Action.MARK_ROLLING_BACK, Action.LET_RUN, Action.ROLL_BACK_IN_NOVA),
    Kind.RESUME: (Action.LOCK, Action.RESUME_POST_COPY),
    Kind.DISCARD: (Action.REMOVE_ALL_COPIES,),
    Kind.WAIT: (),
    Kind.HOLD: (Action.LOCK,),
    # What was finished or rolled back comes to this, too.
    Kind.NOTHING: (Action.UNLOCK, Action.FORGET),
}


def carry_out(look: abc.Callable[[], evidence_mod.Evidence],
              do: abc.Callable[[Action, table.Step], object]) -> table.Step:
    """Decide on the next step, do its actions, and return it.

    Where the evidence changes on the way, the step that it then means is returned, and not begun.

    :param look: collects the evidence anew
    :param do: carries out an action, or raises: then the step is taken again at the next look
    """
    step = table.decide(look())
    for number, action in enumerate(PLAN[step.kind]):
        if number:
            now = table.decide(look())
            if now.kind is not step.kind:
                return now
        do(action, step)
    return step
