# SPDX-License-Identifier: Apache-2.0
"""Our filter in Nova's own pipeline, before Nova's own router; only database and hosts are faked.

What Nova answers in each state of a migration differs from what is possible: the filter relies on
how it says so.
"""

import datetime
import json
import pathlib
import tempfile
from unittest import mock

import ddt
import fixtures
import nova.conf
from nova import context as nova_context
from nova import objects
from nova import rpc
from oslo_messaging import conffixture
from paste import deploy
import webob

from lab.openstack import layout
from lab.openstack import settings
from nova_migpolicy.api import errors
from nova_migpolicy.api import filter as filter_mod
from nova_migpolicy.channel import client
from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import compat
from tests.contract import base

CONF = nova.conf.CONF
RECORD = '33333333-2222-3333-4444-555555555555'
PATH = f'/servers/{base.UUID}/migrations/5'
CAPACITY = '/os-migration-capacity'


def load():
    """Nova's pipeline of this release, with our filter put into it as the docs tell."""
    release = str(compat.nova_release()[0])
    paste = layout.Layout(pathlib.Path('.'), release).paste.read_text()
    with tempfile.NamedTemporaryFile('w', suffix='.ini') as made:
        made.write(settings.with_filter(paste))
        made.flush()
        return deploy.loadapp(f'config:{made.name}', name='openstack_compute_api_v21')


def chain(app):
    """The filters from the outermost on, and the application."""
    while app is not None:
        yield app
        app = next((getattr(app, name) for name in ('application', '_app', '_onward')
                    if hasattr(app, name)), None)


