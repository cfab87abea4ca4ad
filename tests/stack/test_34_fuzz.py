# SPDX-License-Identifier: Apache-2.0
"""Hostile requests to each path of the API, and hostile calls over the message bus.

Nothing of it makes an error 5xx or a traceback, each refusal has Nova's form, and a migration that
is not the caller's goes on as if nothing had happened. The requests are the same in each run;
MIGPOLICY_FUZZ_EXAMPLES makes more of them and MIGPOLICY_FUZZ_SEED, a number, others.
"""

from __future__ import annotations

import collections
import gzip
import os
import sys

import hypothesis

from lab import client as lab_client
from lab.openstack import catalog
from lab.openstack import layout
from tests.stack.support import hostile
from tests.stack.support import hostile_bus
from tests.stack.support import steering
from tests.stack.support import verdict
from tests.stack.support import wire
from tests.stack.support import world as world_mod

EXAMPLES = int(os.environ.get('MIGPOLICY_FUZZ_EXAMPLES', '150'))
SEED = os.environ.get('MIGPOLICY_FUZZ_SEED')
BUSY_S = 60.0
ALL = ('victim', 'mine', 'own', 'theirs')
_SETTINGS = {'deadline': None, 'database': None, 'print_blob': True,
             'derandomize': SEED is None, 'report_multiple_bugs': False,
             'suppress_health_check': list(hypothesis.HealthCheck),
             # What it takes to make an example smaller is not worth it: each is sent as it is.
             'phases': [hypothesis.Phase.explicit, hypothesis.Phase.generate]}


def fuzz(strategy, share=1.0):
    """Call a test with many examples."""
    def decorate(test):
        run = hypothesis.settings(max_examples=max(1, int(EXAMPLES * share)), **_SETTINGS)(
            hypothesis.given(strategy)(test))
        return run if SEED is None else hypothesis.seed(int(SEED))(run)

    return decorate


