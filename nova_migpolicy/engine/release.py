# SPDX-License-Identifier: Apache-2.0
"""Ends a migration that nothing comes of any more: nothing moves over its link.

Until post-copy has begun the guest is the source's, so an abort harms nobody. Whether something
moves is told by `standstill`; how an end is brought about, by `closing`.
"""

from __future__ import annotations

from nova_migpolicy.engine import closing as closing_module
from nova_migpolicy.engine import ending
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import sample as samples
from nova_migpolicy.engine import terms as terms_module
from nova_migpolicy.engine import watch as watch_module
from nova_migpolicy.engine import words

Decision = record.Decision
Phase = samples.Phase
RULE = 'standstill'


class Release:
    """The end of one migration that nothing comes of."""

    def __init__(self, terms: terms_module.Terms, books: ledger.Ledger,
                 watch: watch_module.Watch, closing: closing_module.Closing) -> None:
        self._terms = terms
        self._books = books
        self._watch = watch
        self._closing = closing
        self._said_s: float | None = None
        self._stood_s = 0.0

    def observe(self, at_s: float) -> Decision | None:
        """What is to be said or done of a migration that does not move; once each."""
        still = self._watch.standstill
        if self._closing.is_aborted:
            return None
        if not still.lasts:
            return self._moves_again(at_s)
        if self._said_s is None:
            self._said_s = at_s
            return self._say(at_s, f'{self._sentence()}; {self._prospect()}')
        self._stood_s = still.seconds
        if self._is_to_end(at_s):
            self._closing.begin(ending.Ending((ending.ABORT,), 'on_stall', self._sentence()))
            return self._closing.step(at_s, True)
        return None

    def _moves_again(self, at_s: float) -> Decision | None:
        if self._said_s is None:
            return None
        self._said_s = None
        return self._say(at_s, 'It moves again over the link to the destination, after some '
                               f'{words.span(self._stood_s)}')

    def _is_to_end(self, at_s: float) -> bool:
        due = self._closing.now.due
        return (self._acts and self._watch.standstill.is_to_end
                and (due is None or due.chain != (ending.ABORT,)))

    @property
    def _acts(self) -> bool:
        return (self._terms.policy.on_stall != 'continue'
                and self._watch.tracker.phase is not Phase.POST_COPY)

    def _sentence(self) -> str:
        text = self._watch.standstill.sentence
        left = self._watch.left()
        if left is not None:
            text += f', with {words.size(left)} still to be sent'
        return text[0].upper() + text[1:]

    def _prospect(self) -> str:
        """What will be done if it goes on."""
        if self._watch.tracker.phase is Phase.POST_COPY:
            return ('the server runs at the destination and waits for what it needs of that; '
                    'nothing can be taken back, so see to the network')
        if not self._acts:
            return 'it goes on as the policy says'
        seconds = words.span(self._watch.standstill.to_end_s)
        return f'it will be aborted when that has lasted for {seconds}'

    def _say(self, at_s: float, reason: str) -> Decision:
        return Decision(at_s, (), RULE, reason, self._watch.forecast)
