# SPDX-License-Identifier: Apache-2.0
"""What the plugin may have answered, and what may have come instead."""

from __future__ import annotations

from hypothesis import strategies

from nova_migpolicy.osc.watching import status as status_mod
from tests.unit.osc import cloud

#: of JSON
ANYTHING = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.floats() | strategies.integers()
    | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=3)
    | strategies.dictionaries(strategies.text(), inner, max_size=3), max_leaves=6)


def plugin(**facts):
    return status_mod.of_plugin(cloud.progress(**facts)['progress'])
