# SPDX-License-Identifier: Apache-2.0
"""The plugin in a running Nova 34: it is loaded, migrates servers, and follows SIGHUP."""

from __future__ import annotations

from keystoneauth1 import exceptions

from lab import heartbeat
from tests.stack.support import base


class TestDriver(base.StackTest):

    def test_it_is_the_driver_and_says_so(self):
        for host in self.stack.hosts.names:
            log = self.stack.log(host).read_text()
            self.assertIn("Loading compute driver 'migpolicy.LibvirtDriver'", log)
            self.assertIn('steered by policy; profile balanced; native threads', log)

    def test_a_server_goes_to_the_other_host_and_back(self):
        server = self.boot(host='n1')
        with heartbeat.Recorder(*self.stack.consoles(server)) as beats:
            for there in ('n2', 'n1'):
                self.assertTrue(beats.wait_for_beats(20))
                self.assertEqual('completed', self.migrate(server)['status'])
                self.assertEqual(there, self.admin.host(server))
            self.assertTrue(beats.wait_for_beats(20))
            self.assertEqual(2, len(beats.switches()))

    def test_a_typo_in_a_flavor_is_refused(self):
        error = self.assertRaises(exceptions.BadRequest, self.flavor, 64, max_downtime=100)
        self.assertIn('migpolicy:max_downtime', error.response.text)
        error = self.assertRaises(exceptions.BadRequest, self.flavor, 64, max_downtime_ms='soon')
        self.assertIn('soon', error.response.text)

    def test_a_member_may_not_migrate(self):
        server = self.boot()
        member = self.stack.client('member')
        self.assertRaises(exceptions.ClientException, member.live_migrate, server)

    def test_options_change_at_sighup(self):
        self.addCleanup(self.stack.configure, self.nova_conf)
        server = self.boot(host='n1')
        self.stack.configure({'migpolicy': {'profile': 'minimal_downtime'}}, ['n1'])
        self.stack.reload('n1')
        self.wait_logged('n1', 'profile minimal_downtime')
        self.assertEqual('completed', self.migrate(server)['status'])
