# SPDX-License-Identifier: Apache-2.0
"""The plugin in a running Nova 33, under eventlet as its nova-compute does."""

from __future__ import annotations

from tests.stack import base


class TestDriver(base.StackTest):

    nova = '33'

    def test_a_server_migrates(self):
        server = self.boot(host='n1')
        self.assertEqual('completed', self.migrate(server)['status'])
        self.assertEqual('n2', self.admin.host(server))
        log = self.stack.log('n1').read_text()
        self.assertIn('Starting compute node (version 33.', log)
        self.assertIn('Live migrations are steered by policy; profile balanced; eventlet', log)
