# SPDX-License-Identifier: Apache-2.0
"""Steers one migration: samples in, decisions out.

The controller is deterministic and has no clock: time comes with every call. It does nothing to
a guest itself. Whoever applies its decisions does so in their order, stops at the first that is
refused, and tells by `applied` or `failed` what came of each. Judgement happens at the end of a
pass; a watchdog tick only serves the deadline, an end that waits or is tried again, and a limit
that no longer keeps the promise. After a pause or the start of post-copy it only watches.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import ending
from nova_migpolicy.engine import hold
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import passes as passes_module
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import sample as samples
from nova_migpolicy.engine import settings as settings_module
from nova_migpolicy.engine import steer
from nova_migpolicy.engine import watch
from nova_migpolicy.engine import words
from nova_migpolicy.policy import keys

Facts = record.Facts
Forecast = record.Forecast
Decision = record.Decision
Settings = settings_module.Settings
initial_limit_ms = settings_module.initial_limit_ms

Phase = samples.Phase


class Controller:
    """The steering of one migration."""

    def __init__(self, policy: keys.Policy, facts: Facts) -> None:
        self.policy = policy
        self.facts = facts
        self._books = ledger.Ledger(
            Settings(facts.bandwidth_mib_s, facts.qemu_limit_ms,
                     settings_module.initial_promise_ms(policy)), facts.started_s)
        self._watch = watch.Watch(facts, self._books)
        self._holds = hold.Holds()
        self._ending: ending.Ending | None = None
        self._wait_said = False
        self._deadline_done = False
        self._stall_said = False
        self._steering = steer.Steering(policy, facts, self._books, self._watch, self._holds)

    @property
    def forecast(self) -> Forecast | None:
        """The forecast as of the last sample; None before there is anything to say."""
        return self._watch.forecast

    @property
    def phase(self) -> Phase:
        """Where the migration is."""
        return self._watch.tracker.phase

    @property
    def passes(self) -> tuple[passes_module.Pass, ...]:
        """The passes so far, the bulk copy first."""
        return tuple(self._watch.tracker.passes)

    @property
    def settings(self) -> Settings:
        """The settings in force, as far as `applied` told."""
        return self._books.now

    @property
    def over(self) -> bool:
        """Whether the engine only watches: paused, post-copy or aborted."""
        return self._books.ended_by is not None or self.phase is Phase.POST_COPY

    def observe(self, sample: samples.Sample) -> Decision | None:
        """Take in a sample; None when there is nothing to do."""
        if self._watch.last is not None and sample.at_s < self._watch.last.at_s:
            return None
        ended = self._watch.observe(sample)
        at_s = sample.at_s
        if self._books.waiting(at_s) or (self.over and not self._owes_abort()):
            return None
        found = self._end(at_s, ended is not None) or self._deadline(at_s)
        if found is None and self._ending is None:
            found = (self._steering.keep_promise(at_s)
                     or self._hold_again(at_s, ended is not None))
            if found is None and ended is not None and ended.number > 0:
                found = self._judge(at_s)
            elif found is None and self.phase is Phase.BULK:
                found = self._steering.hurry(at_s)
        return self._out(found) if found is not None else None

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """An action of a decision has been carried out."""
        self._books.applied(action, at_s)
        if isinstance(action, remedies.StartPostCopy):
            self._watch.tracker.phase = Phase.POST_COPY

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """An action was refused: it is tried once more at the next pass, and then no more."""
        self._books.failed(action, at_s, error)

    def update_link(self, mib_s: float | None) -> None:
        """The rate of the link is better known now; None for not known any more."""
        self._watch.known_link = dataclasses.replace(self._watch.known_link, mib_s=mib_s)

    def forget_switchover(self) -> None:
        """QEMU was not told of the link's rate after all: its limit is held to the cap."""
        self._watch.known_link = dataclasses.replace(
            self._watch.known_link, switchover_mib_s=None)

    def force_complete(self, at_s: float) -> Decision:
        """A person wants it to end now: post-copy if it can, else a pause."""
        if self.over:
            return self._say(at_s, 'operator', f'Nothing to do: it is {self._state()}')
        self._ending = ending.Ending(
            ending.PERSON, 'operator', 'A person asked to complete it')
        self._wait_said = False
        self._books.failed_s = None
        found = self._end(at_s, True)
        return self._out(found or self._say(at_s, 'operator', 'Nothing can complete it now'))

    def abort(self, at_s: float, why: str) -> Decision:
        """A person wants it to stop; refused, with a reason, once post-copy has begun."""
        if self.phase is Phase.POST_COPY:
            return self._say(at_s, 'operator', (
                'It cannot be aborted: post-copy has begun and the guest runs at the '
                'destination'))
        self._ending = ending.Ending((ending.ABORT,), 'operator', why)
        return self._out(Decision(at_s, (ending.ABORT,), 'operator', why, self.forecast))

    def hold(self, setting: str, value: int, at_s: float) -> Decision:
        """A person sets bandwidth_mib_s, max_downtime_ms or max_throttle_percent until release.

        :raises KeyError: for any other setting.
        """
        hold.remedy_of(setting)
        if self.over:
            return self._say(at_s, 'operator', (
                f'{setting} cannot be changed any more: it is {self._state()}'))
        if setting == hold.THROTTLE and not self.facts.can_throttle:
            return self._say(at_s, 'operator', (
                'The guest cannot be slowed: auto-converge was not made ready at the start'))
        self._holds.set(setting, value)
        return self._out(Decision(
            at_s, settings_module.changes(self._books.now, self._held()), 'operator',
            f'A person set {setting} to {value}, and it stays so until it is released',
            self.forecast))

    def release(self, setting: str, at_s: float | None = None) -> Decision:
        """Give a held setting back to the engine, which goes on from the value it has."""
        self._holds.release(setting)
        last = self._watch.last
        when = at_s if at_s is not None else last.at_s if last else self.facts.started_s
        return self._say(when, 'operator', f'{setting} is steered by the policy again')

    def _owes_abort(self) -> bool:
        """Whether a person's abort of a paused guest was refused and is still due."""
        return (self._ending is not None and self._ending.chain == (ending.ABORT,)
                and isinstance(self._books.ended_by, remedies.Pause)
                and self.phase is not Phase.POST_COPY)

    def _out(self, decision: Decision) -> Decision:
        self._books.ask(decision.actions, decision.at_s)
        return decision

    def _say(self, at_s: float, rule: str, reason: str) -> Decision:
        return Decision(at_s, (), rule, reason, self.forecast)

    def _state(self) -> str:
        by = self._books.ended_by
        return {'pause': 'paused and being sent', 'abort': 'being aborted'}.get(
            by.remedy if by else '', 'in post-copy')

    def _held(self) -> Settings:
        return self._holds.over(self._books.now, self._watch.link)

    def _hold_again(self, at_s: float, pass_ended: bool) -> Decision | None:
        """Try once more what a person set and what was refused."""
        actions = tuple(one for one in settings_module.changes(self._books.now, self._held())
                        if self._books.available(one.remedy))
        if not pass_ended or not actions:
            return None
        return Decision(at_s, actions, 'operator', (
            f'Trying once more what a person set, which was refused: {self._books.error}'),
            self.forecast)

    def _end(self, at_s: float, pass_ended: bool) -> Decision | None:
        """The next step of an end that is due."""
        due = self._ending
        if due is None or not ending.due(self._books, at_s, pass_ended):
            return None
        action = ending.step(due, self._books, self.facts.can_post_copy)
        if action is None:
            self._ending = None
            return self._say(at_s, due.rule, (
                f'{due.reason}; but that was refused: {self._books.error or "not possible"}'))
        if ending.must_wait(action, self.phase):
            if self._wait_said:
                return None
            self._wait_said = True
            return self._say(at_s, due.rule, (
                f'{due.reason}; that will be done as soon as the memory is being sent'))
        left = self._watch.left()
        rate = self._watch.rate()
        if isinstance(action, remedies.StartPostCopy):
            # The cap does not bind it.
            rate = max(rate, (self._watch.link.mib_s or 0) * record.MIB)
        says = ending.says(action, words.size(left) if left is not None else 'memory',
                           words.span(left / rate) if left is not None else None)
        again = f' (refused before: {self._books.error})' if self._books.failed_s else ''
        return Decision(at_s, (action,), due.rule, f'{due.reason}; {says}{again}', self.forecast)

    def _start_end(self, way: str, rule: str, reason: str, at_s: float) -> Decision | None:
        if way == 'post_copy' and not self.facts.can_post_copy:
            reason += '; post-copy was asked for but is not possible'
        self._ending = ending.Ending(
            ending.chain(way, self.facts.can_post_copy, self.policy.may_pause), rule, reason)
        self._wait_said = False
        self._books.failed_s = None
        return self._end(at_s, True)

    def _deadline(self, at_s: float) -> Decision | None:
        left = self._watch.time_left(at_s)
        if left is None or left > 0 or self._deadline_done or self._ending is not None:
            return None
        self._deadline_done = True
        still = self._watch.left()
        whole = words.span(at_s + left - self.facts.started_s)
        reason = f'The deadline of {whole} has passed'
        if still is not None:
            reason += f' with {words.size(still)} still to be sent'
        if self.policy.on_timeout == 'continue':
            return self._say(at_s, 'on_timeout', f'{reason}; it goes on as the policy says')
        return self._start_end(self.policy.on_timeout, 'on_timeout', reason, at_s)

    def _judge(self, at_s: float) -> Decision | None:
        found = self._steering.at_pass(at_s)
        if found.step is not None:
            self._ending = ending.Ending((found.step,), found.rule, found.reason)
            return Decision(at_s, (found.step,), found.rule, found.reason, self.forecast)
        if not found.hopeless:
            return found.decision
        if self.policy.on_stall != 'continue':
            return self._start_end(self.policy.on_stall, found.rule, found.reason, at_s)
        if self._stall_said:
            return None
        self._stall_said = True
        return self._say(at_s, found.rule, f'{found.reason}; it goes on as the policy says')
