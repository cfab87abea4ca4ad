# SPDX-License-Identifier: Apache-2.0
"""Three computes that send and take few live migrations at once, and what is done with them."""

from __future__ import annotations

from lab import client as lab_client
from lab import guests
from lab.openstack import services
from tests.stack.support import base
from tests.stack.support import steering

HOSTS = ('n1', 'n2', 'n3')
CAP_MIB_S = 20
ENDLESS = guests.Guest(kind='sweep', memory_mib=96, set_mib=64, rate_mib_s=80)
QUIET = guests.Guest(kind='sweep', memory_mib=96, set_mib=8, rate_mib_s=4)
NEVER_ENDS = {'remedies': 'none', 'on_stall': 'continue', 'on_timeout': 'continue'}
WAITING = 'waiting for a slot'
TIMEOUT_S = steering.MIGRATION_TIMEOUT_S


class SlotsTest(base.StackTest):
    """n1 and n2 send; n3, which is to take most of it, takes one at once."""

    hosts = HOSTS
    nova_conf = {'DEFAULT': {'max_concurrent_live_migrations': 10},
                 'libvirt': {'live_migration_bandwidth': CAP_MIB_S},
                 'migpolicy': {'link_mib_s': 100, 'max_incoming': 1, 'max_outgoing': 3}}

    def make(self, guest=QUIET, host='n1', **policy):
        """Boot a server with a policy."""
        flavor = self.flavor(guest.memory_mib, disk_gib=0, **policy)
        return self.boot(guest, flavor=flavor, host=host)

    def endless(self, host='n1', to='n3'):
        """Start a migration that flows and never ends by itself; its server and its id."""
        server = self.make(ENDLESS, host, **NEVER_ENDS)
        migration = self.admin.live_migrate(server, to)
        self.in_phase(server, migration, 'passes')
        return server, migration

    def move(self, host='n1', to='n3', guest=QUIET, **policy):
        """Ask for the migration of a new server."""
        server = self.make(guest, host, **policy)
        return server, self.admin.live_migrate(server, to)

    def in_phase(self, server, migration, *phases):
        return lab_client.wait(
            lambda: self.admin.forecast(server, migration),
            lambda found: found['phase'] in phases, TIMEOUT_S, ' or '.join(phases))

    def assert_waits(self, server, migration, *words):
        """It waits for a slot, and says for which."""
        def said():
            found = self.admin.forecast(server, migration)
            return found['phase'], found['waits_for'] or ''

        lab_client.wait(said, lambda found: found[0] == WAITING and all(
            word in found[1] for word in words), TIMEOUT_S, f'{server} to wait {words}')

    def end(self, server, migration):
        """Cancel a migration, and wait until that is done."""
        self.admin.abort(server, migration)
        self.admin.wait_migration(server, migration, status={'cancelled'})

    def assert_on(self, server, host):
        found = self.admin.wait_server(server)
        self.assertEqual((host, [host]), (
            found['OS-EXT-SRV-ATTR:host'], self.admin.allocations(server)))
        for name in HOSTS:
            connection = self.stack.hosts[name].connect()
            domains = [one.UUIDString() for one in connection.listAllDomains()]
            self.assertEqual(name == host, server in domains, name)

    def completed(self, server, migration, host):
        self.admin.wait_migration(server, migration, status={'completed'}, timeout=TIMEOUT_S)
        self.assert_on(server, host)

    def running(self, server, host):
        connection = self.stack.hosts[host].connect()
        return [one for one in connection.listAllDomains() if one.UUIDString() == server]

    def set_limits(self, **limits):
        """Change nova.conf of n3, and have it read again."""
        conf = {**self.nova_conf, 'migpolicy': {**self.nova_conf['migpolicy'], **limits}}
        self.stack.configure(conf, ['n3'])
        self.stack.reload('n3')

    def ask_for_limits(self, host='n3', **limits):
        """Change limits of a host through the API."""
        return self.admin.compute('PUT', f'/os-migration-capacity/{host}',
                                  json={'capacity': limits})['capacity']

    def capacity(self, host='n3'):
        return self.admin.compute('GET', f'/os-migration-capacity/{host}')['capacity']

    def with_the_plugin(self):
        self.stack.configure(self.nova_conf, ['n3'], driver='migpolicy')
        self.restart('n3')

    def restart(self, host):
        self.stack.kill_compute(host)
        self.stack.start_compute(host)
        lab_client.wait(lambda: services.find(self.stack.hosts[host].machine, 'nova-compute'),
                        bool, TIMEOUT_S, f'nova-compute on {host} to run')
        self.stack.wait_computes()

    def told(self, server):
        """What the newest action on a server says, with all its errors."""
        return ' '.join(str(event.get('details')) + str(event.get('traceback'))
                        for event in self.admin.actions(server)[0]['events'])


class FullTests(SlotsTest):
    """What a full destination means to a request."""

    def test_a_named_host_that_is_full_is_waited_for_and_a_cancel_is_done_at_once(self):
        first = self.endless()
        second = self.move('n2')
        third = self.move('n1')
        self.assert_waits(*second, '1st of 2 for an incoming slot on n3 (1 of 1 used by ')
        self.assert_waits(*third, '2nd of 2 for an incoming slot on n3')
        self.assertEqual([], self.running(second[0], 'n3'))
        self.end(*second)
        self.assert_on(second[0], 'n2')
        self.assertFalse((self.stack.where.host_instances('n3') / second[0]).exists())
        self.assert_waits(*third, '1st of 1')
        self.end(*first)
        self.completed(*third, 'n3')

    def test_without_a_named_host_nova_finds_one_with_a_free_slot(self):
        self.endless('n1', 'n2')
        moved = self.move('n1', None)
        self.completed(*moved, 'n3')

    def test_all_are_full_and_the_request_says_which(self):
        self.endless('n1', 'n2')
        self.endless('n1', 'n3')
        server, migration = self.move('n1', None)
        self.admin.wait_migration(server, migration, status={'error'}, timeout=TIMEOUT_S)
        said = self.told(server)
        for host in ('n2', 'n3'):
            self.assertIn(f'{host} has no free incoming slot (1 of 1 used by ', said)
        self.assert_on(server, 'n1')
