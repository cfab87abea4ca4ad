# SPDX-License-Identifier: Apache-2.0
"""What a person changes about a running migration: settings that are held, and the policy.

All of a change is done or nothing of it. What the values may be is checked by the caller; here
it is decided whether it can be done in this phase and what has to be set for it.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import types

from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import hold
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import closing as closing_mod
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.engine.steering import orders as orders_mod
from nova_migpolicy.engine.steering import telling
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy.policy import keys

Decision = record.Decision
WHAT = 'It cannot be retuned'


@dataclasses.dataclass(frozen=True)
class Change:
    """One change by a person.

    hold: settings of `hold.HOLDABLE` to hold, with their values. release: settings to give back
    to the engine; one that is not held stays so. policy: replaces the one in force; None keeps
    it, and its deadline. deadline_s: that policy's deadline, absolute, on the clock of the
    samples; None for no deadline.
    """

    hold: abc.Mapping[str, int] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({}))
    release: frozenset[str] = frozenset()
    policy: keys.Policy | None = None
    deadline_s: float | None = None

    @property
    def is_of_bandwidth(self) -> bool:
        """Whether it is of nothing but the bandwidth, which a paused guest is sent with, too."""
        return self.policy is None and {hold.BANDWIDTH}.issuperset({*self.hold, *self.release})


@dataclasses.dataclass(frozen=True)
class _Done:
    """A change that was made, and what to go back to if it is withdrawn."""

    change: Change
    terms: terms_mod.Terms
    closing: closing_mod.Progress
    before: settings_mod.Settings
    after: settings_mod.Settings


class Tuning:
    """The changes to one migration."""

    def __init__(self, terms: terms_mod.Terms, books: ledger.Ledger,
                 watch: observer.Watch, closing: closing_mod.Closing,
                 orders: orders_mod.Commands) -> None:
        self._terms = terms
        self._books = books
        self._watch = watch
        self._closing = closing
        self._orders = orders
        self._done: _Done | None = None

    @property
    def _facts(self) -> record.Facts:
        return self._watch.facts

    def tune(self, change: Change, at_s: float) -> Decision:
        """Make a change; the decision says what is to be set for it, or that it is refused.

        :raises KeyError: for a setting in `hold` that cannot be held.
        """
        self._done = None
        kinds = [hold.remedy_of(setting) for setting in change.hold]
        why = None
        if hold.THROTTLE in change.hold and not self._facts.can_throttle:
            why = (f'{hold.THROTTLE} cannot be held, for auto-converge was not made ready when '
                   f'this migration started, which its policy decides; leave it out')
        no = self._orders.refuse(WHAT, at_s, why, while_paused=change.is_of_bandwidth)
        if no is not None:
            return no
        now, new = self._books.now, self._changed(change)
        wanted = new.fit(now, self._freed(new), self._watch.known_link)
        actions = settings_mod.changes(now, wanted)
        if actions and self._watch.tracker.phase is samples.Phase.SETUP:
            return orders_mod.refusal(
                WHAT, self._closing.state, 'nothing is being sent yet that it could be set for; '
                'try again when disks or memory are', at_s, self._watch.forecast)
        old = self._terms.copy()
        self._done = _Done(change, old, self._closing.now, now, wanted)
        reason = telling.changed(
            telling.Tuned(old, new, change.hold, change.release, now, wanted), self._facts,
            self._closing.now.due, at_s)
        if self._watch.standstill.lasts:
            reason += (f'; {self._watch.standstill.sentence}, so this has no effect before '
                       f'something does')
        self._terms.take(new)
        if change.policy is not None:
            self._closing.anew()
            # The new one starts afresh, also with what was refused under the old one.
            kinds = [*remedies.HARM_ORDER, ending.ABORT.remedy]
        self._books.forgive(*kinds)
        return Decision(at_s, actions, orders_mod.OPERATOR, reason, self._watch.forecast)

    def withdraw(self, change: Change, at_s: float) -> Decision | None:
        """Take back a change of which an action was refused: all is as before it.

        The decision sets back what had been set already; None when there is nothing to set.
        """
        done, self._done = self._done, None
        if done is None or done.change != change:
            return None
        self._terms.take(done.terms)
        if change.policy is not None and not self._closing.begun:
            due = self._closing.now.due
            if due is None or due.rule != orders_mod.OPERATOR:
                self._closing.now = done.closing
        if self._closing.begun:
            return None
        now = self._books.now
        back = {field.name: getattr(done.before, field.name)
                for field in dataclasses.fields(now)
                if getattr(now, field.name) == getattr(done.after, field.name)}
        wanted = self._terms.fit(now, dataclasses.replace(now, **back), self._watch.known_link)
        actions = settings_mod.changes(now, wanted)
        if not actions:
            return None
        return Decision(at_s, actions, orders_mod.OPERATOR, (
            f'What a person had changed is taken back, for not all of it could be set: '
            f'{self._books.error or "it was refused"}'), self._watch.forecast)

    def _changed(self, change: Change) -> terms_mod.Terms:
        """The terms with a change made."""
        held = {setting: value for setting, value in self._terms.held.items()
                if setting not in change.release}
        held.update(change.hold)
        new = dataclasses.replace(self._terms, held=types.MappingProxyType(held))
        if change.policy is not None:
            new.policy, new.deadline_s = change.policy, change.deadline_s
        return new

    def _freed(self, new: terms_mod.Terms) -> settings_mod.Settings:
        """The settings to go on with where nothing is held.

        The engine goes on from the values that there are, but never from less than what the
        policy gives without any remedy: nothing might be permitted that gets it back.
        """
        now, old, policy = self._books.now, self._terms, new.policy
        cap, promised = now.cap_mib_s, now.promised_ms
        start = policy.bandwidth_mib_s
        if start != old.policy.bandwidth_mib_s or (
                hold.BANDWIDTH in old.held and cap and (not start or cap < start)):
            cap = start
        if self._closing.state == 'paused':
            cap = new.highest_cap(cap)
        if hold.DOWNTIME in old.held:
            promised = max(promised, settings_mod.initial_promise_ms(policy))
        return dataclasses.replace(now, cap_mib_s=cap, promised_ms=promised)