@ddt.ddt
class TestApi(base.ContractCase):

    pipeline = None

    def setUp(self):
        super().setUp()
        self.useFixture(conffixture.ConfFixture(CONF)).transport_url = 'fake:/'
        CONF.set_override('control_exchange', self.id())
        rpc.init(CONF)
        self.addCleanup(rpc.cleanup)
        self.chain = list(chain(load()))
        self.filter, = (app for app in self.chain if isinstance(app, filter_mod.Filter))
        self.context = nova_context.RequestContext('u', 'p', roles=['admin'], is_admin=True)
        self.server = self.instance()
        self.server.locked = False
        now = datetime.datetime.now(datetime.timezone.utc)
        self.server.launched_at = now
        self.server.host = 'n1'
        self.server.obj_reset_changes()
        self.record = objects.Migration(
            self.context, id=5, uuid=RECORD, migration_type='live-migration', status='running',
            source_compute='n1', source_node='n1', dest_compute='n2', dest_node='n2',
            dest_host='192.0.2.2', instance_uuid=base.UUID, created_at=now)
        self.asked = []
        self.answer = 202, {}
        for name, what in (
                ('nova.compute.api.API._get_instance', lambda *args, **kwargs: self.server),
                ('nova.objects.Migration.get_by_id_and_instance', lambda *args: self.record),
                ('nova.compute.api.API._record_action_start', lambda *args, **kwargs: None),
                ('nova.objects.Service.get_by_compute_host', lambda *args: objects.Service(
                    binary='nova-compute', host='n1', topic='compute', forced_down=False,
                    created_at=now, updated_at=now, last_seen_up=now))):
            self.useFixture(fixtures.MonkeyPatch(name, what))
        self.useFixture(fixtures.MockPatchObject(client.Channel, 'ask', self.ask))

    def ask(self, context, host, method, **arguments):
        self.asked.append((method, arguments, context.request_id))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def send(self, method, path, body=None, version='2.90'):
        request = webob.Request.blank(path, method=method, base_url='http://nova/v2.1')
        if body is not None:
            request.body = json.dumps(body).encode()
            request.content_type = 'application/json'
        request.headers['OpenStack-API-Version'] = f'compute {version}'
        request.environ['nova.context'] = self.context
        return request.get_response(self.filter)

    def cancel(self, status, version='2.90'):
        self.record.status = status
        return self.send('DELETE', PATH, version=version).status_int

    def complete(self, status, version='2.90'):
        self.record.status = status
        return self.send('POST', f'{PATH}/action', {'force_complete': None}, version).status_int

    def actions(self):
        return [arguments['action'] for method, arguments, _ in self.asked]

    def test_place_in_the_pipeline(self):
        names = [type(app).__name__ for app in self.chain]
        here = names.index('Filter')
        self.assertEqual(['NovaKeystoneContext', 'Filter', 'APIRouterV21'],
                         names[here - 1:here + 2])
        self.assertIn('The API of nova_migpolicy is on', self.log.output)

    @ddt.data('running', 'queued', 'preparing')
    def test_cancel_that_nova_accepts(self, status):
        self.assertEqual(202, self.cancel(status))
        self.assertEqual(['cancel'], self.actions())

    @ddt.data(('accepted', '2.90'), ('running (post-copy)', '2.90'), ('queued', '2.24'),
              ('preparing', '2.64'))
    @ddt.unpack
    def test_cancel_that_nova_refuses_for_the_state(self, status, version):
        self.assertEqual(202, self.cancel(status, version))
        self.answer = errors.Refusal(409, 'no')
        self.assertEqual(409, self.cancel(status, version))
        self.answer = errors.Unreachable(409, 'no plugin')
        self.assertEqual(400, self.cancel(status, version))
        self.assertEqual(['cancel'] * 3, self.actions())

    @ddt.data(('2.1', 404), ('2.23', 404), ('2.x', 400), ('9.9', 406), ('', 404))
    @ddt.unpack
    def test_cancel_in_a_version_that_has_none(self, version, code):
        self.assertEqual(code, self.cancel('running', version))
        self.assertEqual([], self.asked)

    def test_cancel_of_a_server_that_does_not_migrate(self):
        self.server.task_state = None
        self.assertEqual(409, self.cancel('running'))
        self.assertEqual([], self.asked)

    def test_cancel_of_a_locked_server(self):
        self.server.locked = True
        self.context = nova_context.RequestContext(
            'u', 'p', roles=['manager', 'member', 'reader'], is_admin=False)
        # The first release has no manager of a project yet.
        self.assertEqual(409 if compat.nova_release()[0] > 31 else 403, self.cancel('running'))
        self.assertEqual([], self.asked)

    def test_cancel_without_a_right(self):
        self.context = nova_context.RequestContext('u', 'p', roles=['reader'], is_admin=False)
        self.assertEqual(403, self.cancel('running'))
        self.assertEqual([], self.asked)

    def test_complete_that_nova_accepts(self):
        self.assertEqual(202, self.complete('running'))
        self.assertEqual(['force_complete'], self.actions())

    @ddt.data('accepted', 'queued', 'preparing', 'running (post-copy)')
    def test_complete_that_nova_refuses_for_the_state(self, status):
        self.assertEqual(202, self.complete(status))
        self.assertEqual(['force_complete'], self.actions())

    @ddt.data('2.1', '2.21')
    def test_complete_in_a_version_that_has_none(self, version):
        self.assertEqual(404, self.complete('running', version))
        self.assertEqual([], self.asked)

    def test_novas_own_reading(self):
        self.record.updated_at = None
        for name in ('memory', 'disk'):
            for part in ('total', 'processed', 'remaining'):
                setattr(self.record, f'{name}_{part}', None)
        self.record.source_node = self.record.dest_node = self.record.dest_host = None
        self.record.user_id = self.record.project_id = 'x'
        answer = self.send('GET', PATH)
        self.assertEqual((200, 5), (answer.status_int, answer.json['migration']['id']))
        self.assertEqual([], self.asked)

    def migrate(self, body):
        calls = []
        with mock.patch('nova.compute.api.API.live_migrate', autospec=True,
                        side_effect=lambda *args, **kwargs: calls.append((args, kwargs))):
            answer = self.send('POST', f'/servers/{base.UUID}/action', {'os-migrateLive': {
                'host': None, 'block_migration': 'auto', **body}})
        return answer.status_int, calls

    def test_policy_of_a_request_is_kept_under_its_id_and_stripped(self):
        code, [(args, _)] = self.migrate({'migpolicy': {'timeout_seconds': 60}})
        self.assertEqual(202, code)
        self.assertEqual([('hold_request', {
            'server': base.UUID, 'request_id': args[1].request_id,
            'values': {'timeout_seconds': 60}}, args[1].request_id)], self.asked)

    def test_nova_would_refuse_our_key(self):
        self.assertEqual((400, []), self.migrate({'migpolicy_': {'timeout_seconds': 60}}))
        self.assertEqual([], self.asked)

    def test_nova_refuses_the_rest(self):
        self.assertEqual((400, []), self.migrate({'migpolicy': {'timeout_seconds': 60},
                                                  'disk_over_commit': 7}))
        self.assertEqual(['hold_request', 'drop_request'], [one[0] for one in self.asked])

    def cells(self, answers):
        """Let three cells have a host each, of which one's database does not answer.

        :param answers: by method of the channel
        """
        uuids = [objects.CellMapping.CELL0_UUID, *(
            f'{number}0000000-2222-3333-4444-555555555555' for number in range(3))]
        self.useFixture(fixtures.MonkeyPatch('nova.context.CELLS', [objects.CellMapping(
            self.context, uuid=uuid, name='c', transport_url='fake:///', disabled=False,
            database_connection='sqlite://') for uuid in uuids]))
        now = datetime.datetime.now(datetime.timezone.utc)

        def services(context, binary, include_disabled=False):
            self.assertEqual(('nova-compute', True), (binary, include_disabled))
            if context.cell_uuid == uuids[3]:
                raise ValueError('no database')
            return [objects.Service(context, host=f'n{uuids.index(context.cell_uuid)}',
                                    binary=binary, topic='compute', forced_down=False,
                                    created_at=now, updated_at=now, last_seen_up=now)]

        self.useFixture(fixtures.MockPatch(
            'nova.objects.ServiceList.get_by_binary', side_effect=services))
        self.useFixture(fixtures.MockPatch(
            'nova.objects.HostMapping.get_by_host',
            side_effect=lambda context, host: objects.HostMapping(context, host=host)))
        asked = {}

        def ask(channel, context, host, method, **arguments):
            protocol.METHODS[method].check_names(arguments)
            asked[host] = method, context.cell_uuid, context.user_id
            return 200, answers[method]

        self.useFixture(fixtures.MockPatchObject(client.Channel, 'ask', ask))
        return asked, uuids

    def denied(self, *requests):
        self.context = nova_context.RequestContext(
            'u', 'p', roles=['manager', 'member', 'reader'], is_admin=False)
        for method, path in requests:
            self.assertEqual(403, self.send(method, path, {} if method == 'PUT' else None
                                            ).status_int)

    def test_all_hosts_are_asked_each_in_its_own_cell(self):
        asked, uuids = self.cells({
            'undecided': {'migrations': [], 'unused': [], 'left_out': 0}})
        answer = self.send('GET', '/os-migrations/recovery')
        self.assertEqual(200, answer.status_int, answer.body)
        self.assertEqual({'n1': ('undecided', uuids[1], 'u'), 'n2': ('undecided', uuids[2], 'u')},
                         asked)
        self.assertEqual([None], [one['host'] for one in answer.json['incomplete']])
        self.denied(('GET', '/os-migrations/recovery'), ('GET', f'{PATH}/recovery'))

    def test_slots_of_all_hosts_and_of_one(self):
        empty = {'limit': 2, 'used': 0, 'waiting': 0, 'oldest_wait_s': None, 'holders': [],
                 'queue': [], 'left_out': 0}
        asked, uuids = self.cells({
            'capacity': {'max_concurrent_live_migrations': 1, 'outgoing': empty,
                         'incoming': empty},
            'set_capacity': {'before': {'max_incoming': 2}, 'now': {'max_incoming': 3},
                             'max_concurrent_live_migrations': 1}})
        answer = self.send('GET', CAPACITY)
        self.assertEqual(200, answer.status_int, answer.body)
        self.assertEqual(['n1', 'n2'], [one['host'] for one in answer.json['capacity']])
        self.assertEqual([None], [one['host'] for one in answer.json['incomplete']])
        self.assertEqual('capacity', asked['n1'][0])
        # The last one is in the cell whose database does not answer.
        for host, code in (('n2', 200), ('n3', 503)):
            self.assertEqual(code, self.send('GET', f'{CAPACITY}/{host}').status_int)
        answer = self.send('PUT', f'{CAPACITY}/n1', {'capacity': {'max_incoming': 3}})
        self.assertEqual((200, {'max_incoming': 3}),
                         (answer.status_int, answer.json['capacity']['now']))
        self.assertEqual(('set_capacity', uuids[1], 'u'), asked['n1'])
        self.denied(('GET', CAPACITY), ('GET', f'{CAPACITY}/n1'), ('PUT', f'{CAPACITY}/n1'))
