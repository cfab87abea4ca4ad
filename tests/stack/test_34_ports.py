# SPDX-License-Identifier: Apache-2.0
"""Port bindings that an ended migration has left keep no server from being moved."""

from __future__ import annotations

from tests.stack.support import deaths
from tests.stack.support import recoveries


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
