# SPDX-License-Identifier: Apache-2.0
"""Source hosts that cannot be asked: each answer comes soon, and says what is the matter."""

from __future__ import annotations

import functools
import pathlib
import sys

import amqp

from lab import client as lab_client
from lab.openstack import layout
from lab.openstack import network
from lab import workdir
from tests.stack.support import base

# An answer that comes by the timeout of a call over the bus, a minute, fails by this one.
SOON_S = 10
BUSY, BUSY_S = 503, 30.0
POLICY = {'os-migrateLive': {
    'host': None, 'block_migration': 'auto', 'migpolicy': {'timeout_seconds': 600}}}


class UnreachableTest(base.StackTest):
    """All of them one after the other, since what takes the time is starting nova-compute."""

    seconds = 60

    def answers(self, calls, code):
        """Ask what a source host is asked; the codes and texts of the answers.

        A busy machine may keep a host from answering in time: then it is asked again, unless that
        is what is to be seen.
        """
        path = f'/servers/{self.server}/migrations/{self.record}'
        for method, where, body in (
                ('GET', f'{path}/progress', None),
                ('POST', f'/servers/{self.server}/action', POLICY),
                ('GET', f'{path}/policy', None), ('GET', f'{path}/timeline', None),
                ('PUT', f'{path}/tuning', {'tuning': {'bandwidth_mib_s': 5}}),
                ('POST', f'{path}/action', {'pause': None}))[:calls]:
            answer = lab_client.wait(
                functools.partial(self.admin.answer, method, where, timeout=SOON_S,
                                  **({} if body is None else {'json': body})),
                lambda found: code == BUSY or found.status_code != BUSY, BUSY_S,
                'an answer of a host that is not too busy')
            fault, = answer.json().values()
            yield answer.status_code, fault['message']

    def assert_all(self, code, words, calls=6):
        """Each of the first calls is answered so; fewer where each answer takes a while."""
        answers = list(self.answers(calls, code))
        self.assertEqual([code] * calls, [found for found, _ in answers], answers)
        for _, message in answers:
            self.assertIn(words, message)
        # None of it has started anything.
        self.assertIsNone(self.admin.progress(self.server))

    def force_down(self, down):
        service, = (one['id'] for one in self.admin.services()
                    if (one['binary'], one['host']) == ('nova-compute', 'n1'))
        self.admin.compute('PUT', f'/os-services/{service}', json={'forced_down': down})

    def forget_queue(self):
        """Let the bus forget that there was a plugin on n1, as a restart of it would."""
        with network.entered(self.stack.hosts.ctl.pid):
            connection = amqp.Connection(host=f'{layout.CONTROLLER}:5672', userid='guest',
                                         password='guest')
            connection.connect()
        with connection:
            connection.channel().queue_delete('migpolicy.n1')

    def other_version(self):
        """Put a plugin of another version in the place of n1's."""
        out = self.stack.where.log / 'other-version.out'
        root = str(workdir.DEFAULT.parent)
        program = str(pathlib.Path(__file__).parent / 'support/other_version.py')
        other = self.stack.hosts.ctl.spawn(
            [sys.executable, program, 'n1'], out, cwd=root,
            env={**self.stack.where.environment(), 'PYTHONPATH': root})
        self.addCleanup(other.kill)
        lab_client.wait(out.read_text, lambda text: 'listening' in text, 30, 'it to listen')

    def test_each_way_of_not_answering(self):
        # A migration that is over, whose journal is on n1, where its server is again.
        self.server = self.boot(host='n1')
        self.record = self.migrate(self.server)['id']
        self.migrate(self.server)
        self.addCleanup(self.stack.restart, ['n1'])
        self.addCleanup(self.stack.configure, self.stack.nova_conf, ['n1'], driver='migpolicy')
        self.addCleanup(self.force_down, False)

        self.force_down(True)
        self.assert_all(503, 'nova-compute on n1 is down')
        self.force_down(False)
        self.stack.kill_compute('n1')
        self.assert_all(503, 'nova-compute on n1 did not answer within', calls=2)

        self.stack.configure(self.stack.nova_conf, ['n1'], driver='stock')
        self.stack.restart(['n1'])
        # Once while its queue from before is still there, and once without.
        without = 'nova-compute on n1 runs, but nova_migpolicy does not answer there'
        self.assert_all(409, without, calls=2)
        self.forget_queue()
        self.assert_all(409, without)
        self.other_version()
        self.assert_all(409, 'nova_migpolicy on n1 is of another version than in nova-api')
        # Nova's own ways are as they were.
        self.migrate(self.server)
        self.assertEqual('n2', self.admin.host(self.server))
