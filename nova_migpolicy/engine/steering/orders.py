# SPDX-License-Identifier: Apache-2.0
"""What a person orders to be done with a migration: end it, one way or the other.

A person's command beats the engine. One that cannot be done is refused with a sentence that
names the phase and what to do next. Changing settings and the policy is `retune`'s business.
"""

from __future__ import annotations

from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine.steering import closing as closing_mod
from nova_migpolicy.engine.steering import ending
from nova_migpolicy import vocabulary

Decision = record.Decision
Phase = samples.Phase
OPERATOR = closing_mod.OPERATOR

# What is going on where an end has begun, and what to do next.
ENDING = {
    vocabulary.ABORTING:
        'the migration is being stopped and the server stays where it is; wait until that is done '
        'and start a new migration if you want one',
    vocabulary.PAUSED:
        'the server is paused until the rest of its memory has been sent; wait for that, retune '
        'bandwidth_mib_s or cancel the migration',
    vocabulary.POST_COPY:
        'the server runs at the destination already and fetches its memory; wait for that to '
        'finish',
}
EARLY = 'its memory is not being sent yet; try again when it is'


def refusal(what: str, state: str, why: str, at_s: float,
            forecast: record.Forecast | None) -> Decision:
    """A command that cannot be done. what: a part of a sentence that begins with It."""
    return Decision(at_s, (), OPERATOR, f'{what} in the phase {state}: {why}', forecast,
                    refused=True)


class Commands:
    """The orders to end one migration."""

    def __init__(self, books: ledger.Ledger, watch: observer.Watch,
                 closing: closing_mod.Closing) -> None:
        self._books = books
        self._watch = watch
        self._closing = closing

    @property
    def _facts(self) -> record.Facts:
        return self._watch.facts

    def refuse(self, what: str, at_s: float, why: str | None = None, *,
               while_paused: bool = False) -> Decision | None:
        """The refusal if an end has begun, or for a reason of one's own; else None.

        :param while_paused: it can be done of a paused guest
        """
        closing = self._closing
        if closing.begun and not (while_paused and closing.state == 'paused'):
            why = ENDING[closing.state]
        if why is None:
            return None
        return refusal(what, closing.state, why, at_s, self._watch.forecast)

    def force_complete(self, at_s: float) -> Decision:
        """End it: post-copy if it can, else a pause.

        Either waits for the memory to be sent once, and is not done where it ends by itself soon.
        """
        no = self.refuse('It cannot be forced to complete', at_s, self._stands_still())
        if no is not None:
            return no
        self._books.forgive(remedies.POST_COPY, remedies.PAUSE)
        due = ending.Ending(ending.PERSON, OPERATOR, 'A person asked to complete it')
        if self._closing.now.due != due:
            self._closing.begin(due)
        return self._closing.step(at_s, True, aloud=True) or self._say(
            at_s, 'Nothing can complete it now')

    def abort(self, at_s: float, why: str) -> Decision:
        """Stop it; refused once post-copy has begun."""
        closing = self._closing
        if closing.state == Phase.POST_COPY.value:
            return refusal('It cannot be aborted', closing.state, ENDING[closing.state], at_s,
                           self._watch.forecast)
        on_its_way = isinstance(
            self._books.end_in_flight or self._books.ended_by, remedies.Abort)
        closing.begin(ending.Ending((ending.ABORT,), OPERATOR, why), said=True)
        if on_its_way:
            return self._say(at_s, f'{why}; it is being aborted already')
        return Decision(at_s, (ending.ABORT,), OPERATOR, why, self._watch.forecast)

    def post_copy(self, at_s: float) -> Decision:
        """Start post-copy now or not at all."""
        why = None
        if not self._facts.can_post_copy:
            why = ('post-copy was not made ready when this migration started, which its policy '
                   'decides; pause the server or force it to complete instead')
        return self._now(ending.POST_COPY, 'Post-copy cannot be started', why, at_s)

    def pause(self, at_s: float) -> Decision:
        """Pause the guest for the rest of the transfer now or not at all."""
        return self._now(ending.PAUSE, 'The server cannot be paused for the transfer', None, at_s)

    def _now(self, step: remedies.Action, what: str, why: str | None, at_s: float) -> Decision:
        if why is None and ending.must_wait(step, self._watch.tracker.phase):
            why = EARLY
        why = why or self._stands_still()
        no = self.refuse(what, at_s, why)
        if no is not None:
            return no
        # It is not tried again by itself: who ordered it is told what came of it.
        return Decision(at_s, self._closing.actions(step), OPERATOR, (
            f'A person wants it now; {self._closing.says(step, at_s)}'), self._watch.forecast)

    def _stands_still(self) -> str | None:
        """Why nothing is begun that needs the link; None where that moves."""
        still = self._watch.standstill
        return (f'{still.sentence}, and without it the server would stand still; see to the '
                'network and try again, or cancel the migration') if still.lasts else None

    def _say(self, at_s: float, reason: str) -> Decision:
        return Decision(at_s, (), OPERATOR, reason, self._watch.forecast)
