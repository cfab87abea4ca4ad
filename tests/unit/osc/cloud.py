# SPDX-License-Identifier: Apache-2.0
"""A keystone and a Nova that answer what a test tells them to, and the true `openstack` on top.

Nothing listens on a network: requests-mock stands in for it, below keystoneauth.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import io
import json
import os
from typing import Any
from unittest import mock
from urllib import parse

from keystoneauth1 import fixture as ksa_fixture
from openstackclient import shell
import requests_mock
from requests_mock.contrib import fixture as mock_fixture
import testtools

from nova_migpolicy.osc import launch
from nova_migpolicy.osc.watching import polling

SERVER = '4bc2b32e-ceaa-4975-80d4-e1a4e004af9f'
OTHER = '98663977-2512-450a-b50c-34e364ca1f13'
OURS = {'OpenStack-API-Version': 'compute 2.90, migration-policy 1.0'}
NOVA = 'http://nova.test/v2.1'
KEYSTONE = 'http://keystone.test/v3'
MIB = 1 << 20


class Answer(Exception):
    """What a path answers: a status, a body (JSON, or a text), and headers."""

    def __init__(self, status: int, body: Any = None, headers: Any = None) -> None:
        self.status, self.body, self.headers = status, body, headers
        super().__init__(status)


def migration(number: int = 7, status: str = 'running', server: str = SERVER) -> dict[str, Any]:
    """Return a row of Nova's list of migrations."""
    return {'id': number, 'uuid': f'00000000-0000-4000-8000-{number:012}', 'status': status,
            'instance_uuid': server, 'source_compute': 'n1', 'dest_compute': 'n2',
            'migration_type': 'live-migration'}


def progress(**facts: Any) -> dict[str, Any]:
    """Return the plugin's progress of a migration in its third pass."""
    return {'progress': {
        'server_id': SERVER, 'migration_id': 7,
        'migration_uuid': '00000000-0000-4000-8000-000000000007', 'status': 'running',
        'source_host': 'n1', 'destination_host': 'n2', 'phase': 'passes', 'percent': 41.4,
        'age_seconds': 0.1, 'started_at': '2026-11-20T15:44:32.906+00:00',
        'elapsed_seconds': 12.5,
        'memory': {'total_bytes': 256 * MIB, 'processed_bytes': 400 * MIB,
                   'remaining_bytes': 96 * MIB},
        'disk': {'total_bytes': 1024 * MIB, 'processed_bytes': 1024 * MIB, 'remaining_bytes': 0},
        'bandwidth_mib_s': 49.6, 'dirty_mib_s': 26.0, 'throttle_percent': None, 'pass_number': 3,
        'settings': {'bandwidth_mib_s': 50, 'max_downtime_ms': 500, 'qemu_limit_ms': 500,
                     'max_throttle_percent': 60},
        'held': [], 'expected_blackout_ms': 340, 'converges': True,
        'eta_seconds': {'low': 12.0, 'expected': 20.0, 'high': 30.0},
        'deadline_at': '2026-11-20T15:54:32.906+00:00', 'deadline_in_seconds': 250.0,
        'makes_deadline': True, 'last_decision': None, 'waits_for': None, 'outcome': None,
        'reason': None, 'final': None, **facts}}


def done(outcome: str = 'completed', status: str = 'completed', **facts: Any) -> dict[str, Any]:
    """Return the progress of one that has ended."""
    return progress(phase='done', outcome=outcome, status=status, eta_seconds=None, **{
        'final': {'total_seconds': 31.4, 'downtime_ms': 286, 'memory_sent_bytes': 500 * MIB,
                  'disk_sent_bytes': MIB, 'passes': 4}, **facts})


def record(number: int, kind: str = 'decision', **facts: Any) -> dict[str, Any]:
    """Return a record of a timeline."""
    facts = facts or {'rule': 'raise_bandwidth', 'reason': 'it would not finish', 'actions': []}
    return {'number': number, 'at': 8.2, 'time': '2026-11-20T15:44:41.084+00:00', 'kind': kind,
            **facts}


