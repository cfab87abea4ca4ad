# SPDX-License-Identifier: Apache-2.0
"""Retune a running migration by order of an operator: held settings, and the policy.

A change is made as a whole or not at all. The caller has checked the values; here it is decided
whether the change is possible in this phase, which settings it takes, and what is reported.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine import course as course_mod
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy.engine.steering import orders
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy.policy import keys
from nova_migpolicy import vocabulary

Decision = record.Decision
Observation = observer.Observation
State = state_mod.State
# More keys than these are counted, not named.
NAMED = 6


@dataclasses.dataclass(frozen=True)
class _Made:
    """A change with the terms and the settings before and after it."""

    change: terms_mod.Change
    old: terms_mod.Terms
    new: terms_mod.Terms
    now: settings_mod.Settings
    wanted: settings_mod.Settings


def retune(state: State, seen: Observation, change: terms_mod.Change, at_s: float) -> Decision:
    """Make a change; the decision carries the actions for it, or its refusal.

    :raises KeyError: for a setting in `hold` that cannot be held.
    """
    state.retuned(None, state.terms)
    kinds = [terms_mod.remedy_of(setting) for setting in change.hold]
    why = '' if terms_mod.THROTTLE not in change.hold or seen.facts.can_throttle else (
        f'{terms_mod.THROTTLE} cannot be held because auto-converge was not made ready when '
        f'this migration started, as its policy decides; leave it out')
    order = orders.RETUNE_BANDWIDTH if change.is_of_bandwidth else orders.RETUNE
    no = orders.refused(state, seen, order, at_s, why)
    if no is not None:
        return no
    now, old, new = state.settings, state.terms, state.terms.changed(change)
    wanted = new.fit(now, _freed(state, seen, new), seen.known_link)
    actions = settings_mod.changes(now, wanted)
    ruling = orders.TABLE[order][orders.phase(state, seen)]
    no = orders.refused(state, seen, order, at_s, ruling.why) if actions else None
    if no is not None:
        return no
    ending, course = state.course.ending, state.course
    reason = describe(_Made(change, old, new, now, wanted), seen.facts, ending.due, at_s)
    if seen.standstill.lasts:
        reason += (f'; {seen.standstill.sentence}, so this has no effect until something does')
    if change.policy is not None:
        # The new one starts afresh, also with what was refused under the old one; but what an
        # operator ordered stays.
        course = dataclasses.replace(course, ending=course_mod.EndingState(
            ending.due if ending.due is not None and ending.due.rule == vocabulary.OPERATOR
            else None))
        kinds = [*remedies.HARM_ORDER, remedies.Abort.remedy]
    state.retuned(state_mod.Retune(change, old, ending, now, wanted), new)
    state.forgive(kinds)
    return Decision(at_s, actions, vocabulary.OPERATOR, reason, seen.forecast, course=course)


def withdraw(state: State, seen: Observation, change: terms_mod.Change,
             at_s: float) -> Decision | None:
    """Undo a change of which an action was refused: everything is as before it.

    The decision restores what had been set already; None when there is nothing to restore.
    """
    made = state.retune
    state.retuned(None, state.terms)
    if made is None or made.change != change:
        return None
    state.retuned(None, made.terms)
    has_ended = orders.phase(state, seen) in orders.ENDED
    due, course = state.course.ending.due, state.course
    if has_ended:
        return None
    if change.policy is not None and (due is None or due.rule != vocabulary.OPERATOR):
        course = dataclasses.replace(course, ending=made.ending)
    now = state.settings
    back = {field.name: getattr(made.before, field.name) for field in dataclasses.fields(now)
            if getattr(now, field.name) == getattr(made.after, field.name)}
    wanted = state.terms.fit(now, dataclasses.replace(now, **back), seen.known_link)
    actions = settings_mod.changes(now, wanted)
    if not actions:
        return Decision.silent(at_s, course)
    return Decision(at_s, actions, vocabulary.OPERATOR, (
        f"The operator's change is undone because not all of it could be set: "
        f'{state.error or "it was refused"}'), seen.forecast, course=course)


def _freed(state: State, seen: Observation, new: terms_mod.Terms) -> settings_mod.Settings:
    """The settings to go on with where nothing is held.

    The engine goes on from the present values, but never from less than the policy gives without
    any remedy: no permitted remedy might restore that.
    """
    now, old, policy = state.settings, state.terms, new.policy
    cap, promised = now.cap_mib_s, now.promised_ms
    start = policy.bandwidth_mib_s
    if start != old.policy.bandwidth_mib_s or (
            terms_mod.BANDWIDTH in old.held and cap and (not start or cap < start)):
        cap = start
    if orders.phase(state, seen) == vocabulary.PAUSED:
        cap = new.highest_cap(cap)
    if terms_mod.DOWNTIME in old.held:
        promised = max(promised, settings_mod.initial_promise_ms(policy))
    return dataclasses.replace(now, cap_mib_s=cap, promised_ms=promised)


def describe(made: _Made, facts: record.Facts, due: course_mod.Ending | None,
             at_s: float) -> str:
    """Describe a change in one sentence.

    :param due: the end that was due before it
    """
    parts = []
    if made.change.hold:
        parts.append('an operator set ' + _and(
            [f'{name} to {value}' for name, value in made.change.hold.items()])
            + ', held until it is released')
    parts.extend(_released(made))
    parts.extend(_policy(made, facts, due))
    parts.extend(_deadline(made, at_s))
    parts.extend(_follows(made))
    text = '; '.join(parts) or 'nothing was to be changed'
    return text[0].upper() + text[1:]


def _and(names: abc.Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f'{", ".join(names[:-1])} and {names[-1]}'


def _released(made: _Made) -> abc.Iterator[str]:
    given = sorted(set(made.change.release) - set(made.change.hold))
    held = [name for name in given if name in made.old.held]
    free = [name for name in given if name not in made.old.held]
    if held:
        yield f'the policy steers {_and(held)} again'
    if free:
        yield f'nobody held {_and(free)}'


def _policy(made: _Made, facts: record.Facts,
            due: course_mod.Ending | None) -> abc.Iterator[str]:
    """Clauses on the keys that a new policy changes, and the effects on this migration."""
    old, new = made.old.policy, made.new.policy
    if new is old:
        return
    names = [f'{name} {key.text(getattr(new, name)) or "empty"}'
             for name, key in keys.KEYS.items() if getattr(new, name) != getattr(old, name)]
    if len(names) > NAMED:
        names[NAMED:] = [f'{len(names) - NAMED} other keys']
    if names:
        yield f'the policy now has {_and(names)}'
    if new.may_post_copy and not facts.can_post_copy:
        yield ('post_copy cannot be used in this migration because it was not made ready when '
               'it started')
    if new.may_throttle and not facts.can_throttle:
        yield ('auto_converge cannot be used in this migration because it was not made ready '
               'when it started')
    if due is not None and due.rule != vocabulary.OPERATOR:
        yield f'what {due.rule} had asked for is dropped and judged again'


def _deadline(made: _Made, at_s: float) -> abc.Iterator[str]:
    """A clause on the new deadline, where it changes."""
    deadline_s = made.new.deadline_s
    if deadline_s == made.old.deadline_s:
        return
    if deadline_s is None:
        yield 'there is no longer a deadline'
    elif deadline_s > at_s:
        yield f'the deadline is in {figures.span(deadline_s - at_s)}'
    else:
        yield f'the deadline passed {figures.span(at_s - deadline_s)} ago'


def _follows(made: _Made) -> abc.Iterator[str]:
    """Clauses on the settings that follow from the change without being named in it."""
    now, wanted, held = made.now, made.wanted, made.new.held
    if wanted.cap_mib_s != now.cap_mib_s and terms_mod.BANDWIDTH not in held:
        cap = f'{wanted.cap_mib_s} MiB/s' if wanted.cap_mib_s else 'no cap'
        yield f'the transfer goes on with {cap}'
    if wanted.promised_ms != now.promised_ms and terms_mod.DOWNTIME not in held:
        yield f'the aim is a blackout of up to {figures.blackout(wanted.promised_ms)}'
    if wanted.throttle_percent != now.throttle_percent and terms_mod.THROTTLE not in held:
        yield f'the guest is slowed by {wanted.throttle_percent} % at most'
    if wanted.limit_ms != now.limit_ms:
        yield (f"QEMU's own limit goes from {now.limit_ms} to {wanted.limit_ms} ms, which keeps "
               f'the blackout within {figures.blackout(wanted.promised_ms)}')
