# SPDX-License-Identifier: Apache-2.0
"""What is looked up in Nova, over objects of Nova's own."""

import datetime
from unittest import mock

import ddt
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
import testtools

from nova_migpolicy.api import errors
from nova_migpolicy.api import lookup as lookup_mod
from nova_migpolicy import vocabulary
from tests.unit.api import fakes


def ago(hours=0.0):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=hours)


@ddt.ddt
class TestLookup(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.useFixture(fakes.NovaConf(self.id()))
        self.lookup = lookup_mod.Lookup()
        self.context = nova_context.RequestContext('u', 'p', is_admin=False)
        self.server = objects.Instance(self.context, uuid=fakes.SERVER, locked=False)

    def patch(self, name, **answer):
        patcher = mock.patch(name, **answer)
        self.addCleanup(patcher.stop)
        return patcher.start()

    def refused(self, code, words, call, *args, kind=errors.Refusal):
        error = self.assertRaises(errors.Refusal, call, *args)
        self.assertEqual((kind, code), (type(error), error.code))
        self.assertIn(words, error.message)

    def test_a_context_of_ones_own(self):
        who = nova_context.RequestContext('u', 'p', roles=['manager'], auth_token='t',
                                          is_admin=False)
        nova_context.set_target_cell(who, objects.CellMapping(
            uuid=fakes.OTHER, transport_url='fake:///', database_connection='sqlite://'))
        own = self.lookup.own(who)
        self.assertEqual({**who.to_dict(), 'timestamp': None},
                         {**own.to_dict(), 'timestamp': None})
        self.assertIsNotNone(who.db_connection)
        self.assertEqual((None, None, None),
                         (own.db_connection, own.mq_connection, own.cell_uuid))

    def test_server(self):
        get = self.patch('nova.compute.api.API.get', return_value=self.server)
        self.assertIs(self.server, self.lookup.server(self.context, fakes.SERVER))
        get.assert_called_once_with(self.context, fakes.SERVER)

    def test_a_server_that_nova_does_not_show(self):
        self.patch('nova.compute.api.API._get_instance',
                   side_effect=nova_exception.InstanceNotFound(instance_id='x'))
        for server_id in (fakes.SERVER, '5', 'x' * 200, '\x00', '../../etc'):
            self.refused(404, 'could not be found', self.lookup.server, self.context, server_id)

    def test_a_cell_that_does_not_answer(self):
        self.patch('nova.compute.api.API.get',
                   side_effect=nova_exception.NovaException('Cell c is not responding'))
        self.refused(503, 'Cell c is not responding', self.lookup.server, self.context,
                     fakes.SERVER)

    def record(self, **more):
        return objects.Migration(self.context, id=5, uuid=fakes.RECORD, created_at=ago(),
                                 migration_type='live-migration', **more)

    @ddt.data(*vocabulary.UNDER_WAY_STATUSES, 'completed', 'cancelled', 'error', 'failed')
    def test_migration_in_whatever_state(self, status):
        found = self.record(status=status)
        get = self.patch('nova.objects.Migration.get_by_id_and_instance', return_value=found)
        self.assertIs(found, self.lookup.migration(self.context, self.server, '05'))
        get.assert_called_once_with(self.context, 5, fakes.SERVER)

    @ddt.data('', 'x', '-1', '5x', '1e3', '5 ', '5\n', '0x5', '\u0665', '2147483648', '9' * 400,
              fakes.RECORD)
    def test_what_cannot_be_an_id_never_reaches_the_database(self, text):
        get = self.patch('nova.objects.Migration.get_by_id_and_instance')
        self.refused(404, 'has no live migration', self.lookup.migration, self.context,
                     self.server, text)
        self.assertFalse(get.called)

    def test_a_migration_that_is_not_this_servers(self):
        self.patch('nova.objects.Migration.get_by_id_and_instance',
                   side_effect=nova_exception.MigrationNotFoundForInstance(
                       migration_id=5, instance_id=fakes.SERVER))
        self.refused(404, "has no live migration '5'", self.lookup.migration, self.context,
                     self.server, '5')

    @ddt.data('migration', 'resize', 'evacuation')
    def test_another_kind(self, kind):
        found = self.record()
        found.migration_type = kind
        self.patch('nova.objects.Migration.get_by_id_and_instance', return_value=found)
        self.refused(404, 'has no live migration', self.lookup.migration, self.context,
                     self.server, '5')

    def test_under_way(self):
        first, second = self.record(), self.record()
        first.created_at -= datetime.timedelta(minutes=1)
        get = self.patch('nova.compute.api.API.get_migrations_sorted',
                         return_value=[second, first])
        self.assertEqual([first, second], self.lookup.under_way(self.context, 'n1'))
        get.assert_called_once_with(self.context, {
            'migration_type': 'live-migration', 'host': 'n1',
            'status': list(vocabulary.UNDER_WAY_STATUSES)})
        self.lookup.under_way(self.context, None)
        self.assertNotIn('host', get.call_args.args[1])

    def test_projects(self):
        mapping = objects.InstanceMapping(
            self.context, instance_uuid=fakes.SERVER, project_id='p')
        self.patch('nova.objects.InstanceMappingList.get_by_instance_uuids',
                   return_value=objects.InstanceMappingList(objects=[mapping]))
        self.assertEqual({fakes.SERVER: 'p'},
                         self.lookup.projects(self.context, [fakes.SERVER]))

    def test_host(self):
        get = self.patch('nova.objects.HostMapping.get_by_host',
                         return_value=objects.HostMapping(self.context, host='n1'))
        self.lookup.check_host(self.context, 'n1')
        # As the database finds it, too.
        for other in ('N1', 'n1 '):
            self.refused(404, f"Compute host '{other}' could not be found.",
                         self.lookup.check_host, self.context, other)
        get.side_effect = nova_exception.HostMappingNotFound(name='n1')
        self.refused(404, "Compute host 'n1' could not be found.", self.lookup.check_host,
                     self.context, 'n1')

    def service(self, **more):
        return self.patch('nova.objects.Service.get_by_compute_host', return_value=objects.Service(
            self.context, host='n1', binary='nova-compute', topic='compute',
            created_at=ago(), updated_at=ago(), **more))

    def test_host_is_up(self):
        get = self.service(forced_down=False, last_seen_up=ago())
        self.lookup.check_up(self.context, 'n1')
        get.assert_called_once_with(self.context, 'n1')

    @ddt.data((True, 0), (False, 1))
    @ddt.unpack
    def test_host_is_down(self, forced, hours):
        self.service(forced_down=forced, last_seen_up=ago(hours))
        self.refused(503, 'nova-compute on n1 is down', self.lookup.check_up, self.context, 'n1',
                     kind=errors.Unreachable)

    def test_host_is_gone(self):
        self.patch('nova.objects.Service.get_by_compute_host',
                   side_effect=nova_exception.ComputeHostNotFound(host='n1'))
        self.refused(503, 'There is no nova-compute on n1', self.lookup.check_up, self.context,
                     'n1', kind=errors.Unreachable)

    def test_all_hosts_of_all_cells(self):
        contexts = {name: nova_context.RequestContext('u', 'p') for name in 'ab'}
        services = {name: [objects.Service(context, host=f'{host}{name}', forced_down=host == 2,
                                           last_seen_up=ago(), created_at=ago(), topic='compute',
                                           updated_at=ago()) for host in (2, 1)]
                    for name, context in contexts.items()}
        found = {'c': nova_context.did_not_respond_sentinel, 'd': ValueError('a bug')}

        def gather(context, ask):
            return {**{name: ask(cell) for name, cell in contexts.items()}, **found}

        self.patch('nova.context.scatter_gather_skip_cell0', side_effect=gather)
        get = self.patch('nova.objects.ServiceList.get_by_binary', side_effect=(
            lambda context, *args, **kwargs: next(
                services[name] for name, one in contexts.items() if one is context)))
        computes, silent_cells = self.lookup.computes(self.context)
        self.assertEqual((['1a', '1b', '2a', '2b'], 2),
                         ([one.host for one in computes], silent_cells))
        self.assertEqual([True, True, False, False],
                         [self.lookup.is_up(one) for one in computes])
        self.assertIs(contexts['b'], computes[1].context)
        get.assert_called_with(contexts['b'], 'nova-compute', include_disabled=True)

    @ddt.data((False, False, False), (True, True, False), (True, False, True))
    @ddt.unpack
    def test_lock(self, locked, is_admin, refused):
        self.server.locked, self.context.is_admin = locked, is_admin
        if refused:
            self.refused(409, 'is locked', lookup_mod.check_lock, self.context, self.server)
        else:
            lookup_mod.check_lock(self.context, self.server)
