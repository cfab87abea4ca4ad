# SPDX-License-Identifier: Apache-2.0
"""More deaths of nova-compute, and messages that are lost, on Nova 31 (eventlet)."""

from __future__ import annotations

from tests.stack.support import deaths
from tests.stack.support import recoveries
from tests.stack.support import shutdowns
from tests.stack.support import strands


class RecoveryTest(recoveries.CopyTests):
    nova = '31'

    # These are in tests/stack.
    test_in_the_copy_and_back_before_it_is_over = None
    test_in_post_copy = None


class DeathsTest(deaths.DeathsTest, shutdowns.AbortTests):
    nova = '31'


class StrandsTest(strands.UntoldTests):
    nova = '31'


deaths.add_tests(DeathsTest, {name: deaths.PLACES[name] for name in (
    'volumes', 'record', 'before_the_destination_is_told')})
