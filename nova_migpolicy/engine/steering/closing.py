# SPDX-License-Identifier: Apache-2.0
"""Brings about the end of a migration that is due: by its deadline, a judgement or a person.

It knows which end is due, takes its steps, and says where a migration is that has begun to end.
The chains of steps are in `ending`; whether a migration is hopeless is judged in `convergence`.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine.estimation import end_cost
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import vocabulary

Decision = record.Decision
Phase = samples.Phase
OPERATOR = vocabulary.OPERATOR


# An end is not forced where it comes by itself in so many times the time that forcing it takes,
# or in so many seconds. Forecasts err: it is waited for twice as long, and a little, at most.
SOON = 3.0
SOON_S = 2.0
# What an end waits for.
MEMORY = 'memory'
EARLY = 'that will be done as soon as the memory is being sent'
ONCE = ('that will be done when all of the memory has been sent once, if it does not end by '
        'itself then')


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is due, and what has been said or done of it.

    waits_for: what the due end was last said to wait for. until_s: it waits for an end that comes
    by itself no longer than that. waits_since_s: since when it waits for the memory to be sent.
    """

    due: ending.Ending | None = None
    waits_for: str = ''
    until_s: float | None = None
    waits_since_s: float | None = None
    abort_said: bool = False
    deadline_done: bool = False
    stall_said: bool = False


@dataclasses.dataclass(frozen=True)
class _Wait:
    """What an end waits for: its name, what is said and done when that begins, and how long."""

    name: str
    says: str
    actions: tuple[remedies.Action, ...] = ()
    until_s: float | None = None


