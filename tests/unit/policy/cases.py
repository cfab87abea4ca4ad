# SPDX-License-Identifier: Apache-2.0
"""Values of keys."""

from hypothesis import strategies

from nova_migpolicy.policy import keys


def values_of(key: keys.Key) -> strategies.SearchStrategy:
    """All values that a key can have."""
    if key.kind == 'int':
        return strategies.integers(key.minimum, key.maximum)
    if key.kind == 'choice':
        return strategies.sampled_from(key.choices)
    names = strategies.from_regex(r'\A[a-z][a-z0-9_.-]{0,9}\Z').filter(lambda n: n != 'none')
    if key.kind == 'list':
        words = strategies.sampled_from(key.choices) if key.choices else names
        return strategies.lists(words, unique=True, max_size=5).map(tuple)
    return names
