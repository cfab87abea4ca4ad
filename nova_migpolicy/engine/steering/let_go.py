# SPDX-License-Identifier: Apache-2.0
"""Ends a migration that nothing comes of any more.

Nothing moves over its link, or its guest was paused and stands still for far longer than was said
then. Until post-copy has begun the guest is the source's, so an abort harms nobody: one that was
paused runs again. Whether something moves is told by `standstill`; how an end is brought about, by
`closing`.
"""

from __future__ import annotations

from nova_migpolicy.engine.estimation import end_cost
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine.steering import closing as closing_mod
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import vocabulary

Decision = record.Decision
Phase = samples.Phase
RULE = vocabulary.STANDSTILL
LET_GO = vocabulary.LET_GO
# A paused guest is let go after so many times what was said, and at the deadline where what was
# said, and half as much again, is over. Below some seconds a hiccup of the link decides.
MOST = 3.0
AT_DEADLINE = 1.5
LEAST_S = 10.0
# A switchover in which nothing moves is given so many times the promised blackout.
HUNG = 20


class Release:
    """The end of one migration that nothing comes of."""

    def __init__(self, terms: terms_mod.Terms, books: ledger.Ledger,
                 watch: observer.Watch, closing: closing_mod.Closing) -> None:
        self._terms = terms
        self._books = books
        self._watch = watch
        self._closing = closing
        self._said_s: float | None = None
        self._stood_s = 0.0
        # Since when a paused guest stands still, and how long that was expected to take.
        self._paused_s: float | None = None
        self._expected_s = 0.0

    def asked(self, decision: Decision) -> None:
        """A decision goes out: expect of a pause, or of another rate in it, what is said of it."""
        at_s, paused_s = decision.at_s, self._paused_s
        for action in decision.actions:
            if isinstance(action, remedies.Pause):
                self._expect(0.0, self._closing.cost(action, at_s))
            elif isinstance(action, remedies.SetBandwidth) and paused_s is not None:
                self._expect(at_s - paused_s, self._watch.cost(at_s, action.mib_s))

    def _expect(self, stood_s: float, cost: end_cost.Cost | None) -> None:
        self._expected_s = stood_s + (cost.most_seconds if cost else 0.0)

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """An action has been carried out."""
        if isinstance(action, remedies.Pause):
            self._paused_s = at_s

    def next_due_s(self, after_s: float) -> float | None:
        """When a paused guest is let go, if that comes after a moment; None where it does not."""
        due_s, _ = self._let_go()
        return due_s if due_s is not None and due_s > after_s else None

    def _let_go(self) -> tuple[float | None, str]:
        """When a paused guest is let go, None for one that is not paused, and by which rule."""
        if (self._paused_s is None or not isinstance(self._books.ended_by, remedies.Pause)
                or self._watch.tracker.phase is Phase.POST_COPY):
            return None, ''
        most_s = self._paused_s + max(LEAST_S, MOST * self._expected_s)
        deadline_s = self._terms.deadline_s
        if deadline_s is None or self._terms.policy.on_timeout == 'continue':
            return most_s, LET_GO
        due_s = max(deadline_s, self._paused_s + max(LEAST_S, AT_DEADLINE * self._expected_s))
        return (due_s, vocabulary.ON_TIMEOUT) if due_s < most_s else (most_s, LET_GO)

    def observe(self, at_s: float) -> Decision | None:
        """What is to be said or done of a migration that does not move; once each."""
        still = self._watch.standstill
        if self._closing.is_aborted or self._closing.owes_abort:
            return None
        due_s, rule = self._let_go()
        if due_s is not None and (at_s >= due_s or still.lasts):
            return self._end(rule if at_s >= due_s else LET_GO, self._stood(at_s), at_s)
        if not still.lasts:
            return self._moves_again(at_s)
        since_s = self._watch.switched_s
        if since_s is not None and self._watch.tracker.phase is not Phase.POST_COPY and (
                at_s - since_s >= max(LEAST_S, HUNG * self._books.now.promised_ms / 1000)):
            return self._end(LET_GO, (
                f'The guest has been standing still in its switchover for '
                f'{figures.span(at_s - since_s)}, and {still.sentence}'), at_s)
        if self._said_s is None:
            self._said_s = at_s
            return self._say(at_s, f'{self._sentence()}; {self._prospect()}')
        self._stood_s = still.seconds
        rule = self._ends_by(at_s)
        return self._end(rule, self._sentence(), at_s) if rule else None

    def _end(self, rule: str, reason: str, at_s: float) -> Decision | None:
        self._closing.begin(ending.Ending((ending.ABORT,), rule, reason))
        return self._closing.step(at_s, True)

    def _stood(self, at_s: float) -> str:
        text = (f'The guest has been standing still for '
                f'{figures.span(at_s - (self._paused_s or at_s))} for the rest of its transfer, '
                f'which was to take {figures.span(self._expected_s)}')
        left = self._watch.left()
        if left is not None:
            text += f', {figures.still_to_send(left)}'
        still = self._watch.standstill
        return f'{text}, and {still.sentence}' if still.lasts else text

    def _moves_again(self, at_s: float) -> Decision | None:
        if self._said_s is None:
            return None
        self._said_s = None
        return self._say(at_s, 'It moves again over the link to the destination, after some '
                               f'{figures.span(self._stood_s)}')

    def _ends_by(self, at_s: float) -> str:
        """By which rule it is to be ended now, also where another end waits; empty for none."""
        due, left = self._closing.now.due, self._watch.time_left(at_s)
        if (not self._watch.standstill.is_to_end or self._watch.tracker.phase is Phase.POST_COPY
                or (due is not None and due.chain == (ending.ABORT,))):
            return ''
        if self._acts:
            return vocabulary.ON_STALL
        late = left is not None and left <= 0 and self._terms.policy.on_timeout != 'continue'
        return vocabulary.ON_TIMEOUT if late else ''

    @property
    def _acts(self) -> bool:
        return (self._terms.policy.on_stall != 'continue'
                and self._watch.tracker.phase is not Phase.POST_COPY)

    def _sentence(self) -> str:
        text = self._watch.standstill.sentence
        left = self._watch.left()
        if left is not None:
            text += f', {figures.still_to_send(left)}'
        return text[0].upper() + text[1:]

    def _prospect(self) -> str:
        """What will be done if it goes on."""
        if self._watch.tracker.phase is Phase.POST_COPY:
            return ('the server runs at the destination and waits for what it needs of that; '
                    'nothing can be taken back, so see to the network')
        if not self._acts:
            return 'it goes on as the policy says'
        seconds = figures.span(self._watch.standstill.to_end_s)
        return f'it will be aborted when that has lasted for {seconds}'

    def _say(self, at_s: float, reason: str) -> Decision:
        return Decision(at_s, (), RULE, reason, self._watch.forecast)
