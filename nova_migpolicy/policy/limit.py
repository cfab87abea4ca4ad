# SPDX-License-Identifier: Apache-2.0
"""The limits that nova.conf sets for images, requests and retunes: one for a key, and its syntax.

An image that goes too far is clamped, in ``policy.clamp``; a request or a retune is refused, and
the reason is given here.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import math

from nova_migpolicy import exception
from nova_migpolicy.policy import keys

OPTION = 'nova.conf [migpolicy] request_limits'


@dataclasses.dataclass(frozen=True)
class Limit:
    """The values that nova.conf permits for one key; None where it sets no limit.

    :ivar low: of an int, the lowest value; of a list, the words that cannot be dropped.
    :ivar high: of an int, the highest value; of a list, the words that may be added; of a
        choice, the values that may be taken.
    """

    low: keys.Value | None = None
    high: keys.Value | None = None


def parse(key: keys.Key, text: str) -> Limit:
    """Read one limit: ``LOW-HIGH`` with either end left out, or ``A|B`` for a choice.

    :raises exception.BadValue: if it is not one that the key can have.
    """
    if key.kind == 'choice':
        words = tuple(word.strip() for word in text.split('|'))
        for word in words:
            key.parse(word)
        return Limit(high=words)
    if key.gentler is None:
        raise exception.BadValue(key.name, text, 'this key cannot be given limits')
    low, dash, high = (part.strip() for part in text.partition('-'))
    if not dash or not (low or high):
        raise exception.BadValue(key.name, text, 'not of the form LOW-HIGH, LOW- or -HIGH')
    limit = Limit(key.parse(low.replace('|', ',')) if low else None,
                  key.parse(high.replace('|', ',')) if high else None)
    if (key.kind == 'int' and limit.low is not None and limit.high is not None
            and rank(key, limit.low) > rank(key, limit.high)):
        raise exception.BadValue(key.name, text, 'the lowest value is above the highest')
    return limit


def rank(key: keys.Key, value: keys.Value) -> float:
    """Rank a number among those that the key can have: 0 may be the largest."""
    number = value if isinstance(value, int) else 0
    return math.inf if key.unlimited and number == 0 else number


def words(value: keys.Value | None) -> tuple[str, ...]:
    """Return the words of a list; none where it is not one."""
    return value if isinstance(value, tuple) else ()


def refuses(key: keys.Key, asked: keys.Value, before: keys.Value, limit: Limit) -> str | None:
    """Return the reason to refuse a value of a request or a retune, a part of a sentence, or None.

    :param before: the value without it. That value is never too far, nor is one between it and
        the limit.
    """
    if key.kind == 'list':
        return _refuses_list(asked, before, limit)
    if asked == before:
        return None
    if key.kind == 'choice':
        if limit.high is None or asked in words(limit.high):
            return None
        return f'{OPTION} permits only {", ".join(words(limit.high))}'
    return _refuses_number(key, asked, before, limit)


def _refuses_number(key: keys.Key, asked: keys.Value, before: keys.Value,
                    limit: Limit) -> str | None:
    # Where 0 is not simply the largest or the smallest, it removes a part of the deadline.
    special = key.zero is not None and not key.unlimited
    wanted = rank(key, asked)
    now = None if special and before == 0 else rank(key, before)
    if limit.high is not None:
        if wanted > _beyond(max, rank(key, limit.high), now):
            return f'above {key.text(limit.high)}, the most that {OPTION} permits'
        if special and asked == 0 and limit.low is None:
            return f'0 means {key.zero}, which {OPTION} permits only where LOW is 0'
    if limit.low is not None and wanted < _beyond(min, rank(key, limit.low), now):
        return f'below {key.text(limit.low)}, the least that {OPTION} permits'
    return None


def _beyond(which: Callable[[float, float], float], bound: float, now: float | None) -> float:
    """Return the bound, or what is in force now where that is beyond it already."""
    return bound if now is None else which(bound, now)


def _refuses_list(asked: keys.Value, before: keys.Value, limit: Limit) -> str | None:
    if limit.low is not None:
        dropped = [word for word in words(before)
                   if word in words(limit.low) and word not in words(asked)]
        if dropped:
            return f'{", ".join(dropped)} cannot be left out ({OPTION})'
    if limit.high is not None:
        allowed = (*words(before), *words(limit.low), *words(limit.high))
        added = [word for word in words(asked) if word not in allowed]
        if added:
            return f'{", ".join(added)} cannot be added ({OPTION})'
    return None
