# SPDX-License-Identifier: Apache-2.0
"""nova-compute dies in the copy and around it, is stopped or not told, on Nova 31 (eventlet)."""

from __future__ import annotations

from tests.stack.support import deaths
from tests.stack.support import recoveries
from tests.stack.support import shutdowns
from tests.stack.support import strands


class RecoveryTest(recoveries.CopyTests, shutdowns.LeaveTests):
    nova = '31'


class DeathsTest(deaths.DeathsTest, shutdowns.AbortTests):
    nova = '31'


class StrandsTest(strands.UntoldTests):
    nova = '31'


deaths.add_tests(DeathsTest, {name: deaths.PLACES[name] for name in (
    'prepared', 'rollback_of_volumes', 'volumes', 'before_the_destination_is_told', 'record')})
