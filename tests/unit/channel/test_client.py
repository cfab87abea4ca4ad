# SPDX-License-Identifier: Apache-2.0
"""Asking a source host: over a real transport in memory, and over one that fails."""

import dataclasses
import threading
from unittest import mock

import ddt
import fixtures
from nova import context as nova_context
from nova import rpc
import oslo_messaging as messaging
import testtools

from nova_migpolicy.channel import client
from nova_migpolicy.channel import protocol
from tests.unit.api import fakes

PROGRESS = protocol.METHODS['progress']


class Plugin:
    """What answers on a host, as `channel.server` does."""

    target = messaging.Target(namespace='migpolicy', version='1.0')

    def __init__(self, answer):
        self._answer = answer
        self.asked = []

    def ping(self, ctxt):
        return {'status': 200, 'body': {}}

    def progress(self, ctxt, server, migration):
        self.asked.append((ctxt.request_id, server, migration))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class BusyPlugin(Plugin):
    """One that is waiting for something."""

    def __init__(self):
        super().__init__(None)
        self.is_over = threading.Event()

    def progress(self, ctxt, server, migration):
        self.is_over.wait()


class NewerPlugin(Plugin):
    """One that does not speak our version any more."""

    target = messaging.Target(namespace='migpolicy', version='2.0')


class Compute:
    """nova-compute itself."""

    target = messaging.Target(namespace='baseapi', version='1.1')

    def ping(self, context, arg):
        return {'service': 'compute', 'arg': arg}


