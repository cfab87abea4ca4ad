# SPDX-License-Identifier: Apache-2.0
"""The bounds within which an image, which belongs to a tenant, may move a key.

By default an image may only go to gentler values, and not below a floor, so that it can neither
take more from the site than the operator gave nor make its server unmovable. nova.conf's
``image_limits`` moves both ends, except that what a flavor set stays the upper one. Which
sources may set a key at all is decided in ``policy.resolve``.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.policy import keys
from nova_migpolicy.policy import limit as limit_mod

BUILT_IN_FLOOR = 'the built-in floor'
NOVA_CONF = 'nova.conf'


@dataclasses.dataclass(frozen=True)
class Before:
    """The field of a key without the image.

    :ivar by: the origin of the value, to be named if it clamps.
    :ivar from_flavor: whether the flavor set it: then no ``Limit`` opens it further.
    """

    value: keys.Value
    by: str
    from_flavor: bool


def clamp(key: keys.Key, wanted: keys.Value, before: Before,
          limit: limit_mod.Limit | None) -> tuple[keys.Value, str | None]:
    """Return the image's value, and the origin of the bound that clamped it (None: none did)."""
    limit = limit or limit_mod.Limit()
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
               limit: limit_mod.Limit) -> tuple[keys.Value, str | None]:
    high, high_by = before.value, before.by
    if limit.high is not None and not (
            before.from_flavor and limit_mod.rank(key, limit.high) >= limit_mod.rank(key, high)):
        high, high_by = limit.high, NOVA_CONF
    if limit_mod.rank(key, wanted) > limit_mod.rank(key, high):
        return high, high_by
    low, low_by = (key.image_floor, BUILT_IN_FLOOR) if limit.low is None else (
        limit.low, NOVA_CONF)
    if low is None:
        low = key.minimum or 0
    if key.zero and not key.unlimited and not low:
        low = 1     # an image cannot remove a part of the deadline
    if limit_mod.rank(key, low) > limit_mod.rank(key, high):
        low, low_by = high, high_by
    if limit_mod.rank(key, wanted) < limit_mod.rank(key, low):
        return low, low_by
    return wanted, None


def _clamp_list(key: keys.Key, wanted: keys.Value, before: Before,
                limit: limit_mod.Limit) -> tuple[keys.Value, str | None]:
    asked, now = limit_mod.words(wanted), limit_mod.words(before.value)
    keep, keep_by = (limit_mod.words(key.image_floor), BUILT_IN_FLOOR) if limit.low is None else (
        limit_mod.words(limit.low), NOVA_CONF)
    extra = () if before.from_flavor else limit_mod.words(limit.high)
    got = tuple(word for word in now if word in asked or word in keep)
    got += tuple(word for word in asked if word in extra and word not in now)
    if set(asked) - set(got):
        return got, before.by
    return got, keep_by if set(got) - set(asked) else None
