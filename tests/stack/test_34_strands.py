# SPDX-License-Identifier: Apache-2.0
"""Something is away while a migration ends, and comes back: nothing is stranded."""

from __future__ import annotations

import signal

from tests.stack.support import deaths
from tests.stack.support import strands

POST = f'{deaths.MANAGER}_post_live_migration'
ROLLBACK = f'{deaths.MANAGER}_rollback_live_migration'


class StrandsTest(strands.UntoldTests):

    # Nova itself waits for a minute by default for the answer to a message that is lost.
    nova_conf = {**strands.UntoldTests.nova_conf, 'DEFAULT': {'rpc_response_timeout': 20}}

    def goes_on_without(self, what, run, host, status):
        with self.away(what):
            self.signal('n1', signal.SIGCONT)
        self.assert_agree(run, host, status)

    def test_rabbitmq_is_away_after_the_copy(self):
        self.goes_on_without('rabbitmq', self.stop_at(POST), 'n2', 'completed')

    def test_the_database_is_away_after_the_copy(self):
        self.goes_on_without('database', self.stop_at(POST), 'n2', 'completed')

    def test_the_conductor_is_away_after_the_copy(self):
        self.goes_on_without('conductor', self.stop_at(POST), 'n2', 'completed')

    def test_the_conductor_is_away_in_the_rollback(self):
        self.goes_on_without('conductor', self.stop_in_rollback(ROLLBACK), 'n1', 'failed')

    def test_the_source_is_frozen_while_libvirt_finishes(self):
        run = self.in_passes(max_downtime_ms=1000, max_bandwidth_mib_s=400)
        self.freeze('n1')
        domain = self.stack.hosts['n1'].connect().lookupByUUIDString(run.server)
        domain.migrateSetMaxSpeed(400)
        domain.migrateSetMaxDowntime(1000)
        self.wait_gone(run)
        self.thaw('n1')
        self.assert_agree(run, 'n2', 'completed')

    def test_the_destination_is_frozen_while_libvirt_finishes(self):
        run = self.in_passes()
        self.freeze('n2')
        self.admin.force_complete(run.server, run.migration)
        self.wait_gone(run)
        self.thaw('n2')
        self.assert_agree(run, 'n2', 'completed')

    def test_the_source_is_frozen_in_the_passes(self):
        run = self.in_passes()
        self.freeze('n1')
        self.assertTrue(run.beats.wait_for_beats(20, log=0))
        self.thaw('n1')
        self.admin.abort(run.server, run.migration)
        self.assert_agree(run, 'n1', 'cancelled')

    def test_deleted_in_the_passes(self):
        run = self.in_passes()
        self.admin.compute('DELETE', f'/servers/{run.server}')
        self.assert_nothing(run)

    def test_deleted_in_post_copy(self):
        run = self.in_post_copy()
        self.admin.compute('DELETE', f'/servers/{run.server}')
        self.assert_nothing(run)

    def freeze(self, host):
        """Freeze nova-compute until Nova takes it for dead."""
        self.addCleanup(self.signal, host, signal.SIGCONT)
        self.signal(host, signal.SIGSTOP)

    def thaw(self, host):
        self.signal(host, signal.SIGCONT)
        self.stack.wait_computes()
