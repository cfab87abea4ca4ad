# SPDX-License-Identifier: Apache-2.0
"""nova-compute dies in the copy and around it, or is stopped, on Nova 31 (eventlet)."""

from __future__ import annotations

from tests.stack.support import deaths
from tests.stack.support import recoveries
from tests.stack.support import shutdowns


class RecoveryTest(recoveries.CopyTests, shutdowns.LeaveTests):
    nova = '31'

    # The others are in tests/long: each takes long under eventlet.
    test_in_the_copy_and_back_when_it_is_over = None
    test_in_the_copy_and_cancelled_after_it = None
    test_post_copy_breaks_off_and_is_taken_up = None


class DeathsTest(deaths.DeathsTest):
    nova = '31'


deaths.add_tests(DeathsTest, {name: deaths.PLACES[name] for name in (
    'prepared', 'rollback_of_volumes')})
