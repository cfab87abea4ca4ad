# SPDX-License-Identifier: Apache-2.0
"""What no record tells of is found by Nova's rows and libvirt's domains, and nothing else is."""

import datetime
from unittest import mock
import uuid

import fixtures
from nova import exception as nova_exception
from nova import objects

from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import strays as strays_mod
from nova_migpolicy.recovery import evidence
from tests.contract import base

BEGAN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
Source = evidence.Source


class StraysCase(base.ContractCase):
    """A host, `here`, by Nova's rows and by libvirt."""

    def setUp(self):
        super().setUp()
        self.servers, self.migrations, self.domains = [], [], set()
        self.known, self.queries, self.reads = set(), [], 0
        # What happens before a row is read again.
        self.meanwhile = lambda: None
        self.source = Source.RUNNING, False
        for name, found in (('InstanceList.get_by_host', self.on_host),
                            ('InstanceList.get_by_filters', self.by_filters),
                            ('Migration.get_by_uuid', self.now_migration),
                            ('Instance.get_by_uuid', self.now_server),
                            ('MigrationList.get_by_filters', self.of_filters)):
            self.useFixture(fixtures.MockPatch(f'nova.objects.{name}', side_effect=found))
        self.now_s = 1000.0
        self.useFixture(fixtures.MonkeyPatch(
            'nova_migpolicy.compute.strays.time.monotonic', lambda: self.now_s))
        self.hands = mock.create_autospec(hands_mod.Hands, instance=True)
        self.strays = strays_mod.Strays(
            'here', self.hands, lambda: set(self.domains), lambda server: self.source,
            self.know)

    def on_host(self, context, host, expected_attrs=None):
        self.queries.append('host')
        return [one for one in self.servers if one.host == host]

    def by_filters(self, context, filters, expected_attrs=None):
        if 'uuid' in filters:
            self.queries.append('uuid')
            return [one for one in self.servers if one.uuid in filters['uuid']]
        self.queries.append('migrating')
        return [one for one in self.servers if (one.host, one.task_state) == (
            filters['host'], filters['task_state'])]

    def know(self):
        self.reads += 1
        return lambda server, migration: server in self.known

    def now_migration(self, context, migration):
        self.meanwhile()
        return next(one for one in self.migrations if one.uuid == migration).obj_clone()

    def now_server(self, context, server, expected_attrs=None):
        return next(one for one in self.servers if one.uuid == server)

    def of_filters(self, context, filters, **kwargs):
        self.queries.append('migrations')
        found = [one for one in self.migrations if all(
            getattr(one, name) in ([value] if isinstance(value, str) else value)
            for name, value in filters.items())]
        return [one.obj_clone() for one in found[::-1][:kwargs.get('limit')]]

    def server(self, host='here', task=None, state='active', is_here=True):
        made = objects.Instance(
            self.context, uuid=str(uuid.uuid4()), host=host, task_state=task, vm_state=state,
            updated_at=BEGAN)
        self.servers.append(made)
        if is_here:
            self.domains.add(made.uuid)
        return made

    def migration(self, server, status, source='here', dest='there', kind='live-migration'):
        made = objects.Migration(
            self.context, uuid=str(uuid.uuid4()), instance_uuid=server.uuid, status=status,
            source_compute=source, dest_compute=dest, migration_type=kind, created_at=BEGAN,
            updated_at=None)
        self.migrations.append(made)
        return made

    def found(self):
        return [record.migration for record in self.strays.find()]

    def later(self):
        self.now_s += strays_mod.ON_ITS_WAY_S


