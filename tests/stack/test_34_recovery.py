# SPDX-License-Identifier: Apache-2.0
"""nova-compute is killed at the source in the middle of a migration, and comes back."""

from __future__ import annotations

from lab import client as lab_client
from lab import guests
from tests.stack.support import recoveries
from tests.stack.support import steering

QUIET = guests.Guest(kind='sweep', memory_mib=256, set_mib=8, rate_mib_s=4)


class RecoveryTest(recoveries.RecoveryTest):

    def test_in_the_copy_and_back_before_it_is_over(self):
        run = self.in_passes(max_downtime_ms=1000, max_bandwidth_mib_s=400)
        self.kill()
        self.start_again()
        told = lab_client.wait(
            lambda: [one['text'] for one in run.records('event')],
            lambda texts: any('started again' in text for text in texts),
            steering.MIGRATION_TIMEOUT_S, 'the migration to be watched again')
        self.assertIn('recovery: watch', ' '.join(told))
        self.admin.tune(run.server, run.migration, bandwidth_mib_s=400)
        self.assert_agree(run, 'n2', 'completed')
        self.assert_promise(run, 1000)

    def test_in_the_copy_and_cancelled_after_it(self):
        run = self.in_passes()
        self.kill()
        self.start_again()
        lab_client.wait(lambda: self.admin.forecast(run.server, run.migration)['phase'],
                        lambda phase: phase == 'passes', steering.MIGRATION_TIMEOUT_S,
                        'the migration to be watched again')
        self.admin.abort(run.server, run.migration)
        self.assert_agree(run, 'n1', 'cancelled')

    def test_in_the_copy_and_back_when_it_is_over(self):
        self.stack.hosts.shape('n1', rate_mib_s=50)
        self.addCleanup(self.stack.hosts.shape, 'n1')
        run = self.start(QUIET)
        self.admin.wait_migration(run.server, run.migration, status={'running'})
        lab_client.wait(lambda: run.records('sample'), bool, steering.MIGRATION_TIMEOUT_S,
                        'memory to be copied')
        self.kill()
        self.wait_gone(run)
        self.start_again()
        self.assert_agree(run, 'n2', 'completed')

    def test_in_post_copy(self):
        run = self.in_passes(on_timeout='post_copy')
        self.stack.hosts.shape('n1', rate_mib_s=8)
        self.addCleanup(self.stack.hosts.shape, 'n1')
        self.admin.act(run.server, run.migration, 'post_copy')
        lab_client.wait(lambda: self.admin.forecast(run.server, run.migration)['phase'],
                        lambda phase: phase == 'post-copy', steering.MIGRATION_TIMEOUT_S,
                        'post-copy')
        self.kill()
        self.start_again()
        self.stack.hosts.shape('n1')
        self.assert_agree(run, 'n2', 'completed')


class HostBootTest(RecoveryTest):
    """The same where Nova boots what it believes to have gone down with the host."""

    nova_conf = {**recoveries.RecoveryTest.nova_conf,
                 'DEFAULT': {'resume_guests_state_on_host_boot': True}}