class Closing:
    """The end of one migration."""

    def __init__(self, terms: terms_mod.Terms, books: ledger.Ledger,
                 watch: observer.Watch) -> None:
        self._terms = terms
        self._books = books
        self._watch = watch
        self.now = Progress()

    @property
    def _facts(self) -> record.Facts:
        return self._watch.facts

    @property
    def over(self) -> bool:
        """Whether there is nothing left to steer: paused, post-copy or aborted."""
        return self._books.ended_by is not None or self._watch.tracker.phase is Phase.POST_COPY

    @property
    def is_aborted(self) -> bool:
        """Whether libvirt has taken an abort."""
        return isinstance(self._books.ended_by, remedies.Abort)

    @property
    def state(self) -> str:
        """The phase in a word or two, with aborting and paused among them."""
        phase = self._watch.tracker.phase
        step = self._books.end_in_flight or self._books.ended_by
        if phase is Phase.POST_COPY or isinstance(step, remedies.StartPostCopy):
            return Phase.POST_COPY.value
        if isinstance(step, remedies.Abort) or self.abort_is_asked:
            return vocabulary.ABORTING
        if isinstance(step, remedies.Pause):
            return vocabulary.PAUSED
        return str(phase.value)

    @property
    def waits(self) -> bool:
        """Whether an end is due that has to wait for the memory."""
        return self.now.due is not None and self.now.waits_for == MEMORY

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
        """Whether an abort of a paused guest was refused and is still due."""
        due = self.now.due
        return (due is not None and due.chain == (ending.ABORT,)
                and isinstance(self._books.ended_by, remedies.Pause)
                and self._watch.tracker.phase is not Phase.POST_COPY)

    def begin(self, due: ending.Ending, *, said: bool = False) -> None:
        """From now on this end is due. said: what it does has been said, if it is an abort."""
        self.now = dataclasses.replace(
            self.now, due=due, waits_for='', until_s=None, waits_since_s=None, abort_said=said)
        self._books.failed_s = None

    def next_due_s(self, after_s: float) -> float | None:
        """The first moment after another at which a look is needed; None for none."""
        moments = [self._terms.deadline_s]
        if self.now.due is not None:
            moments.append(self._books.abort_again_s)
        return min((moment for moment in moments if moment is not None and moment > after_s),
                   default=None)

    def anew(self) -> None:
        """There is another policy: drop what the old one wanted, but not what a person did."""
        due = self.now.due
        self.now = Progress(due if due is not None and due.rule == OPERATOR else None)

    def start(self, way: str, rule: str, reason: str, at_s: float) -> Decision | None:
        """Begin the end that the policy names for a deadline or a stall."""
        if way != 'abort' and self._watch.standstill.lasts:
            way, reason = 'abort', f'{reason}, so what {rule} asks for ({way}) would not end'
        elif way == 'post_copy' and not self._facts.can_post_copy:
            reason += '; post-copy was asked for but is not possible'
        self.begin(ending.Ending(
            ending.chain(way, self._terms.policy.may_pause), rule, reason))
        return self.step(at_s, True)

    def step(self, at_s: float, pass_ended: bool, *, aloud: bool = False) -> Decision | None:
        """The next step of an end that is due.

        :param aloud: say what it waits for also where that was said before
        """
        due = self.now.due
        if due is None:
            return None
        action = ending.step(due, self._books, self._facts.can_post_copy)
        if action is None:
            return self._gave_up(due, at_s)
        if not ending.is_time(action, self._books, at_s, pass_ended):
            return None
        wait = self._wait(action, at_s)
        if wait is not None and wait.name == MEMORY and self._waits_in_vain(due, at_s):
            return self.step(at_s, True)
        if wait is not None:
            said, self.now = self.now.waits_for, dataclasses.replace(
                self.now, waits_for=wait.name, until_s=wait.until_s)
            if said == wait.name and not aloud:
                return None
            return Decision(at_s, wait.actions, due.rule, f'{due.reason}; {wait.says}',
                            self._watch.forecast)
        before = f' (refused before: {self._books.error})' if self._books.failed_s else ''
        again = self.now.abort_said
        if isinstance(action, remedies.Abort):
            self.now = dataclasses.replace(self.now, abort_said=True)
        return Decision(at_s, self.actions(action), due.rule,
                        f'{due.reason}; {self.says(action, at_s)}{before}', self._watch.forecast,
                        again=again)

    def _gave_up(self, due: ending.Ending, at_s: float) -> Decision:
        """No step of it is possible; a deadline that it had taken the place of holds again."""
        self.now = dataclasses.replace(
            self.now, due=None, deadline_done=self.now.deadline_done and due.rule != OPERATOR)
        return self._say(at_s, due.rule, (
            f'{due.reason}; but that was refused: {self._books.error or "not possible"}'))

    def _wait(self, action: remedies.Action, at_s: float) -> _Wait | None:
        """What it is better to wait for before the guest is stopped or moved; None for nothing."""
        if not isinstance(action, (remedies.StartPostCopy, remedies.Pause)):
            return None
        phase = self._watch.tracker.phase
        if phase in (Phase.SETUP, Phase.DISKS):
            bound = ', and it is aborted where the disks are not in sync in time' if (
                self._patience(at_s).is_bounded) else ''
            return _Wait(MEMORY, EARLY + bound)
        if phase is Phase.BULK:
            # All has to be sent once, whether the guest runs meanwhile or not.
            return _Wait(vocabulary.BULK_COPY, ONCE, self._raise())
        forecast, cost = self._watch.forecast, self.cost(action, at_s)
        if (phase is not Phase.PASSES or forecast is None or forecast.eta_s is None
                or not forecast.converges or cost is None):
            return None
        until_s = self.now.until_s
        if until_s is None and forecast.eta_s <= max(SOON_S, SOON * cost.seconds):
            until_s = at_s + 2 * forecast.eta_s + SOON_S
        if until_s is None or at_s >= until_s:
            return None
        return _Wait('end', f'it is expected to end by itself in about '
                            f'{figures.span(forecast.eta_s)}', until_s=until_s)

    def _patience(self, at_s: float) -> ending.Wait:
        """How long what is due waits for the memory to be sent."""
        since_s, due = self.now.waits_since_s, self.now.due
        wait = ending.Wait(at_s if since_s is None else since_s, self._facts.started_s,
                           self._terms.deadline_s)
        if due is None or due.rule != OPERATOR:
            return wait
        # A person does not want it aborted; the policy may, but not before its deadline.
        return wait.from_deadline(never=self._terms.policy.on_timeout == 'continue')

    def _waits_in_vain(self, due: ending.Ending, at_s: float) -> bool:
        """Whether the memory's turn will not come in time; an abort is due then."""
        if self.now.waits_since_s is None:
            self.now = dataclasses.replace(self.now, waits_since_s=at_s)
        wait = self._patience(at_s)
        if self._books.own_cap_mib_s is not None or not wait.over(
                at_s, self._watch.disks_need_s()):
            return False        # It may go at a trickle, for another migration.
        self.begin(ending.Ending(
            (ending.ABORT,), vocabulary.ON_TIMEOUT if due.rule == OPERATOR else due.rule,
            f'{due.reason}; {figures.span(at_s - wait.since_s)} later {self._held_up()}'))
        return True

    def _held_up(self) -> str:
        """What an end has waited for in vain."""
        last, rates = self._watch.last, self._watch.disk_rates()
        left = last.disk_remaining_bytes if last is not None else None
        if not left:
            return 'its memory is still not being sent'
        wrote = f', to which the guest writes {figures.rate(rates.anew)} anew,' if (
            rates is not None and rates.is_written) else ''
        return f'{figures.size(left)} of the disks{wrote} are still not in sync'

    def actions(self, step: remedies.Action) -> tuple[remedies.Action, ...]:
        """A step, and before a pause all the bandwidth that is permitted.

        A guest that stands still is what costs most.
        """
        return (*self._raise(), step) if isinstance(step, remedies.Pause) else (step,)

    def _raise(self) -> tuple[remedies.Action, ...]:
        """Take all the bandwidth that is permitted; the promised blackout stays."""
        now, books = self._books.now, self._books
        cap = self._highest_cap
        raised = settings_mod.with_cap(now, cap, self._watch.link)
        if cap == now.cap_mib_s or not books.available(remedies.BANDWIDTH) or (
                raised.limit_ms != now.limit_ms and not books.available(remedies.DOWNTIME)):
            return ()
        return settings_mod.changes(now, raised)

    @property
    def _highest_cap(self) -> int:
        """The highest cap that is permitted, also while it gives way to another migration."""
        own = self._books.own_cap_mib_s
        return self._terms.highest_cap(self._books.now.cap_mib_s if own is None else own)

    def cost(self, step: remedies.Action, at_s: float) -> end_cost.Cost | None:
        """What a step costs at the bandwidth that it will get."""
        cap = self._books.now.cap_mib_s
        if isinstance(step, remedies.Pause) and self._raise():
            cap = self._highest_cap
        elif isinstance(step, remedies.StartPostCopy) and cap:
            # The cap does not bind it.
            cap = max(cap, int(self._watch.link.mib_s or 0))
        return self._watch.cost(at_s, cap)

    def says(self, step: remedies.Action, at_s: float) -> str:
        """What a step means for the guest."""
        return ending.says(step, self.cost(step, at_s), self._raised_to(step))

    def _raised_to(self, step: remedies.Action) -> int | None:
        """The cap that a step begins with, in MiB/s; None where it stays as it is."""
        raised = [one.mib_s for one in self.actions(step)
                  if isinstance(one, remedies.SetBandwidth)]
        return raised[0] if raised else None

    def deadline(self, at_s: float) -> Decision | None:
        """What the policy wants at the deadline, once that has passed."""
        left = self._watch.time_left(at_s)
        if left is None or left > 0 or self.now.deadline_done or self.now.due is not None:
            return None
        self.now = dataclasses.replace(self.now, deadline_done=True)
        still = self._watch.left_in_all(at_s)
        whole = figures.span(at_s + left - self._facts.started_s)
        reason = f'The deadline of {whole} has passed'
        if still is not None:
            reason += f' {figures.still_to_send(still)}'
        if self._watch.standstill.lasts:
            reason += f', and {self._watch.standstill.sentence}'
        if self._terms.policy.on_timeout == 'continue':
            return self._say(at_s, vocabulary.ON_TIMEOUT,
                             f'{reason}; it goes on as the policy says')
        return self.start(self._terms.policy.on_timeout, vocabulary.ON_TIMEOUT, reason, at_s)

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