@ddt.ddt
class TestChannel(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.useFixture(fakes.NovaConf(self.id()))
        self.log = self.useFixture(fixtures.FakeLogger())
        self.context = nova_context.RequestContext('u', 'p', is_admin=True)
        self.channel = client.Channel()

    def serve(self, topic, endpoint, host='n1'):
        server = messaging.get_rpc_server(
            rpc.TRANSPORT, messaging.Target(topic=topic, server=host), [endpoint],
            executor='threading', serializer=rpc.RequestContextSerializer(None))
        server.start()
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)
        return endpoint

    def ask(self, method='progress', host='n1', **arguments):
        return self.channel.ask(self.context, host, method,
                                **(arguments or {'server': 's', 'migration': 'm'}))

    def refused(self, code, words, kind=client.Unreachable, **kwargs):
        error = self.assertRaises(client.Refused, self.ask, **kwargs)
        self.assertEqual((kind, code), (type(error), error.status))
        self.assertIn(words, error.message)

    def answered(self, answer):
        """Let the bus bring this, whatever is asked."""
        self.useFixture(fixtures.MockPatchObject(
            rpc.TRANSPORT._driver, 'send', return_value=answer))

    def impatient(self):
        short = dataclasses.replace(PROGRESS, patience=protocol.Patience(0.05, 5))
        self.useFixture(fixtures.MockPatchObject(
            protocol, 'METHODS', {**protocol.METHODS, 'progress': short}))

    def test_the_very_host_is_asked(self):
        other = self.serve('migpolicy', Plugin({'status': 200, 'body': {}}), 'n2')
        asked = self.serve('migpolicy', Plugin({'status': 200, 'body': {'phase': 'passes'}}))
        self.assertEqual((200, {'phase': 'passes'}), self.ask())
        self.assertEqual([(self.context.request_id, 's', 'm')], asked.asked)
        self.assertEqual([], other.asked)

    @ddt.data((202, {'a': 1}, {'a': 1}), (200, None, None), (200, 'text', None))
    @ddt.unpack
    def test_status_and_body(self, status, body, found):
        self.answered({'status': status, 'body': body})
        self.assertEqual((status, found), self.ask())

    @ddt.data((400, 400), (404, 404), (409, 409), (503, 503), (500, 503), (302, 503))
    @ddt.unpack
    def test_refusals_are_passed_on(self, status, code):
        self.answered({'status': status, 'message': 'not in the phase disks'})
        self.refused(code, 'not in the phase disks', client.Refused)

    @ddt.data(None, 'text', {}, {'status': '200'}, {'status': True})
    def test_answers_in_another_form(self, answer):
        self.answered(answer)
        self.refused(409, 'is of another version', client.OtherVersion)

    def test_another_version(self):
        self.serve('migpolicy', NewerPlugin(None))
        for _ in range(2):
            self.refused(409, 'nova_migpolicy on n1 is of another version than in nova-api',
                         client.OtherVersion)
        # Who asks again and again fills no log.
        self.assertEqual(1, self.log.output.count(
            'n1 is of another version: Endpoint does not support RPC version 1.0'))

    def test_another_method(self):
        self.serve('migpolicy', Plugin(None))
        newer = {**protocol.METHODS, 'of_a_newer_version': PROGRESS}
        self.useFixture(fixtures.MockPatchObject(protocol, 'METHODS', newer))
        self.refused(409, 'another version', client.OtherVersion, method='of_a_newer_version')

    def test_it_fails(self):
        self.serve('migpolicy', Plugin(KeyError('a bug')))
        self.refused(503, 'nova_migpolicy on n1 failed; the log of nova-compute')
        self.assertIn("nova_migpolicy on n1 failed: KeyError: 'a bug'", self.log.output)

    def test_nobody_is_there(self):
        self.impatient()
        self.refused(503, 'nova-compute on n1 did not answer within', client.Off)

    def test_nova_compute_without_the_plugin(self):
        self.impatient()
        self.serve('compute', Compute())
        self.refused(409, 'nova-compute on n1 runs, but nova_migpolicy does not answer there; it '
                          'needs [DEFAULT] compute_driver = migpolicy.LibvirtDriver')

    def test_the_plugin_is_busy(self):
        self.impatient()
        self.serve('compute', Compute())
        busy = self.serve('migpolicy', BusyPlugin())
        self.addCleanup(busy.is_over.set)
        self.refused(503, 'nova_migpolicy on n1 did not answer within 0.05 s, though it runs')

    @ddt.data((messaging.MessageUndeliverable(None, None, None, None), client.Off, 503,
               'nova-compute on n1 did not answer'),
              (messaging.MessageDeliveryFailure('no bus'), client.Unreachable, 503,
               'took no message for n1'),
              (messaging.RPCVersionCapError('1.0', '0.9'), client.OtherVersion, 409,
               'another version'),
              (messaging.RemoteError('NoSuchMethod', 'x', []), client.OtherVersion, 409,
               'another version'),
              (messaging.RemoteError('ValueError', 'x', []), client.Unreachable, 503,
               'failed; the log of'))
    @ddt.unpack
    def test_the_bus_fails(self, error, kind, code, words):
        with mock.patch.object(rpc.TRANSPORT._driver, 'send', side_effect=error):
            self.refused(code, words, kind)

    def test_no_queue_where_nova_compute_runs(self):
        send = rpc.TRANSPORT._driver.send
        undeliverable = messaging.MessageUndeliverable(None, None, None, None)
        self.serve('compute', Compute())

        def only_novas(target, *args, **kwargs):
            if target.topic == 'migpolicy':
                raise undeliverable
            return send(target, *args, **kwargs)

        with mock.patch.object(rpc.TRANSPORT._driver, 'send', only_novas):
            self.refused(409, 'nova-compute on n1 runs, but nova_migpolicy does not answer there')

    def test_whether_it_answers(self):
        self.impatient()
        self.assertFalse(self.channel.answers(self.context, 'n1'))
        self.serve('migpolicy', Plugin(None))
        self.assertTrue(self.channel.answers(self.context, 'n1'))

    def test_all_waits_leave_room_in_two_seconds(self):
        answer_s, ping_s = PROGRESS.patience
        self.assertLessEqual(answer_s + 2 * ping_s, 1.8)
        self.assertGreater(answer_s, 1.2)

    def test_what_needs_the_database_is_given_longer(self):
        with mock.patch.object(rpc.TRANSPORT._driver, 'send',
                               return_value={'status': 200}) as send:
            self.ask('hold_request', server='s', request_id='r', values={})
        self.assertEqual(6.0, send.call_args.kwargs['timeout'])

    def test_what_is_not_in_the_protocol_is_not_sent(self):
        for method, arguments in (('progress', {'server': 's'}), ('drop_request', {}),
                                  ('act', {'server': 's', 'migration': 'm', 'command': 'pause'})):
            with mock.patch.object(rpc.TRANSPORT._driver, 'send') as send:
                self.assertRaises(TypeError, self.ask, method, **arguments)
                send.assert_not_called()

    def test_message_must_find_a_queue(self):
        with mock.patch.object(rpc.TRANSPORT._driver, 'send',
                               return_value={'status': 200}) as send:
            self.ask()
        options = send.call_args.kwargs
        self.assertTrue(options['transport_options'].at_least_once)
        self.assertEqual((PROGRESS.patience.answer_s, 1), (options['timeout'], options['retry']))

    def test_the_bus_of_the_servers_cell(self):
        other = messaging.get_rpc_transport(fakes.CONF, url='fake://cell2/')
        self.context.mq_connection = other
        with mock.patch.object(other._driver, 'send', return_value={'status': 200}) as send:
            self.assertEqual((200, None), self.ask())
        self.assertEqual('n1', send.call_args.args[0].server)
