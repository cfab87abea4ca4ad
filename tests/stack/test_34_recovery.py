# SPDX-License-Identifier: Apache-2.0
"""nova-compute dies in the copy, where Nova would boot a second copy at its return."""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import recoveries
from tests.stack.support import steering


class RecoveryTest(recoveries.CopyTests):

    nova_conf = {**recoveries.CopyTests.nova_conf,
                 'DEFAULT': {'resume_guests_state_on_host_boot': True}}

    def test_in_the_disks_and_back_before_they_are_over(self):
        run = self.in_disks(guest=recoveries.QUIET, bandwidth_mib_s=8, max_bandwidth_mib_s=400)
        self.kill()
        self.assertTrue(self.job(run)['disk_remaining'])
        self.start_again()
        self.wait_watched(run)
        lab_client.wait(lambda: self.admin.forecast(run.server, run.migration)['phase'],
                        lambda phase: phase == 'disks', steering.MIGRATION_TIMEOUT_S,
                        'the disks to be watched again')
        self.admin.tune(run.server, run.migration, bandwidth_mib_s=400)
        self.assert_agree(run, 'n2', 'completed')

    def test_in_the_disks_and_back_when_it_is_over(self):
        run = self.in_disks(guest=recoveries.QUIET)
        self.kill()
        self.assertTrue(self.job(run)['disk_remaining'])
        self.wait_gone(run)
        self.start_again()
        self.assert_agree(run, 'n2', 'completed')

    def test_in_the_bulk_copy_and_back_before_it_is_over(self):
        run = self.in_bulk_copy(max_downtime_ms=1000, max_bandwidth_mib_s=400)
        self.kill()
        self.start_again()
        self.wait_watched(run)
        self.admin.tune(run.server, run.migration, bandwidth_mib_s=400)
        self.assert_agree(run, 'n2', 'completed')
        self.assertEqual([], [s for s in run.records('event') if 'abort' in s['text']])

    def job(self, run):
        return self.stack.hosts['n1'].connect().lookupByUUIDString(run.server).jobStats()
