# SPDX-License-Identifier: Apache-2.0
"""How far an image, which belongs to a tenant, may move a key.

By itself an image may only go to gentler values, and not below a floor, so that it can neither
take more from the site than the operator gave nor make its server unmovable.  nova.conf's
``image_limits`` moves both ends, except that what a flavor set stays the upper one.  Who may set
a key at all is decided in ``policy.resolve``.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy import exception
from nova_migpolicy.policy import keys

BUILT_IN_FLOOR = 'the built-in floor'
NOVA_CONF = 'nova.conf'


@dataclasses.dataclass(frozen=True)
class Before:
    """What a key is without the image.

    :ivar by: where the value came from, to be named if it is what clamps.
    :ivar from_flavor: whether the flavor set it: then no ``Limit`` opens it further.
    """

    value: keys.Value
    by: str
    from_flavor: bool


@dataclasses.dataclass(frozen=True)
class Limit:
    """What nova.conf lets images do with one key; None for what it does not say.

    :ivar low: of an int, the lowest value; of a list, the words that an image cannot drop.
    :ivar high: of an int, the highest value; of a list, the words that it may add; of a
        choice, the values that it may take.
    """

    low: keys.Value | None = None
    high: keys.Value | None = None


def parse_limit(key: keys.Key, text: str) -> Limit:
    """Read one limit: ``LOW-HIGH`` with either end left out, or ``A|B`` for a choice.

    :raises exception.BadValue: if it is not one that the key can have.
    """
    if key.kind == 'choice':
        words = tuple(word.strip() for word in text.split('|'))
        for word in words:
            key.parse(word)
        return Limit(high=words)
    if key.gentler is None:
        raise exception.BadValue(key.name, text, 'images cannot be given limits for this key')
    low, dash, high = (part.strip() for part in text.partition('-'))
    if not dash or not (low or high):
        raise exception.BadValue(key.name, text, 'not of the form LOW-HIGH, LOW- or -HIGH')
    limit = Limit(key.parse(low.replace('|', ',')) if low else None,
                  key.parse(high.replace('|', ',')) if high else None)
    if (key.kind == 'int' and limit.low is not None and limit.high is not None
            and _rank(key, limit.low) > _rank(key, limit.high)):
        raise exception.BadValue(key.name, text, 'the lowest value is above the highest')
    return limit


def clamp(key: keys.Key, wanted: keys.Value, before: Before,
          limit: Limit | None) -> tuple[keys.Value, str | None]:
    """Return what an image gets, and who clamped it (None: it got what it wanted)."""
    limit = limit or Limit()
    if key.gentler == 'lower':
        return _clamp_int(key, wanted, before, limit)
    if key.gentler == 'subset':
        return _clamp_list(key, wanted, before, limit)
    if wanted == before.value:
        return wanted, None
    if isinstance(limit.high, tuple) and wanted in limit.high and not before.from_flavor:
        return wanted, None
    return before.value, before.by


def _clamp_int(key: keys.Key, wanted: keys.Value, before: Before,
               limit: Limit) -> tuple[keys.Value, str | None]:
    high, high_by = before.value, before.by
    if limit.high is not None and not (
            before.from_flavor and _rank(key, limit.high) >= _rank(key, high)):
        high, high_by = limit.high, NOVA_CONF
    if _rank(key, wanted) > _rank(key, high):
        return high, high_by
    low, low_by = (key.image_floor, BUILT_IN_FLOOR) if limit.low is None else (
        limit.low, NOVA_CONF)
    if low is None:
        low = key.minimum or 0
    if key.zero and not key.unlimited and not low:
        low = 1     # an image cannot take away a part of the deadline
    if _rank(key, low) > _rank(key, high):
        low, low_by = high, high_by
    if _rank(key, wanted) < _rank(key, low):
        return low, low_by
    return wanted, None


def _clamp_list(key: keys.Key, wanted: keys.Value, before: Before,
                limit: Limit) -> tuple[keys.Value, str | None]:
    asked, now = _words(wanted), _words(before.value)
    keep, keep_by = (_words(key.image_floor), BUILT_IN_FLOOR) if limit.low is None else (
        _words(limit.low), NOVA_CONF)
    extra = () if before.from_flavor else _words(limit.high)
    got = tuple(word for word in now if word in asked or word in keep)
    got += tuple(word for word in asked if word in extra and word not in now)
    if set(asked) - set(got):
        return got, before.by
    return got, keep_by if set(got) - set(asked) else None


def _words(value: keys.Value | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _rank(key: keys.Key, value: keys.Value) -> float:
    number = value if isinstance(value, int) else 0
    return math.inf if key.unlimited and number == 0 else number
