# SPDX-License-Identifier: Apache-2.0
"""nova-compute dies in the copy and around it, on Nova 31 under eventlet."""

from __future__ import annotations

from tests.stack.support import deaths
from tests.stack.support import recoveries


class RecoveryTest(recoveries.CopyTests):
    nova = '31'


class DeathsTest(deaths.DeathsTest):
    nova = '31'


deaths.add_tests(DeathsTest, {name: deaths.PLACES[name] for name in (
    'prepared', 'rollback_of_volumes', 'volumes', 'before_the_destination_is_told', 'record')})
