# SPDX-License-Identifier: Apache-2.0
"""A Nova of one server and its migrations, a bus that answers as it is told, and a client."""

import copy
import dataclasses
import json
import types

import fixtures
import nova.conf
from nova import objects
from nova import rpc
from oslo_messaging import conffixture
import testtools
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api import filter as filter_mod
from nova_migpolicy.api import lookup as lookup_mod
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import routes
from nova_migpolicy.api import target as target_mod

CONF = nova.conf.CONF
SERVER = '11111111-2222-3333-4444-555555555555'
OTHER = '99999999-2222-3333-4444-555555555555'
RECORD = '33333333-2222-3333-4444-555555555555'
REQUEST = 'req-44444444-2222-3333-4444-555555555555'


class NovaConf(fixtures.Fixture):
    """Nova's configuration at its defaults, and a message bus in memory.

    :param exchange: a name of one's own: what nobody took stays, where another would find it.
    """

    def __init__(self, exchange):
        super().__init__()
        self._exchange = exchange

    def _setUp(self):
        objects.register_all()
        CONF([], project='nova', default_config_files=[], default_config_dirs=[])
        self.addCleanup(CONF.reset)
        self.useFixture(conffixture.ConfFixture(CONF)).transport_url = 'fake:/'
        CONF.set_override('control_exchange', self._exchange)
        rpc.init(CONF)
        self.addCleanup(rpc.cleanup)


class Context:
    """Who asks; Nova's own rules allow what is in `novas`."""

    def __init__(self, project='p', is_admin=True, novas=True):
        self.project_id = project
        self.user_id = 'u'
        self.is_admin = is_admin
        self.request_id = REQUEST
        self._novas = novas

    def can(self, rule, target=None, fatal=True):
        return self._novas


def migration(number=5, status='running', source='n1', destination='n2', server=SERVER):
    return types.SimpleNamespace(
        id=number, uuid=RECORD, status=status, source_compute=source, created_at=number,
        dest_compute=destination, source_node=f'{source}.node', dest_node=f'{destination}.node',
        dest_host='10.0.0.2', instance_uuid=server, is_live_migration=True,
        memory_total=100, memory_processed=40, memory_remaining=60,
        disk_total=None, disk_processed=None, disk_remaining=None)


class Lookup:
    """Nova's database."""

    def __init__(self):
        self.found = types.SimpleNamespace(
            uuid=SERVER, project_id='p', user_id='u', host='n1', locked=False)
        self.migrations = [migration()]
        self.down = set()
        self.hosts = ['n1', 'n2']
        self.silent_cells = 0

    def own(self, context):
        return copy.copy(context)

    def server(self, context, server_id):
        if server_id != SERVER:
            raise errors.Refusal(404, 'no such server')
        return self.found

    def migration(self, context, server, migration_id):
        for one in self.migrations:
            if str(one.id) == migration_id:
                return one
        raise errors.Refusal(404, 'no such migration')

    def under_way(self, context, host):
        return list(self.migrations)

    def projects(self, context, server_ids):
        return {SERVER: 'p', OTHER: 'q'}

    def check_host(self, context, host):
        if host not in ('n1', 'n2'):
            raise errors.Refusal(404, 'no such host')

    def computes(self, context):
        return [lookup_mod.Compute(host, context, None) for host in self.hosts], self.silent_cells

    def is_up(self, compute):
        return compute.host not in self.down

    def check_up(self, context, host):
        if host in self.down:
            raise errors.Unreachable(503, f'{host} is down')


class Channel:
    """The source hosts: what was asked, and what they answer by method."""

    def __init__(self):
        self.asked = []
        self.answers = {}

    def ask(self, context, host, method, **arguments):
        self.asked.append((host, method, arguments))
        answer = self.answers.get((host, method), self.answers.get(method, (200, {})))
        if isinstance(answer, Exception):
            raise answer
        return answer


class Rbac:
    """The rules; what is in `denied` is not allowed."""

    def __init__(self):
        self.checked = []
        self.denied = set()

    def check(self, context, rule, project_id):
        self.checked.append((rule, project_id))
        if rule in self.denied:
            raise errors.Refusal(403, f'not {rule}')

    def allows(self, context, rule, project_id):
        return rule not in self.denied


class Nova:
    """The rest of the pipeline: notes what reaches it, and answers as it is told."""

    def __init__(self):
        self.seen = []
        self.status = 202
        self.body = b''
        self.headers = {'OpenStack-API-Version': 'compute 2.90', 'Vary': 'OpenStack-API-Version'}

    def __call__(self, environ, start_response):
        request = webob.Request(environ)
        self.seen.append((request.method, environ['PATH_INFO'], request.body,
                          request.headers.get('OpenStack-API-Version')))
        answer = webob.Response(status=self.status, body=self.body, headers=self.headers)
        return answer(environ, start_response)


@dataclasses.dataclass
class Answer:
    """What the client got."""

    code: int
    body: object
    headers: object

    @property
    def message(self):
        [fault] = self.body.values()
        assert fault['code'] == self.code
        return fault['message']


class ApiCase(testtools.TestCase):
    """A test of the filter with all around it faked."""

    def setUp(self):
        super().setUp()
        self.lookup, self.channel, self.rbac = Lookup(), Channel(), Rbac()
        self.nova = Nova()
        self.context = Context()
        ours = routes.Application(
            self.nova, target_mod.Services(self.lookup, self.rbac, self.channel))
        self.app = filter_mod.Filter(ours, self.nova)
        self.base = f'/servers/{SERVER}/migrations/5'

    def call(self, method, path, body=None, *, raw=None, headers=None, environ=None):
        """Send a request; `body` as JSON, or `raw` bytes."""
        request = webob.Request.blank(path, method=method, base_url='http://nova/v2.1')
        if body is not None or raw is not None:
            request.body = json.dumps(body).encode() if raw is None else raw
            request.content_type = 'application/json'
        request.headers.update(headers or {})
        request.environ['nova.context'] = self.context
        request.environ.update(environ or {})
        response = request.get_response(self.app)
        text = response.body
        return Answer(response.status_int, json.loads(text) if text else None, response.headers)

    def refused(self, code, words, *args, **kwargs):
        """Send a request that is refused, in Nova's form, with these words in the reason."""
        answer = self.call(*args, **kwargs)
        self.assertEqual(code, answer.code, answer)
        self.assertIn(words, answer.message)
        return answer


RULES = frozenset(rule.name for rule in rbac_mod.list_rules())
