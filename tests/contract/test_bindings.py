# SPDX-License-Identifier: Apache-2.0
"""Whose port bindings are stale, and that neither neutron nor the database stops a migration."""

from unittest import mock

from nova import exception as nova_exception
from nova.network import neutron
from nova import objects

from nova_migpolicy.compute import bindings
from tests.contract import base


class BindingsCase(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.network = mock.create_autospec(neutron.API, instance=True)
        self.server = self.instance()
        self.statuses = []
        patch = mock.patch.object(objects.MigrationList, 'get_by_filters',
                                  side_effect=self.find)
        self.find_all = patch.start()
        self.addCleanup(patch.stop)

    def find(self, context, filters):
        self.assertTrue(context.is_admin)
        self.assertEqual((base.UUID, 'live-migration'),
                         (filters['instance_uuid'], filters['migration_type']))
        return [objects.Migration(uuid=f'm-{number}', status=status)
                for number, status in enumerate(self.statuses) if status in filters['status']]

    def released(self):
        """The hosts from which the ports were unbound, all of them for good."""
        calls = self.network.setup_networks_on_host.call_args_list
        for call in calls:
            self.assertEqual((self.server, {'teardown': True}), (call.args[1], call.kwargs))
        return [call.args[2] for call in calls]


class TestStale(BindingsCase):

    def after(self, host='dest'):
        bindings.release_stale(self.network, self.server, host)
        return self.released()

    def test_of_a_migration_that_has_ended_or_is_asked_for(self):
        self.statuses = ['failed', 'error', 'cancelled', 'completed', 'accepted']
        self.assertEqual(['dest'], self.after())

    def test_not_of_a_migration_that_has_begun(self):
        for status in ('queued', 'preparing', 'running', 'running (post-copy)', 'post-migrating'):
            self.statuses = ['accepted', status]
            self.assertEqual([], self.after(), status)

    def test_not_where_the_server_is(self):
        self.assertEqual([], self.after('source'))

    def test_a_database_that_is_away(self):
        self.find_all.side_effect = RuntimeError('no database')
        self.assertEqual([], self.after())
        self.assertIn('no database', self.log.output)

    def test_a_neutron_that_refuses(self):
        self.network.setup_networks_on_host.side_effect = (
            nova_exception.PortBindingDeletionFailed(port_id='p1', host='dest'))
        self.assertEqual(['dest'], self.after())
        self.assertIn('p1', self.log.output)


class TestArrived(BindingsCase):

    def setUp(self):
        super().setUp()
        self.migration = objects.Migration(
            self.context, uuid='m-0', source_compute='source', dest_compute='dest',
            status='post-migrating')
        self.server.host = 'dest'

    def settle(self):
        bindings.settle(self.network, self.context, self.server, self.migration)

    def test_bound_where_it_is_and_nowhere_else(self):
        self.statuses = ['post-migrating']
        self.settle()
        [call] = self.network.migrate_instance_start.call_args_list
        self.assertEqual((self.server, self.migration), call.args[1:])
        self.assertEqual(['source'], self.released())

    def test_the_source_may_be_the_next_ones_destination(self):
        self.statuses = ['post-migrating', 'accepted']
        self.settle()
        self.assertEqual([], self.released())

    def test_ports_that_cannot_be_bound_are_tried_again(self):
        self.network.migrate_instance_start.side_effect = (
            nova_exception.PortBindingActivationFailed(port_id='p1', host='dest'))
        self.assertRaises(nova_exception.PortBindingActivationFailed, self.settle)
