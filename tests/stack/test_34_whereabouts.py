# SPDX-License-Identifier: Apache-2.0
"""Hosts ask each other over the message bus what libvirt there says of a server."""

from __future__ import annotations

from tests.stack.support import base
from tests.stack.support import hostile_bus

ASKER = 'tests.stack.support.asker'
NOBODY = '00000000-0000-4000-8000-000000000000'


class WhereaboutsTest(base.StackTest):

    def ask(self, host, server):
        return self.asker.call(host, 'whereabouts', {'server': server}, {})

    def test_each_host_says_what_it_has(self):
        self.asker = hostile_bus.Peer(self.stack, 'n2', ASKER)
        self.addCleanup(self.asker.close)
        server = self.boot(host='n1')
        self.assertEqual(('ARRIVED', 'ABSENT'), (self.ask('n1', server), self.ask('n2', server)))
        self.assertEqual('ABSENT', self.ask('n1', NOBODY))
        self.admin.compute('POST', f'/servers/{server}/action', json={'pause': None})
        self.admin.wait_server(server, 'PAUSED')
        self.assertEqual('ARRIVED', self.ask('n1', server))
        self.admin.compute('POST', f'/servers/{server}/action', json={'unpause': None})
        self.admin.wait_server(server)
        self.migrate(server)
        self.assertEqual(('ABSENT', 'ARRIVED'), (self.ask('n1', server), self.ask('n2', server)))

        self.addCleanup(self.stack.restart, ['n2'])
        self.stack.kill_compute('n2')
        self.assertEqual('SILENT', self.ask('n2', server))
        self.assertEqual('SILENT', self.ask('n3', server))
