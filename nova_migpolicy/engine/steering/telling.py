# SPDX-License-Identifier: Apache-2.0
"""Says what a person's change does, for the timeline and the answer; nothing is decided here."""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine import figures
from nova_migpolicy.engine import hold
from nova_migpolicy.engine import record
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy.policy import keys
from nova_migpolicy import vocabulary

# More keys than these are counted, not named.
NAMED = 6


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A change: the terms and the settings from which and to which, and what was asked for."""

    old: terms_mod.Terms
    new: terms_mod.Terms
    hold: abc.Mapping[str, int]
    release: abc.Collection[str]
    now: settings_mod.Settings
    wanted: settings_mod.Settings


def changed(tuned: Tuned, facts: record.Facts, due: ending.Ending | None, at_s: float) -> str:
    """All of a change in one sentence. due: the end that was due before it."""
    parts = []
    if tuned.hold:
        parts.append('a person set ' + _and(
            [f'{name} to {value}' for name, value in tuned.hold.items()])
            + ', held until it is released')
    parts.extend(_released(tuned))
    parts.extend(_policy(tuned, facts, due, at_s))
    parts.extend(_follows(tuned))
    text = '; '.join(parts) or 'nothing was to be changed'
    return text[0].upper() + text[1:]


def _and(words_: abc.Sequence[str]) -> str:
    return words_[0] if len(words_) == 1 else f'{", ".join(words_[:-1])} and {words_[-1]}'


def _released(tuned: Tuned) -> abc.Iterator[str]:
    given = sorted(set(tuned.release) - set(tuned.hold))
    held = [name for name in given if name in tuned.old.held]
    free = [name for name in given if name not in tuned.old.held]
    if held:
        yield f'the policy steers {_and(held)} again'
    if free:
        yield f'nobody held {_and(free)}'


def _policy(tuned: Tuned, facts: record.Facts, due: ending.Ending | None,
            at_s: float) -> abc.Iterator[str]:
    old, new = tuned.old.policy, tuned.new.policy
    if new is not old:
        names = [f'{name} {key.text(getattr(new, name)) or "empty"}'
                 for name, key in keys.KEYS.items() if getattr(new, name) != getattr(old, name)]
        if len(names) > NAMED:
            names[NAMED:] = [f'{len(names) - NAMED} other keys']
        if names:
            yield f'the policy has now {_and(names)}'
        if new.may_post_copy and not facts.can_post_copy:
            yield ('post_copy cannot be used in this migration, for it was not made ready when '
                   'it started')
        if new.may_throttle and not facts.can_throttle:
            yield ('auto_converge cannot be used in this migration, for it was not made ready '
                   'when it started')
        if due is not None and due.rule != vocabulary.OPERATOR:
            yield f'what {due.rule} had asked for is dropped and judged anew'
    deadline_s = tuned.new.deadline_s
    if deadline_s != tuned.old.deadline_s:
        if deadline_s is None:
            yield 'there is no deadline any more'
        elif deadline_s > at_s:
            yield f'the deadline is in {figures.span(deadline_s - at_s)}'
        else:
            yield f'the deadline passed {figures.span(at_s - deadline_s)} ago'


def _follows(tuned: Tuned) -> abc.Iterator[str]:
    """What is set although nobody named it."""
    now, wanted = tuned.now, tuned.wanted
    held = tuned.new.held
    if wanted.cap_mib_s != now.cap_mib_s and hold.BANDWIDTH not in held:
        cap = f'{wanted.cap_mib_s} MiB/s' if wanted.cap_mib_s else 'no cap'
        yield f'the transfer goes on with {cap}'
    if wanted.promised_ms != now.promised_ms and hold.DOWNTIME not in held:
        yield f'a blackout of up to {figures.blackout(wanted.promised_ms)} is tried for'
    if wanted.throttle_percent != now.throttle_percent and hold.THROTTLE not in held:
        yield f'the guest is slowed by {wanted.throttle_percent} % at most'
    if wanted.limit_ms != now.limit_ms:
        yield (f"QEMU's own limit goes from {now.limit_ms} to {wanted.limit_ms} ms, which keeps "
               f'the blackout within {figures.blackout(wanted.promised_ms)}')