class CloudTest(testtools.TestCase):
    """A test of commands. `answers` maps 'METHOD /path' to what is answered, one after the other.

    The last answer is repeated; a function is called with the request.
    """

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[Any] = []
        self.answers: dict[str, list[Any]] = {
            f'GET /servers/{SERVER}': [{'server': {'id': SERVER, 'name': 'db-1'}}],
            'GET /servers': [self._named],
            'GET /os-migrations': [{'migrations': [migration()]}],
        }
        self._mock = self.useFixture(mock_fixture.Fixture())
        self._mock.register_uri(requests_mock.ANY, requests_mock.ANY, content=self._nova)
        self._keystone()
        self.newest('2.104')
        clean = {name: value for name, value in os.environ.items() if not name.startswith('OS_')}
        self._patch(mock.patch.dict(os.environ, {
            **clean, 'COLUMNS': '100', 'TZ': 'UTC', 'TERM': 'dumb'}, clear=True))

    def plugin(self, path: str, *bodies: Any, method: str = 'GET') -> None:
        """Let the plugin answer something about migration 7."""
        self.answers[f'{method} /servers/{SERVER}/migrations/7/{path}'] = [
            one if isinstance(one, BaseException) or callable(one) else Answer(200, one, OURS)
            for one in bodies]

    def hurry(self) -> None:
        """Let nothing wait, whoever asks again and again."""
        for module, name in ((polling, 'EVERY_S'), (polling, 'WAITING_EVERY_S'),
                             (launch, 'LOOK_EVERY_S'), (launch, 'PACE_S')):
            self._patch(mock.patch.object(module, name, 0.0))
        self._patch(mock.patch.object(polling, 'REQUESTS_PER_S', 1e9))

    def newest(self, version: str) -> None:
        """Say which microversion is the newest that Nova has."""
        self._mock.register_uri('GET', NOVA, json={'version': {
            'id': 'v2.1', 'status': 'CURRENT', 'version': version, 'min_version': '2.1',
            'links': [{'rel': 'self', 'href': f'{NOVA}/'}]}})

    def openstack(self, *words: str, err: Any = None) -> tuple[int, str, str]:
        """Run a command; returns its exit status and what it wrote to both outputs."""
        out, err = io.StringIO(), err or io.StringIO()
        argv = ['--os-auth-type', 'password', '--os-auth-url', KEYSTONE, '--os-username', 'admin',
                '--os-password', 'x', '--os-project-name', 'admin', '--os-user-domain-id',
                'default', '--os-project-domain-id', 'default', *words]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = shell.OpenStackShell().run(argv)
            except SystemExit as stopped:
                status = int(stopped.code or 0)
        self.addDetail(f'output {len(self.getDetails())}',
                       testtools.content.text_content(out.getvalue() + err.getvalue()))
        self.assertNotIn('Traceback', out.getvalue() + err.getvalue())
        return status, out.getvalue(), err.getvalue()

    def ok(self, *words: str) -> str:
        """Run a command that must succeed; returns its standard output."""
        status, out, err = self.openstack(*words)
        self.assertEqual((0, ''), (status, err))
        return out

    def json(self, *words: str) -> Any:
        """Run a command that must succeed with -f json; returns what it showed."""
        return json.loads(self.ok(*words, '-f', 'json'))

    def sent(self, method: str, end: str) -> list[Any]:
        """Return the requests to a path, by its end."""
        return [one for one in self.requests
                if one.method == method and parse.urlsplit(one.url).path.endswith(end)]

    def _patch(self, patch: Any) -> None:
        patch.start()
        self.addCleanup(patch.stop)

    def _keystone(self) -> None:
        token = ksa_fixture.V3Token(user_name='admin', project_name='admin')
        token.set_project_scope(id='p1', name='admin')
        token.add_role(name='admin')
        token.add_service('compute', name='nova').add_standard_endpoints(
            public=NOVA, region='RegionOne')
        token.add_service('identity', name='keystone').add_standard_endpoints(
            public=KEYSTONE, region='RegionOne')
        versions = ksa_fixture.DiscoveryList(KEYSTONE.removesuffix('/v3'), v2=False)
        self._mock.register_uri('GET', KEYSTONE.removesuffix('/v3'), json=versions,
                                status_code=300)
        self._mock.register_uri('GET', KEYSTONE, json={
            'version': ksa_fixture.V3Discovery(KEYSTONE)})
        self._mock.register_uri('POST', f'{KEYSTONE}/auth/tokens', json=token,
                                headers={'X-Subject-Token': 'secret'})

    def _named(self, request: Any) -> Any:
        wanted = parse.parse_qs(parse.urlsplit(request.url).query).get('name', [''])[0]
        return {'servers': [{'id': SERVER, 'name': 'db-1'}] if wanted in 'db-1' else []}

    def _nova(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        path = parse.urlsplit(request.url).path.removeprefix('/v2.1')
        answers = self.answers.get(f'{request.method} {path}')
        answer: Any = Answer(404, {'itemNotFound': {'code': 404, 'message': 'not routed'}})
        if answers:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = _call(answer, request)
        if isinstance(answer, BaseException) and not isinstance(answer, Answer):
            raise answer
        if not isinstance(answer, Answer):
            answer = Answer(200, answer)
        context.status_code = answer.status
        context.headers.update(answer.headers or {})
        return _raw(answer.body)


def _call(answer: Callable[[Any], Any], request: Any) -> Any:
    try:
        return answer(request)
    except Answer as raised:
        return raised


def _raw(body: Any) -> bytes:
    if body is None:
        return b''
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
