# SPDX-License-Identifier: Apache-2.0
"""The same OpenStack without the plugin, as a measure: nothing of ours is in its way."""

from __future__ import annotations

from lab import workdir
from tests.stack.support import base


class TestStock(base.StackTest):

    driver = 'stock'

    def test_a_server_migrates_without_us(self):
        server = self.boot(host='n1')
        self.assertEqual('completed', self.migrate(server)['status'])
        self.assertEqual('n2', self.admin.host(server))
        for host in self.stack.hosts.names:
            log = self.stack.log(host).read_text()
            self.assertIn("Loading compute driver 'libvirt.LibvirtDriver'", log)
            # Its folders may have that name; ours lie in one more.
            self.assertNotIn('nova_migpolicy', log.replace(str(workdir.DEFAULT.parent), ''))
