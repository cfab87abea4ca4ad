# SPDX-License-Identifier: Apache-2.0
"""Steer one migration: samples in, decisions out.

The controller is deterministic and has no clock: time comes with every call. It does nothing to
a guest itself. The caller applies the actions of a decision in order, stops at the first that is
refused, and reports the result of each by `applied` or `failed`. The controller holds the state
and the observation, and asks the rules in the order in which they win.
"""

from __future__ import annotations

from collections import abc
import dataclasses
from typing import NamedTuple

from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy.engine.steering import adjust
from nova_migpolicy.engine.steering import disks
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.engine.steering import foregone
from nova_migpolicy.engine.steering import let_go
from nova_migpolicy.engine.steering import orders
from nova_migpolicy.engine.steering import retune
from nova_migpolicy.engine.steering import share
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy.policy import keys

Facts = record.Facts
Forecast = record.Forecast
Decision = record.Decision
Observation = observer.Observation
Settings = settings_mod.Settings
State = state_mod.State
initial_limit_ms = settings_mod.initial_limit_ms
SWITCHOVER = observer.SWITCHOVER

Phase = samples.Phase
_MEMORY = frozenset({Phase.BULK, Phase.PASSES})
_ONCE = frozenset({Phase.DISKS, Phase.BULK})


def _is_steered(state: State, seen: Observation) -> bool:
    """While steered: no end is due but one that waits for memory, and it has not given way."""
    due = state.course.ending.due
    return (not ending.is_over(state, seen) and not share.has_given_way(state)
            and (due is None or ending.waits(state)))


def _always(_state: State, _seen: Observation) -> bool:
    """At every sample."""
    return True


def _has_not_ended(state: State, seen: Observation) -> bool:
    """Until it is paused, aborted or in post-copy, and while a paused one is to be aborted."""
    return not ending.is_over(state, seen) or ending.owes_abort(state, seen)


def _is_not_over(state: State, seen: Observation) -> bool:
    """Until it is paused, aborted or in post-copy."""
    return not ending.is_over(state, seen)


def _ended_a_pass(state: State, seen: Observation) -> bool:
    """At the end of a pass, while it is steered."""
    return seen.ended_a_pass and _is_steered(state, seen)


def _between(state: State, seen: Observation) -> bool:
    """Between the ends of passes, while it is steered."""
    return not seen.ended_a_pass and _is_steered(state, seen)


def _is_not_to_end(state: State, seen: Observation) -> bool:
    """Between the ends of passes, while it is steered and no end is due."""
    return _between(state, seen) and not ending.waits(state)


class Rule(NamedTuple):
    """A rule, and the condition for asking it.

    decide: the rule; it is stated in the first line of its docstring. when: the condition, stated
    in its docstring. phases: those in which the rule has something to do.
    """

    decide: abc.Callable[[State, Observation], Decision | None]
    when: abc.Callable[[State, Observation], bool]
    phases: frozenset[Phase] = frozenset(Phase)


#: in the order in which they win: the first that decides something ends it for this sample
RULES = (
    Rule(let_go.let_go, _always),
    Rule(ending.take_next_step, _has_not_ended),
    Rule(ending.at_deadline, _has_not_ended),
    Rule(share.give_way_or_go_on, _is_not_over),
    Rule(adjust.keep_promise, _is_steered),
    Rule(adjust.after_pass, _ended_a_pass),
    Rule(disks.speed_up, _between, frozenset({Phase.DISKS})),
    Rule(disks.give_up, _is_not_to_end, frozenset({Phase.DISKS})),
    Rule(adjust.speed_up_copy, _between, _MEMORY),
    Rule(adjust.raise_early, _between, frozenset({Phase.BULK})),
    Rule(foregone.say_that_it_is_late, _between, _ONCE),
)


