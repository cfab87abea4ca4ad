# SPDX-License-Identifier: Apache-2.0
"""Hosts die while the ports of a server are bound and unbound."""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import deaths
from tests.stack.support import phases
from tests.stack.support import steering


class PortsTest(deaths.DeathsTest):

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
