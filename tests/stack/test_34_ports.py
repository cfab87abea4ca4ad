# SPDX-License-Identifier: Apache-2.0
"""Port bindings that an ended migration has left keep no server from being moved."""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import deaths
from tests.stack.support import phases
from tests.stack.support import recoveries
from tests.stack.support import steering


class PortsTest(deaths.DeathsTest):
    """Servers with a port, between hosts whose nova-computes may die."""

    def bindings(self, server):
        return [self.admin.bindings(port['id']) for port in self.admin.ports(server)]

    def leave_a_binding(self, server):
        """Leave what a migration to n2 leaves whose rollback never came through."""
        for port in self.admin.ports(server):
            self.admin.bind(port['id'], 'n2')
        self.assertEqual([{'n1': 'ACTIVE', 'n2': 'INACTIVE'}], self.bindings(server))

    def test_a_stale_binding_of_the_destination(self):
        run = self.start(recoveries.QUIET, port=True, before=self.leave_a_binding)
        self.assert_agree(run, 'n2', 'completed')
        # And there is no other on the way back.
        self.assertEqual('completed', self.migrate(run.server)['status'])
        self.assertEqual([{'n1': 'ACTIVE'}], self.bindings(run.server))

    def test_a_rollback_of_which_the_destination_never_hears(self):
        self.addCleanup(self.stack.death('n2').unlink, missing_ok=True)
        self.stack.death('n2').write_text(
            f'before {deaths.MANAGER}rollback_live_migration_at_destination')
        run = self.start(steering.BUSY, port=True, **phases.ENDLESS)
        lab_client.wait(lambda: run.records('sample'), bool, steering.MIGRATION_TIMEOUT_S,
                        'memory to be copied')
        self.admin.abort(run.server, run.migration)
        self.wait_dead('n2')
        self.start_again('n2')
        self.assert_agree(run, 'n1', 'cancelled')

    def test_the_destination_dies_before_it_unbinds_the_source(self):
        """It has told Nova by then, and the source never hears that it did."""
        run = self.in_passes(port=True)
        self.addCleanup(self.stack.death('n2').unlink, missing_ok=True)
        self.stack.death('n2').write_text(f'before {deaths.NETWORK}_delete_port_bindings')
        self.admin.force_complete(run.server, run.migration)
        self.wait_dead('n2')
        # Else it would wait for its answer for a minute.
        self.kill('n1')
        for host in steering.HOSTS:
            self.start_again(host)
        self.assert_agree(run, 'n2', 'completed')
