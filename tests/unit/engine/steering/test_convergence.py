# SPDX-License-Identifier: Apache-2.0
"""New settings are given as long as two passes before them took."""

from __future__ import annotations

import types

import testtools

from nova_migpolicy.engine.steering import convergence


def case(settled, *durations_s, faster=1.0):
    """A case whose first pass is the bulk copy of 10 s."""
    passes, at_s = [], 0.0
    for number, duration_s in enumerate((10.0, *durations_s)):
        passes.append(types.SimpleNamespace(
            number=number, start_s=at_s, end_s=at_s + duration_s, duration_s=duration_s,
            wire_rate=50.0))
        at_s += duration_s
    return types.SimpleNamespace(passes=tuple(passes), settled=settled,
                                 seen=types.SimpleNamespace(wire_rate=50.0 * faster))


class TestChance(testtools.TestCase):

    def test_settings_from_the_start_need_nothing_to_compare_with(self):
        self.assertTrue(convergence.had_a_chance(case(2, 2.0, 2.5)))

    def test_two_short_passes_under_new_settings_are_not_enough(self):
        self.assertFalse(convergence.had_a_chance(case(2, 2.0, 2.0, 0.5, 0.5)))

    def test_where_more_is_sent_it_takes_less_time(self):
        self.assertTrue(convergence.had_a_chance(case(2, 2.0, 2.0, 0.5, 0.5, faster=4.0)))

    def test_as_long_as_two_passes_before_is(self):
        self.assertTrue(convergence.had_a_chance(case(4, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0)))
