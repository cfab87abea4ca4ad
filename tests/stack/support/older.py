# SPDX-License-Identifier: Apache-2.0
"""What is tested of the plugin on each release of Nova before the newest, under eventlet."""

from __future__ import annotations


class OlderReleaseTests:
    """It is loaded, and a server migrates."""

    def test_a_server_migrates(self):
        server = self.boot(host='n1')
        self.assertEqual('completed', self.migrate(server)['status'])
        self.assertEqual('n2', self.admin.host(server))
        log = self.stack.log('n1').read_text()
        self.assertIn(f'Starting compute node (version {self.nova}.', log)
        self.assertIn('Live migrations are steered by policy; profile balanced; eventlet', log)
