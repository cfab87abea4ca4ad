# SPDX-License-Identifier: Apache-2.0
"""Nova's own options with odd values in a running Nova 34, with native threads."""

from __future__ import annotations

from tests.stack.support import odd_options
from tests.stack.support import steering


class TestOptions(odd_options.OddOptionsTests, steering.SteeringTest):
    """Nova 34."""

    odd_on_n1 = {'live_migration_parallel_connections': (300, '255 is taken'),
                 'live_migration_monitor_interval': (0, '5 s is taken')}
    odd_on_n2 = {'live_migration_parallel_connections': (0, '1 is taken'),
                 'live_migration_monitor_interval': (-1, '5 s is taken')}
