# SPDX-License-Identifier: Apache-2.0
"""Steers one migration: samples in, decisions out.

The controller is deterministic and has no clock: time comes with every call. It does nothing to
a guest itself. Whoever applies its decisions does so in their order, stops at the first that is
refused, and tells by `applied` or `failed` what came of each. Judgement happens at the end of a
pass; a watchdog tick only serves the deadline, an end that waits or is tried again, and a limit
that no longer keeps the promise. Where other migrations of the host need the link, it gives way
or waits (`share`). A paused guest is let go in time (`let_go`); post-copy is only watched.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import adjust
from nova_migpolicy.engine.steering import closing as closing_mod
from nova_migpolicy.engine.steering import disks
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.engine.steering import foregone
from nova_migpolicy.engine.steering import let_go
from nova_migpolicy.engine.steering import orders as orders_mod
from nova_migpolicy.engine.steering import retune
from nova_migpolicy.engine.steering import share
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy.policy import keys

Facts = record.Facts
Forecast = record.Forecast
Decision = record.Decision
Settings = settings_mod.Settings
initial_limit_ms = settings_mod.initial_limit_ms

Phase = samples.Phase
# What leave_out knows beside remedies: that QEMU was told of the link's rate.
SWITCHOVER = 'switchover'


class Controller:
    """The steering of one migration."""

    def __init__(self, policy: keys.Policy, facts: Facts) -> None:
        self._terms = terms_mod.Terms(policy, facts.deadline_s)
        self._books = ledger.Ledger(
            Settings(facts.bandwidth_mib_s, facts.qemu_limit_ms,
                     settings_mod.initial_promise_ms(policy)), facts.started_s)
        # It has the facts for all of them: what is left out at the start changes them.
        self._watch = observer.Watch(facts, self._books, self._terms)
        self._closing = closing_mod.Closing(self._terms, self._books, self._watch)
        self._release = let_go.Release(self._terms, self._books, self._watch, self._closing)
        self._steering = adjust.Steering(self._terms, self._books, self._watch)
        self._sharing = share.Sharing(
            self._terms, self._books, self._watch, self._closing)
        self._disks = disks.Disks(
            self._books, self._watch, self._steering, self._closing, self._sharing)
        self._foregone = foregone.Foregone(self._terms, self._books, self._watch)
        self._commands = orders_mod.Commands(self._books, self._watch, self._closing)
        self._tuning = retune.Tuning(self._terms, self._books, self._watch,
                                     self._closing, self._commands)

    @property
    def policy(self) -> keys.Policy:
        """The policy in force."""
        return self._terms.policy

    @property
    def facts(self) -> Facts:
        """What was known at the start, with the deadline and the disks as they are known now."""
        return dataclasses.replace(self._watch.facts, deadline_s=self._terms.deadline_s,
                                   disk_bytes=self._watch.disk_bytes)

    @property
    def held(self) -> abc.Mapping[str, int]:
        """The settings that a person holds, with their values."""
        return self._terms.held

    @property
    def state(self) -> str:
        """The phase in a word or two as refusals name it, with aborting and paused."""
        return self._closing.state

    @property
    def forecast(self) -> Forecast | None:
        """The forecast as of the last sample; None before there is anything to say."""
        return self._watch.forecast

    @property
    def phase(self) -> Phase:
        """Where the migration is."""
        return self._watch.tracker.phase

    @property
    def passes(self) -> tuple[passes_mod.Pass, ...]:
        """The passes so far, the bulk copy first."""
        return tuple(self._watch.tracker.passes)

    @property
    def settings(self) -> Settings:
        """The settings in force, as far as `applied` told."""
        return self._books.now

    @property
    def over(self) -> bool:
        """Whether the engine only watches: paused, post-copy or aborted."""
        return self._closing.over

    @property
    def in_need(self) -> bool:
        """Whether it cannot end beside the others that use the link, but may with it to itself.

        One that had it to itself and goes on as its policy says, or whose link is dead, does not.
        One that is paused is: its guest stands still as long as they take their part.
        """
        in_vain = self._closing.now.stall_said and not isinstance(
            self._books.ended_by, remedies.Pause)
        return self._sharing.in_need and not (in_vain or self.stands_still)

    @property
    def is_urgent(self) -> bool:
        """Whether its deadline permits no more waiting for others."""
        return self._sharing.is_urgent

    @property
    def has_given_way(self) -> bool:
        """Whether it goes at a trickle, for another migration, or nothing of it moves."""
        return self._sharing.has_given_way or self.stands_still

    @property
    def abort_due(self) -> str | None:
        """Why it is to be aborted, where that has not been done yet; None where it is not."""
        due = self._closing.now.due
        return due.reason if due is not None and due.chain == (ending.ABORT,) else None

    @property
    def stands_still(self) -> bool:
        """Whether nothing has moved over the link for long enough to be said."""
        return self._watch.standstill.lasts and not self._closing.is_aborted

    def next_due_s(self, after_s: float) -> float | None:
        """The first moment after another at which a look is needed; None for none.

        For who looks at slow ticks: the deadline, when a refused abort is tried again, and when a
        paused guest is let go.
        """
        moments = (self._closing.next_due_s(after_s), self._release.next_due_s(after_s))
        return min((moment for moment in moments if moment is not None), default=None)

    def observe(self, sample: samples.Sample) -> Decision | None:
        """Take in a sample; None when there is nothing to do."""
        if self._watch.last is not None and sample.at_s < self._watch.last.at_s:
            return None
        ended = self._watch.observe(sample)
        at_s, closing = sample.at_s, self._closing
        if self._books.waiting(at_s):
            return None
        found = self._release.observe(at_s)
        if found is None and (not self.over or closing.owes_abort):
            found = closing.step(at_s, ended is not None) or closing.deadline(at_s)
            if found is None and not self.over:
                found = self._sharing.step(at_s)
            if found is None and not self._sharing.has_given_way and (
                    closing.now.due is None or closing.waits):
                found = self._steer(at_s, ended)
        return self._out(found) if found is not None else None

    def _steer(self, at_s: float, ended: passes_mod.Pass | None) -> Decision | None:
        """Keep the promise, judge a pass that has ended, or see to the deadline between passes."""
        found = self._steering.keep_promise(at_s)
        if found is None and ended is not None and ended.number > 0:
            return self._judge(at_s)
        if found is None and self.phase is Phase.DISKS:
            return self._disks.step(at_s) or self._foregone.step(at_s)
        if found is None and self.phase in (Phase.BULK, Phase.PASSES):
            found = self._steering.hurry(at_s)
            if found is None and self.phase is Phase.BULK:
                found = self._steering.foresee(at_s) or self._foregone.step(at_s)
        return found

    def switched_over(self, at_s: float) -> None:
        """The guest has been stopped, for its switchover or by a pause for it."""
        self._watch.switched_s = at_s

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """An action of a decision has been carried out."""
        self._books.applied(action, at_s)
        self._release.applied(action, at_s)
        self._sharing.applied(action)
        if isinstance(action, remedies.StartPostCopy):
            self._watch.tracker.phase = Phase.POST_COPY

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """An action was refused: it is tried once more, and an abort until it works."""
        self._books.failed(action, at_s, error)

    def update_link(self, mib_s: float | None) -> None:
        """The rate of the link is better known now; None for not known any more."""
        self._watch.known_link = dataclasses.replace(self._watch.known_link, mib_s=mib_s)

    def leave_out(self, names: abc.Collection[str]) -> None:
        """The migration was started without these after all.

        Without SWITCHOVER, QEMU's limit is held to the cap. Names that mean nothing here are
        ignored, and so is what was left out before.
        """
        watch, facts = self._watch, self._watch.facts
        watch.facts = dataclasses.replace(
            facts, can_post_copy=facts.can_post_copy and remedies.POST_COPY not in names,
            can_throttle=facts.can_throttle and remedies.AUTO_CONVERGE not in names)
        if SWITCHOVER in names:
            watch.known_link = dataclasses.replace(watch.known_link, switchover_mib_s=None)

    def force_complete(self, at_s: float) -> Decision:
        """A person wants it to end now: post-copy if it can, else a pause."""
        return self._out(self._commands.force_complete(at_s))

    def abort(self, at_s: float, why: str) -> Decision:
        """A person wants it to stop; refused once post-copy has begun."""
        return self._out(self._commands.abort(at_s, why))

    def post_copy(self, at_s: float) -> Decision:
        """A person wants post-copy now; refused where it cannot be now, and not tried again."""
        return self._out(self._commands.post_copy(at_s))

    def pause(self, at_s: float) -> Decision:
        """A person wants the guest paused now; refused where it cannot be now, as post_copy."""
        return self._out(self._commands.pause(at_s))

    def tune(self, change: retune.Change, at_s: float) -> Decision:
        """A person changes settings or the policy; all of it or, refused, nothing.

        The caller has checked the values. Who applies the decision calls `withdraw` if one of
        its actions is refused.

        :raises KeyError: for a setting that cannot be held.
        """
        return self._out(self._tuning.tune(change, at_s))

    def withdraw(self, change: retune.Change, at_s: float | None = None) -> Decision | None:
        """Take back the last change, which could not be applied: all is as before it.

        The decision, if there is one, sets back what of it had been applied.
        """
        last = self._watch.last
        when = at_s if at_s is not None else last.at_s if last else self._watch.facts.started_s
        found = self._tuning.withdraw(change, when)
        return self._out(found) if found is not None else None

    def _out(self, decision: Decision) -> Decision:
        self._release.asked(decision)
        self._books.ask(decision.actions, decision.at_s)
        return decision

    def _judge(self, at_s: float) -> Decision | None:
        found = self._steering.at_pass(at_s)
        if found.is_harsh:
            waits, said = self._sharing.instead(found.reason, at_s)
            if waits:
                return said
        if found.step is not None:
            self._closing.begin(ending.Ending((found.step,), found.rule, found.reason))
            return Decision(at_s, self._closing.actions(found.step), found.rule, found.reason,
                            self.forecast)
        if not found.hopeless:
            return found.decision
        return self._closing.stall(found.rule, found.reason, at_s)