class TestFound(StraysCase):

    def test_nothing_for_a_few_rows_while_nothing_changes(self):
        self.migration(self.server(), 'completed', source='there', dest='here')
        self.server(state='stopped', is_here=False)
        self.assertEqual([], self.found())
        few = ['migrating', 'migrations', 'migrations']
        self.assertEqual([*few, 'host'], self.queries)
        for _ in range(strays_mod.ALL_EVERY - 1):
            self.queries.clear()
            self.assertEqual([], self.found())
            self.assertEqual(few, self.queries)
        self.assertEqual([], self.found())
        self.assertEqual([*few, *few, 'host'], self.queries)

    def test_what_is_written_down_is_read_once_for_a_look(self):
        for _ in range(3):
            self.migration(self.server(task='migrating'), 'running')
        self.found()
        self.assertEqual(1, self.reads)

    def test_what_ends_meanwhile_is_not_found(self):
        migration = self.migration(self.server(task='migrating'), 'running')

        def end():
            migration.status = 'completed'

        self.meanwhile = end
        self.assertEqual([], self.found())
        self.assertEqual([], self.found())

    def test_what_is_deleted_meanwhile_is_not_found(self):
        migration = self.migration(self.server(task='migrating'), 'running')

        def delete():
            raise nova_exception.MigrationNotFound(migration_id=migration.uuid)

        self.meanwhile = delete
        self.assertEqual([], self.found())

    def test_what_moves_on_meanwhile_is_not_found(self):
        server = self.server(host='there')
        self.migration(server, 'completed')

        def move():
            self.servers[:] = [objects.Instance(
                self.context, uuid=server.uuid, host='here', task_state=None, vm_state='active',
                updated_at=BEGAN)]

        self.meanwhile = move
        self.assertEqual([], self.found())

    def test_what_nova_has_under_way(self):
        for status in ('preparing', 'running', 'running (post-copy)', 'post-migrating'):
            self.migrations.clear()
            migration = self.migration(self.server(task='migrating'), status)
            [record] = self.strays.find()
            self.assertEqual(
                (migration.uuid, migration.instance_uuid, 'here', 'there', evidence.Written.LOST,
                 BEGAN.timestamp()),
                (record.migration, record.server, record.source, record.destination,
                 record.written, record.started_s))
            self.servers.clear()

    def test_what_has_left_and_is_not_ended(self):
        migration = self.migration(self.server(host='there', is_here=False), 'running')
        self.assertEqual([migration.uuid], self.found())

    def test_what_is_known_is_not_found(self):
        server = self.server(task='migrating')
        self.migration(server, 'running')
        self.known.add(server.uuid)
        self.assertEqual([], self.found())

    def test_what_novas_services_may_still_hand_over_is_left_alone(self):
        migration = self.migration(self.server(task='migrating'), 'accepted', dest=None)
        self.assertEqual([], self.found())
        self.now_s += strays_mod.ON_ITS_WAY_S / 2
        self.assertEqual([], self.found())
        self.later()
        [record] = self.strays.find()
        self.assertEqual((migration.uuid, ''), (record.migration, record.destination))

    def test_a_server_that_migrates_after_its_migration_has_ended(self):
        migration = self.migration(self.server(task='migrating'), 'error')
        self.assertEqual([], self.found())
        self.later()
        self.assertEqual([migration.uuid], self.found())

    def test_a_server_that_migrates_without_a_migration_stays(self):
        server = self.server(task='migrating')
        self.migration(server, 'completed', source='there', dest='here')
        self.found()
        self.hands.let_stay.assert_not_called()
        self.later()
        self.assertEqual([], self.found())
        self.hands.let_stay.assert_called_once_with(mock.ANY, server.uuid)

    def test_it_is_left_as_it_is_where_that_is_not_all(self):
        self.server(task='migrating', is_here=False)
        for source in ((Source.ABSENT, False), (Source.SILENT, False), (Source.RUNNING, True)):
            self.source = source
            self.found()
            self.later()
            self.assertEqual([], self.found())
        self.hands.let_stay.assert_not_called()

    def test_a_request_that_came_again_waits_again(self):
        server = self.server(task='migrating')
        self.found()
        server.task_state = None
        self.later()
        self.found()
        server.task_state = 'migrating'
        self.found()
        self.hands.let_stay.assert_not_called()


class TestMisplaced(StraysCase):

    def test_a_copy_that_was_left(self):
        migration = self.migration(self.server(host='there'), 'completed')
        self.assertEqual([migration.uuid], self.found())

    def test_a_guest_that_has_gone_and_nova_was_not_told(self):
        for status, is_found in (('error', True), ('completed', True), ('failed', False),
                                 ('cancelled', False)):
            migration = self.migration(self.server(is_here=False), status)
            self.assertEqual([migration.uuid] if is_found else [], self.found(), status)
            self.servers.clear()

    def test_the_last_move_alone_counts(self):
        server = self.server(host='there')
        self.migration(server, 'completed')
        for kind in ('resize', 'migration', 'evacuation'):
            self.migrations[1:] = []
            self.migration(server, 'finished', kind=kind)
            self.strays._dull.clear()
            self.assertEqual([], self.found(), kind)
        self.migrations[1:] = []
        self.migration(server, 'running', source='there', dest='here')
        self.strays._dull.clear()
        self.assertEqual([], self.found())

    def test_what_is_not_known_any_more_is_found_though_nothing_else_changes(self):
        server = self.server(host='there')
        migration = self.migration(server, 'completed')
        self.known.add(server.uuid)
        self.assertEqual([], self.found())
        self.known.clear()
        self.assertEqual([migration.uuid], self.found())

    def test_a_domain_that_is_not_novas(self):
        self.domains.add(str(uuid.uuid4()))
        self.assertEqual([], self.found())

    def test_what_was_looked_at_is_not_asked_for_again(self):
        server = self.server(is_here=False)
        self.found()
        before = self.queries.count('migrations')
        self.domains.add(str(uuid.uuid4()))
        self.found()
        # The two of each look.
        self.assertEqual(before + 2, self.queries.count('migrations'))
        server.updated_at = BEGAN + datetime.timedelta(seconds=1)
        migration = self.migration(server, 'error')
        self.assertEqual([migration.uuid], self.found())