class FuzzTest(steering.SteeringTest):
    """One after the other, in one world: the victim is the same all the time."""

    # Nobody waits for a slot here.
    nova_conf = {**steering.SteeringTest.nova_conf, 'migpolicy': {
        **steering.SteeringTest.nova_conf['migpolicy'], 'max_outgoing': 0, 'max_incoming': 0}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world = world_mod.World(cls.stack)
        cls.addClassCleanup(cls.world.close)
        cls.world.open()
        cls.controller = cls.stack.hosts.ctl.pid
        cls.tokens = {user: cls.stack.client(user).token.encode() for user in layout.USERS}
        cls.tokens |= {'nobody': None, 'garbage': b'gAAAAABn' + b'x' * 180,
                       'revoked': cls.revoked()}

    @classmethod
    def revoked(cls):
        token = catalog.session(cls.controller, 'manager').get_token()
        catalog.session(cls.controller).delete(
            f'{layout.AUTH_URL}/auth/tokens', headers={'X-Subject-Token': token})
        return token.encode()

    def setUp(self):
        super().setUp()
        self.statuses = collections.Counter()
        self.addCleanup(self.tell)

    def tell(self):
        if 'MIGPOLICY_FUZZ_EXAMPLES' in os.environ:
            sys.stdout.write(f'{self.id()}: {sum(self.statuses.values())} sent, '
                             f'{dict(sorted(self.statuses.items()))}\n')

    def send(self, request):
        """Send a request; its answer has been judged."""
        raw = request.raw(self.world.names, self.tokens[request.user])
        # It does as it is told: who asks in vain for this long has found a fault.
        answer = lab_client.wait(lambda: wire.send(self.controller, raw),
                                 lambda found: not verdict.is_too_busy(found), BUSY_S,
                                 'an answer of a host that is not too busy')
        self.statuses[answer.status] += 1
        news = self.world.news()
        novas = [name for name, trouble in news if verdict.is_novas_own(request, trouble)]
        wrong = verdict.judge(request, answer, novas_own=bool(novas))
        if wrong or len(novas) < len(news):
            self.fail(f'{wrong}: {answer}\n{request}\n{raw!r:.3000}\n' + '\n'.join(
                f'{name}: {trouble.text}' for name, trouble in news))
        return answer

    def assert_untouched(self):
        self.assertEqual({}, self.world.changes())
        self.assertEqual([], self.world.news())

    def fuzz(self, user, servers, share, kinds=tuple(hostile.KINDS)):
        """Send requests of a user."""
        @fuzz(hostile.requests(user, servers, kinds), share)
        def run(request):
            answer = self.send(request)
            if user not in ('admin', 'manager') and request.method != 'OPTIONS':
                # Nothing to see and nothing to do for them; 300 names the versions there are.
                self.assertFalse(200 <= answer.status < 300, f'{request} -> {answer}')
            if user != 'admin' and not verdict.HOSTS.search(repr(request)):
                self.assertIsNone(verdict.HOSTS.search(answer.text), f'{request} -> {answer}')
                self.assertNotIn(self.world.names['victim@'], answer.text)

        run()
        self.assert_untouched()

    def test_without_a_token_that_counts(self):
        for user in ('nobody', 'garbage', 'revoked'):
            self.fuzz(user, ALL, 0.2)
        self.assertLess(0, self.statuses[401])

    def test_reader(self):
        self.fuzz('reader', ALL, 0.7)

    def test_member(self):
        self.fuzz('member', ALL, 0.7)

    def test_stranger(self):
        # With its own server it may do a thing or two.
        self.fuzz('stranger', ALL[:3], 1)

    def test_manager(self):
        # In the queue behind it nothing could happen to the manager's.
        self.world.stop('own')
        self.world.revive('mine')
        self.fuzz('manager', ('mine', 'own', 'theirs'), 1)

    def test_admin_looks(self):
        self.fuzz('admin', ALL, 1.5, kinds=hostile.LOOKING)

    def test_admin_changes(self):
        for kind in hostile.CHANGING:
            self.world.revive('mine')
            self.world.revive('own')
            self.fuzz('admin', ('mine', 'own'), 0.4, kinds=(kind,))

    def test_bus(self):
        """What peers send; commands for others than the victim may well be obeyed."""
        peer = hostile_bus.Peer(self.stack, 'n2')
        self.addCleanup(peer.close)
        self.world.revive('own')

        @fuzz(hostile_bus.calls(), 1)
        def run(call):
            for host in steering.HOSTS:
                found = peer.call(host, *call, self.world.names)
                self.statuses[found.get('status')] += 1
                self.assertEqual([], self.world.news(), call)
                self.assertIn(found.get('status'), (200, 202, 400, 404, 409), (call, found))
                self.assertIn('body' if found['status'] < 400 else 'message', found)

        run()
        self.assert_untouched()

    def one(self, user, method, target, body=b'', headers=()):
        """Send a request that is no example but a thought."""
        headers = (*headers, (b'Content-Type', b'application/json'))
        if not any(name == b'OpenStack-API-Version' for name, _ in headers):
            headers = (*headers, (b'OpenStack-API-Version', b'compute 2.90'))
        return self.send(hostile.Request('', user, method, '/v2.1' + target, headers, body))

    def test_smuggling(self):
        """A policy reaches a migration by no other way than the one that is guarded."""
        plain = b'{"os-migrateLive": {"host": null, "block_migration": "auto"%s}}'
        smuggled = plain % b', "migpolicy": {"max_downtime_ms": 2000000}'
        path = '/servers/<victim>/action'
        bodies = (
            smuggled, smuggled.replace(b'migpolicy', b'm\\u0069gpolicy'),
            smuggled.replace(b'os-m', b'\\u006fs-m'), smuggled[:-1] + b', ' + (plain % b'')[1:],
            (plain % b'')[:-1] + b', ' + smuggled[1:], smuggled.replace(b'migp', b'MigP'),
            smuggled.replace(b'os-m', b'OS-M'), smuggled.decode().encode('utf-16'),
            gzip.compress(smuggled, mtime=0), smuggled.replace(b'{"os', b'{"migpolicy": {}, "os'),
            smuggled[:-1] + b', "os-stop": null}',
        )
        headers = ((), ((b'Transfer-Encoding', b'chunked'),), ((b'Content-Encoding', b'gzip'),),
                   ((b'OpenStack-API-Version', b'migration-policy 1.0'),),
                   ((b'X-Roles', b'admin'), (b'X-Is-Admin-Project', b'True')))
        paths = (path, path + '/', path + '.json', '/' + path, path.replace('/a', '//a'),
                 path.replace('action', '%61ction'), '/<demo>' + path, '/<other>' + path,
                 path.replace('<victim>', '<VICTIM>'), path + '%0a', path + '?migpolicy={}')
        before = self.kept('victim')     # by what peers have sent, it may be
        for user in ('reader', 'member', 'manager', 'stranger'):
            for sent in [*((path, body, ()) for body in bodies),
                         *((path, smuggled, more) for more in headers),
                         *((other, smuggled, ()) for other in paths)]:
                answer = self.one(user, 'POST', *sent)
                # The manager may migrate, and so gets as far as the migration under way.
                self.assertIn(answer.status, (400, 403, 404, 409), (user, sent, answer))
                if user != 'manager':
                    self.assertNotEqual(409, answer.status, (user, sent, answer))
        self.assertEqual(before, self.kept('victim'))
        self.assert_untouched()

    def kept(self, name):
        """The policies of requests that wait for a migration of a server."""
        return [str(path) for host in steering.HOSTS for path in (
            self.stack.state_path(host) / 'migpolicy' / 'requests').glob(
                f'{self.world.names[name]}.*')]

    def test_a_policy_serves_its_own_request_alone(self):
        """Neither what Nova refused nor what somebody says about ids gives it to another."""
        body = (b'{"os-migrateLive": {"host": null, "block_migration": "auto", "migpolicy": '
                b'{"max_downtime_ms": 777}}}')
        ids = ((b'X-Openstack-Request-Id', b'req-00000000-0000-0000-0000-000000000000'),)
        self.world.revive('own')
        self.assertEqual(409, self.one('admin', 'POST', '/servers/<own>/action', body,
                                       ids).status)
        self.assertEqual([], self.kept('own'))
        self.world.stop('own')
        answer = self.one('admin', 'POST', '/servers/<own>/action', body, (
            *ids, (b'OpenStack-API-Version', b'compute 2.1')))
        self.assertEqual(400, answer.status, 'block_migration is no text there')
        self.world.revive('own')
        shown = self.admin.policy(self.world.names['own'], int(self.world.names['own#']))
        self.assertNotIn('request', {one['origin'] for one in shown['fields'].values()})
        self.assertEqual([], self.kept('own'))

    def test_what_was_found(self):
        """Each of these was answered with an error 500, or done, at least once."""
        one, tuning = '/servers/<own>/migrations/<own#>', b'{"tuning": {"bandwidth_mib_s": 10}}'
        self.world.revive('own')
        for status, method, target, body, headers in (
            (400, 'PUT', one + '/tuning', tuning, ((b'Content-Length', b'500'),)),
            (400, 'POST', '/servers/<own>/action', b'{"reboot', ((b'Content-Length', b'500'),)),
            (200, 'GET', one + '/timeline?limit=1', b'', ((b'Host', b'[x'),)),
            (400, 'POST', one + '/action', b'{"force_complete": "x"}', ()),
            (400, 'POST', one + '/action', '{"pause": null}'.encode('utf-16'), ()),
            (400, 'POST', one + '/action', b'[' * 50_000, ()),
            (404, 'POST', '/os-migrations/cancel', b'{"cancel": {"host": "N2"}}', ()),
            (404, 'POST', '/os-migrations/cancel', b'{"cancel": {"host": "n2 "}}', ()),
        ):
            answer = self.one('admin', method, target, body, headers)
            self.assertEqual(status, answer.status, (target, answer))
        found = self.admin.forecast(self.world.names['own'], int(self.world.names['own#']))
        self.assertIsNone(found['outcome'])
        self.assertNotEqual('operator', (found['last_decision'] or {}).get('rule'))

    def test_a_manager_is_told_no_host(self):
        """Nova shows the hosts of a migration to admins alone."""
        self.world.revive('mine')
        for body in (b'{"pause": null}', b'{"post_copy": null}'):
            answer = self.one('manager', 'POST', '/servers/<mine>/migrations/<mine#>/action', body)
            self.assertIn(answer.status, (202, 409), answer)
            self.assertIsNone(verdict.HOSTS.search(answer.text), answer)
