# SPDX-License-Identifier: Apache-2.0
"""Brings about the end of a migration that is due: by its deadline, a judgement or a person.

It knows which end is due, takes its steps, and says where a migration is that has begun to end.
The chains of steps are in `ending`; whether a migration is hopeless is judged in `judge`.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import ending
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import sample as samples
from nova_migpolicy.engine import terms as terms_module
from nova_migpolicy.engine import watch as watch_module
from nova_migpolicy.engine import words

Decision = record.Decision
Phase = samples.Phase
OPERATOR = 'operator'


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is due, and what has been said or done of it."""

    due: ending.Ending | None = None
    wait_said: bool = False
    deadline_done: bool = False
    stall_said: bool = False


class Closing:
    """The end of one migration."""

    def __init__(self, terms: terms_module.Terms, facts: record.Facts, books: ledger.Ledger,
                 watch: watch_module.Watch) -> None:
        self._terms = terms
        self._facts = facts
        self._books = books
        self._watch = watch
        self.now = Progress()

    @property
    def over(self) -> bool:
        """Whether there is nothing left to steer: paused, post-copy or aborted."""
        return self._books.ended_by is not None or self._watch.tracker.phase is Phase.POST_COPY

    @property
    def state(self) -> str:
        """The phase in a word or two, with aborting and paused among them."""
        phase = self._watch.tracker.phase
        step = self._books.end_in_flight or self._books.ended_by
        if phase is Phase.POST_COPY or isinstance(step, remedies.StartPostCopy):
            return Phase.POST_COPY.value
        if isinstance(step, remedies.Abort) or self.abort_is_asked:
            return 'aborting'
        if isinstance(step, remedies.Pause):
            return 'paused'
        return 'preparing' if phase is Phase.SETUP else phase.value

    @property
    def begun(self) -> bool:
        """Whether the end has begun, or has been ordered and cannot be called back."""
        return self.over or self._books.end_in_flight is not None or self.abort_is_asked

    @property
    def abort_is_asked(self) -> bool:
        """Whether a person asked to abort it, which may have been refused once."""
        due = self.now.due
        return due is not None and due.chain == (ending.ABORT,) and due.rule == OPERATOR

    @property
    def owes_abort(self) -> bool:
        """Whether a person's abort of a paused guest was refused and is still due."""
        return (self.abort_is_asked and isinstance(self._books.ended_by, remedies.Pause)
                and self._watch.tracker.phase is not Phase.POST_COPY)

    def begin(self, due: ending.Ending) -> None:
        """From now on this end is due."""
        self.now = dataclasses.replace(self.now, due=due, wait_said=False)
        self._books.failed_s = None

    def anew(self) -> None:
        """There is another policy: drop what the old one wanted, but not what a person did."""
        due = self.now.due
        self.now = Progress(due if due is not None and due.rule == OPERATOR else None)

    def start(self, way: str, rule: str, reason: str, at_s: float) -> Decision | None:
        """Begin the end that the policy names for a deadline or a stall."""
        can = self._facts.can_post_copy
        if way == 'post_copy' and not can:
            reason += '; post-copy was asked for but is not possible'
        self.begin(ending.Ending(
            ending.chain(way, can, self._terms.policy.may_pause), rule, reason))
        return self.step(at_s, True)

    def step(self, at_s: float, pass_ended: bool) -> Decision | None:
        """The next step of an end that is due."""
        due = self.now.due
        if due is None or not ending.due(self._books, at_s, pass_ended):
            return None
        action = ending.step(due, self._books, self._facts.can_post_copy)
        if action is None:
            self.now = dataclasses.replace(self.now, due=None)
            return self._say(at_s, due.rule, (
                f'{due.reason}; but that was refused: {self._books.error or "not possible"}'))
        if ending.must_wait(action, self._watch.tracker.phase):
            if self.now.wait_said:
                return None
            self.now = dataclasses.replace(self.now, wait_said=True)
            return self._say(at_s, due.rule, (
                f'{due.reason}; that will be done as soon as the memory is being sent'))
        again = f' (refused before: {self._books.error})' if self._books.failed_s else ''
        return Decision(at_s, (action,), due.rule, f'{due.reason}; {self.says(action)}{again}',
                        self._watch.forecast)

    def says(self, action: remedies.Action) -> str:
        """What a step means for the guest."""
        left = self._watch.left()
        rate = self._watch.rate()
        if isinstance(action, remedies.StartPostCopy):
            # The cap does not bind it.
            rate = max(rate, (self._watch.link.mib_s or 0) * record.MIB)
        return ending.says(action, words.size(left) if left is not None else 'memory',
                           words.span(left / rate) if left is not None else None)

    def deadline(self, at_s: float) -> Decision | None:
        """What the policy wants at the deadline, once that has passed."""
        left = self._watch.time_left(at_s)
        if left is None or left > 0 or self.now.deadline_done or self.now.due is not None:
            return None
        self.now = dataclasses.replace(self.now, deadline_done=True)
        still = self._watch.left()
        whole = words.span(at_s + left - self._facts.started_s)
        reason = f'The deadline of {whole} has passed'
        if still is not None:
            reason += f' with {words.size(still)} still to be sent'
        if self._terms.policy.on_timeout == 'continue':
            return self._say(at_s, 'on_timeout', f'{reason}; it goes on as the policy says')
        return self.start(self._terms.policy.on_timeout, 'on_timeout', reason, at_s)

    def stall(self, rule: str, reason: str, at_s: float) -> Decision | None:
        """What the policy wants of a migration that nothing permitted makes finish."""
        if self._terms.policy.on_stall != 'continue':
            return self.start(self._terms.policy.on_stall, rule, reason, at_s)
        if self.now.stall_said:
            return None
        self.now = dataclasses.replace(self.now, stall_said=True)
        return self._say(at_s, rule, f'{reason}; it goes on as the policy says')

    def _say(self, at_s: float, rule: str, reason: str) -> Decision:
        return Decision(at_s, (), rule, reason, self._watch.forecast)
