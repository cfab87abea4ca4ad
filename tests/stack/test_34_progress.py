# SPDX-License-Identifier: Apache-2.0
"""What Nova's API shows while a migration runs: disks and memory, never running backwards."""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import steering


class ProgressTest(steering.SteeringTest):

    def test_disks_count_and_nothing_runs_backwards(self):
        run = self.start(disk_gib=1, remedies='downtime', max_downtime_ms=2000)
        percents, disks, in_disks = [], [], []

        def look():
            under_way = self.admin.progress(run.server)
            if under_way and under_way['disk_total_bytes']:
                percent = self.admin.server(run.server)['progress']
                percents.append(percent)
                disks.append(under_way['disk_processed_bytes'])
                if not under_way['memory_total_bytes']:
                    in_disks.append(percent)
            return self.admin.migration(run.server, run.migration)['status']

        lab_client.wait(look, lambda status: status in lab_client.FINAL,
                        steering.MIGRATION_TIMEOUT_S, 'the migration to end')
        self.assert_moved(self.finish(run))
        # The server's percentage is taken away with the migration.
        shown = [percent for percent in percents if percent]
        self.assertEqual(sorted(shown), shown)
        self.assertGreater(len(set(shown)), 2)
        self.assertEqual(sorted(disks), disks)
        # It moved while only disks were being copied.
        self.assertGreater(max(in_disks), 20)
        self.assertLess(max(shown), 100)