class Controller:
    """The steering of one migration."""

    def __init__(self, policy: keys.Policy, facts: Facts) -> None:
        self._state = State(policy, facts)
        self._observer = observer.Observer(facts)

    @property
    def policy(self) -> keys.Policy:
        """The policy in force."""
        return self._state.policy

    @property
    def facts(self) -> Facts:
        """The facts known at the start, with the deadline and the disk size as known now."""
        seen = self._observer.now
        return dataclasses.replace(seen.facts, deadline_s=self._state.terms.deadline_s,
                                   disk_bytes=seen.disk_bytes)

    @property
    def held(self) -> abc.Mapping[str, int]:
        """The settings that an operator holds, with their values."""
        return self._state.terms.held

    @property
    def state(self) -> str:
        """The phase in a word or two as refusals name it, with aborting and paused."""
        return orders.phase(self._state, self._observer.now)

    @property
    def forecast(self) -> Forecast | None:
        """The forecast as of the last sample; None before there is anything to say."""
        return self._observer.now.forecast

    @property
    def phase(self) -> Phase:
        """The phase of the migration."""
        return self._observer.now.phase

    @property
    def passes(self) -> tuple[passes_mod.Pass, ...]:
        """The passes so far, the bulk copy first."""
        return self._observer.now.passes

    @property
    def settings(self) -> Settings:
        """The settings in force, as far as `applied` reported."""
        return self._state.settings

    @property
    def over(self) -> bool:
        """Whether the engine only watches: paused, post-copy or aborted."""
        return ending.is_over(self._state, self._observer.now)

    @property
    def in_need(self) -> bool:
        """Whether it cannot end beside the others that use the link, but may with it to itself."""
        return share.is_in_need(self._state, self._observer.now)

    @property
    def is_urgent(self) -> bool:
        """Whether its deadline permits no more waiting for others."""
        return self._state.course.sharing.is_urgent

    @property
    def has_given_way(self) -> bool:
        """Whether it sends at a trickle for another migration, or nothing of it moves."""
        return share.has_given_way(self._state) or self.stands_still

    @property
    def abort_due(self) -> str | None:
        """The reason for an abort that is due and not yet done; None where none is due."""
        due = self._state.course.ending.due
        return due.reason if due is not None and due.is_abort else None

    @property
    def stands_still(self) -> bool:
        """Whether nothing has moved over the link for long enough to be said."""
        return share.stands_still(self._state, self._observer.now)

    def next_due_s(self, after_s: float) -> float | None:
        """The next moment after `after_s` at which a sample is needed; None for none.

        It is the deadline, the time to retry a refused abort, or the time to let a paused guest
        go. For callers that sample at slow ticks.
        """
        moments = (ending.next_due_s(self._state, after_s),
                   let_go.next_due_s(self._state, self._observer.now, after_s))
        return min((moment for moment in moments if moment is not None), default=None)

    def take_over(self, settings: Settings, held: abc.Mapping[str, int],
                  done: abc.Iterable[remedies.Action], at_s: float) -> None:
        """Go on where another has steered until now.

        :param settings: in force now
        :param held: by an operator
        :param done: what it did that cannot be undone: a pause, the start of post-copy
        """
        self._state.take_over(settings, held)
        for action in done:
            self.applied(action, at_s)

    def observe(self, sample: samples.Sample) -> Decision | None:
        """Take in a sample and decide; None when there is nothing to do."""
        seen, state = self._observer.observe(sample, self._state), self._state
        if seen is None or state.is_waiting:
            return None
        for rule in RULES:
            if seen.phase not in rule.phases or not rule.when(state, seen):
                continue
            decision = rule.decide(state, seen)
            if decision is None:
                continue
            if not decision.is_silent:
                return self._out(decision)
            state.enter(decision.course)
        return None

    def switched_over(self, at_s: float) -> None:
        """Record that the guest was stopped, for its switchover or by a pause for it."""
        self._observer.switched_over(at_s)

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """Record that an action of a decision was carried out."""
        self._state.applied(action, at_s)
        if isinstance(action, remedies.Pause):
            self._state.enter(share.paused(self._state, self._observer.now))
        elif isinstance(action, remedies.StartPostCopy):
            self._observer.entered_post_copy()

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """Record that an action was refused: it is retried once, an abort until it works."""
        self._state.refused(action, at_s, error)

    def update_link(self, mib_s: float | None) -> None:
        """Replace the known rate of the link; None where it is no longer known."""
        self._observer.update_link(mib_s)

    def leave_out(self, names: abc.Collection[str]) -> None:
        """Record that the migration was started without these remedies, or SWITCHOVER."""
        self._observer.leave_out(names)

    def abort(self, at_s: float, why: str) -> Decision:
        """Stop it by order of an operator; refused once post-copy has begun."""
        return self._out(orders.cancel(self._state, self._observer.now, at_s, why))

    def force_complete(self, at_s: float) -> Decision:
        """Complete it by order of an operator: post-copy if possible, else a pause."""
        return self._out(orders.force_complete(self._state, self._observer.now, at_s))

    def post_copy(self, at_s: float) -> Decision:
        """Start post-copy by order of an operator; refused unless possible now, never retried."""
        return self._out(orders.post_copy(self._state, self._observer.now, at_s))

    def pause(self, at_s: float) -> Decision:
        """Pause the guest by order of an operator; refused unless possible now, never retried."""
        return self._out(orders.pause(self._state, self._observer.now, at_s))

    def retune(self, change: terms_mod.Change, at_s: float) -> Decision:
        """Change settings or the policy by order of an operator: all of it or, refused, nothing.

        The caller has checked the values, and calls `withdraw` if one of the actions is refused.

        :raises KeyError: for a setting that cannot be held.
        """
        return self._out(retune.retune(self._state, self._observer.now, change, at_s))

    def withdraw(self, change: terms_mod.Change, at_s: float | None = None) -> Decision | None:
        """Undo the last change, which could not be applied: everything is as before it.

        The decision, if there is one, restores the settings that had been changed already.
        """
        seen = self._observer.now
        found = retune.withdraw(
            self._state, seen, change, seen.at_s if at_s is None else at_s)
        if found is None or found.is_silent:
            self._state.enter(found.course if found is not None else None)
            return None
        return self._out(found)

    def _out(self, decision: Decision) -> Decision:
        state = self._state
        state.enter(let_go.expected(state, self._observer.now, decision))
        state.issue(decision)
        return decision
