# SPDX-License-Identifier: Apache-2.0
"""Orders at awkward moments, on Nova 34 with native threads; and whose policy a request's is."""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import orders
from tests.stack.support import steering


class OrderTest(orders.OrderTests, steering.SteeringTest):

    def test_the_policy_of_a_request_that_found_no_host_is_not_the_next_ones(self):
        def enable(status):
            service, = (one['id'] for one in self.admin.services()
                        if (one['binary'], one['host']) == ('nova-compute', 'n2'))
            self.admin.compute('PUT', f'/os-services/{service}', json={'status': status})

        def refused_first(server):
            self.addCleanup(enable, 'enabled')
            enable('disabled')
            self.admin.compute('POST', f'/servers/{server}/action', json={'os-migrateLive': {
                'host': None, 'block_migration': 'auto', 'migpolicy': {'on_stall': 'pause'}}})
            lab_client.wait(
                lambda: [one['status'] for one in self.admin.migrations(server)],
                lambda found: found == ['error'], orders.TIMEOUT_S, 'Nova to find no host')
            self.admin.wait_server(server)
            enable('enabled')
            self.stopped = self.stop(self.stack.hosts['n2'].machine, 'nova-compute')

        run = self.start(orders.cancels.QUIET, before=refused_first)
        self.in_phase(run, 'queued')
        fields = self.admin.policy(run.server, run.migration)['fields']
        self.assertNotIn('request', {field['origin'] for field in fields.values()})
        self.go(self.stopped)
        self.assert_moved(self.finish(run))
