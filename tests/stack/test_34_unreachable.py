# SPDX-License-Identifier: Apache-2.0
"""Source hosts that cannot be asked: each answer comes soon, and says what is the matter."""

from __future__ import annotations

import pathlib
import sys

import amqp
from testtools import content

from lab import client as lab_client
from lab.openstack import layout
from lab.openstack import network
from tests.stack import base

# An answer that comes by the timeout of a call over the bus, a minute, fails by this one.
SOON_S = 10
POLICY = {'os-migrateLive': {
    'host': None, 'block_migration': 'auto', 'migpolicy': {'timeout_seconds': 600}}}


class UnreachableTest(base.StackTest):
    """Each of them for a migration that is over, whose journal is on n1, where its server is."""

    def setUp(self):
        super().setUp()
        self.server = self.boot(host='n1')
        self.record = self.migrate(self.server)['id']
        self.migrate(self.server)

    def answers(self):
        """Ask it all that a source host is asked; the codes and texts of the answers."""
        path = f'/servers/{self.server}/migrations/{self.record}'
        seconds = []
        for method, where, body in (
                ('GET', f'{path}/policy', None), ('GET', f'{path}/progress', None),
                ('GET', f'{path}/timeline', None),
                ('PUT', f'{path}/tuning', {'tuning': {'bandwidth_mib_s': 5}}),
                ('POST', f'{path}/action', {'pause': None}),
                ('POST', f'/servers/{self.server}/action', POLICY)):
            answer = self.admin.answer(method, where, timeout=SOON_S,
                                       **({} if body is None else {'json': body}))
            seconds.append(round(answer.elapsed.total_seconds(), 2))
            fault, = answer.json().values()
            yield answer.status_code, fault['message']
        self.addDetail('seconds', content.text_content(str(seconds)))

    def assert_all(self, code, words):
        answers = list(self.answers())
        self.assertEqual([code] * 6, [found for found, _ in answers], answers)
        for _, message in answers:
            self.assertIn(words, message)
        # None of it has started anything.
        self.assertIsNone(self.admin.progress(self.server))

    def stock_on_n1(self):
        self.addCleanup(self.stack.restart, ['n1'])
        self.addCleanup(self.stack.configure, self.stack.nova_conf, ['n1'], driver='migpolicy')
        self.stack.configure(self.stack.nova_conf, ['n1'], driver='stock')
        self.stack.restart(['n1'])

    def forget_queue(self):
        """Let the bus forget that there was a plugin on n1, as a restart of it would."""
        with network.entered(self.stack.hosts.ctl.pid):
            connection = amqp.Connection(host=f'{layout.CONTROLLER}:5672', userid='guest',
                                         password='guest')
            connection.connect()
        with connection:
            connection.channel().queue_delete('migpolicy.n1')

    def test_nova_compute_is_killed(self):
        self.addCleanup(self.stack.restart, ['n1'])
        self.stack.kill_compute('n1')
        self.assert_all(503, 'nova-compute on n1 did not answer within')

    def test_nova_compute_is_known_to_be_down(self):
        service, = (one['id'] for one in self.admin.services()
                    if (one['binary'], one['host']) == ('nova-compute', 'n1'))
        self.addCleanup(self.stack.wait_computes)
        self.addCleanup(self.admin.compute, 'PUT', f'/os-services/{service}',
                        json={'forced_down': False})
        self.admin.compute('PUT', f'/os-services/{service}', json={'forced_down': True})
        self.assert_all(503, 'nova-compute on n1 is down')

    def test_no_plugin(self):
        self.stock_on_n1()
        # Once while its queue from before is still there, and once without.
        self.assert_all(409, 'nova-compute on n1 runs, but nova_migpolicy does not answer there')
        self.forget_queue()
        self.assert_all(409, 'nova-compute on n1 runs, but nova_migpolicy does not answer there')
        # Nova's own ways are as they were.
        migration = self.admin.live_migrate(self.server)
        self.admin.wait_migration(self.server, migration)
        self.admin.wait_server(self.server)
        self.assertEqual('n2', self.admin.host(self.server))

    def test_another_version(self):
        self.stock_on_n1()
        other = self.stack.hosts.ctl.spawn(
            [sys.executable, str(pathlib.Path(__file__).with_name('other_version.py')), 'n1'],
            self.stack.where.log / 'other-version.out', cwd=str(base.WORK.parent), env={
                **self.stack.where.environment(), 'PYTHONPATH': str(base.WORK.parent)})
        self.addCleanup(other.kill)
        out = self.stack.where.log / 'other-version.out'
        lab_client.wait(out.read_text, lambda text: 'listening' in text, 30, 'it to listen')
        self.assert_all(409, 'nova_migpolicy on n1 is of another version than in nova-api')
