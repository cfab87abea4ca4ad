# SPDX-License-Identifier: Apache-2.0
"""Something is away while a migration ends, and comes back: nothing is stranded."""

from __future__ import annotations

from tests.stack.support import strands


class StrandsTest(strands.UntoldTests):

    nova_conf = {**strands.UntoldTests.nova_conf, 'DEFAULT': strands.IMPATIENT}

    def test_rabbitmq_is_away_after_the_copy(self):
        self.goes_on_without('rabbitmq', self.stop_at(strands.POST), 'n2', 'completed')

    def test_the_database_is_away_after_the_copy(self):
        self.goes_on_without('database', self.stop_at(strands.POST), 'n2', 'completed')

    def test_the_source_is_frozen_while_libvirt_finishes(self):
        run = self.in_passes(max_downtime_ms=1000, max_bandwidth_mib_s=400)
        self.freeze('n1')
        domain = self.stack.hosts['n1'].connect().lookupByUUIDString(run.server)
        domain.migrateSetMaxSpeed(400)
        domain.migrateSetMaxDowntime(1000)
        self.wait_gone(run)
        self.thaw('n1')
        self.assert_agree(run, 'n2', 'completed')

    def test_deleted_in_the_passes(self):
        run = self.in_passes()
        self.admin.compute('DELETE', f'/servers/{run.server}')
        self.assert_nothing(run)
