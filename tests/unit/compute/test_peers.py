# SPDX-License-Identifier: Apache-2.0
"""What another host says of a server is taken as it is meant, or not at all."""

from __future__ import annotations

import threading
from unittest import mock

import ddt
import fixtures
from nova import context as nova_context
from nova import rpc
import oslo_messaging as messaging

from nova_migpolicy.channel import client
from nova_migpolicy.channel import protocol
from nova_migpolicy.channel import server
from nova_migpolicy.compute import peers
from nova_migpolicy.monitor import domains
from nova_migpolicy.recovery import evidence
from tests.unit.api import fakes
from tests.unit.compute import controlled

Destination = evidence.Destination
Source = evidence.Source
SERVER = controlled.SERVER
LONG_S = 60.0
SAID = peers.Whereabouts(domains.Answers(Source.RUNNING, False, Destination.ARRIVED), 'n2',
                         9_000_000, 7_002_000)


@ddt.ddt
class TestAsk(controlled.ControlBase):

    def setUp(self):
        super().setUp()
        self.useFixture(fakes.NovaConf(self.id()))
        self.log = self.useFixture(fixtures.FakeLogger())
        self.channel = client.Channel('nova-compute')
        self.context = nova_context.get_admin_context()

    def ask(self, host='n2'):
        return peers.ask(self.channel, self.context, host, SERVER).destination

    def answered(self, body, status=protocol.OK):
        """Let the bus bring this answer."""
        self.useFixture(fixtures.MockPatchObject(
            rpc.TRANSPORT._driver, 'send', return_value={'status': status, 'body': body}))

    def serve(self, host='n2'):
        """Let this host's own plugin listen."""
        listening = messaging.get_rpc_server(
            rpc.TRANSPORT, messaging.Target(topic=protocol.TOPIC, server=host),
            [server.Endpoint(self.control)], executor='threading',
            serializer=rpc.RequestContextSerializer(None))
        listening.start()
        self.addCleanup(listening.wait)
        self.addCleanup(listening.stop)

    def test_over_the_bus(self):
        self.serve()
        for state in Destination:
            for source in Source:
                self.whereabouts = peers.Whereabouts(
                    domains.Answers(source, True, state), 'n2', 9_000_000, 0)
                self.assertEqual(self.whereabouts, peers.look(
                    self.channel, self.context, 'n2', SERVER))
                self.assertEqual(self.whereabouts.domain, peers.ask(
                    self.channel, self.context, 'n2', SERVER))

    def test_a_newer_host_may_say_more(self):
        self.answered({**SAID.to_dict(), 'more': 1})
        self.assertIs(Destination.ARRIVED, self.ask())

    @ddt.data('state', 'source', 'job', 'host', 'libvirt_version', 'qemu_version')
    def test_a_field_is_missing(self, field):
        self.answered({name: value for name, value in SAID.to_dict().items() if name != field})
        self.assertIs(Destination.SILENT, self.ask())
        self.assertIn(f'{field} is missing in {{', self.log.output)

    @ddt.data(('state', 'absent'), ('state', None), ('state', ['is absent']), ('state', {}),
              ('source', 'is awaited'), ('source', 1), ('job', 'false'), ('job', 0),
              ('job', None), ('host', 'n1'), ('host', None), ('libvirt_version', '9.0'),
              ('libvirt_version', -1), ('qemu_version', True), ('qemu_version', None))
    @ddt.unpack
    def test_a_field_has_another_form(self, field, value):
        # A word that is not known must not hide that the guest may be there.
        absent = peers.Whereabouts(domains.ABSENT, 'n2', 1, 1)
        self.answered({**absent.to_dict(), field: value})
        self.assertIs(Destination.SILENT, self.ask())
        self.assertIn(f'What n2 says of this server is not understood: {field} is {value!r}',
                      self.log.output)

    @ddt.data(None, 'is absent', ['is absent'], {}, 3)
    def test_no_body(self, body):
        self.answered(body)
        self.assertIs(Destination.SILENT, self.ask())
        self.assertIn('state is missing in None' if body != {} else 'state is missing in {}',
                      self.log.output)

    def test_it_refuses(self):
        self.answered(None, protocol.UNAVAILABLE)
        self.assertIs(Destination.SILENT, self.ask())

    @ddt.data(messaging.MessagingTimeout(), messaging.MessageDeliveryFailure('no bus'),
              messaging.MessageUndeliverable(None, None, None, None),
              messaging.RemoteError('NoSuchMethod', 'x', []), OSError('no route'),
              AssertionError())
    def test_it_cannot_be_asked(self, error):
        with mock.patch.object(rpc.TRANSPORT._driver, 'send', side_effect=error):
            self.assertIs(Destination.SILENT, self.ask())

    def test_a_failure_of_our_own_is_no_answer_either(self):
        self.assertEqual(domains.SILENT, peers.ask(None, self.context, 'n2', SERVER))
        self.assertIn('n2 could not be asked for this server', self.log.output)

    def test_an_older_plugin_is_told_of_by_who_asks(self):
        self.serve()
        with mock.patch.object(rpc.TRANSPORT._driver, 'send',
                               side_effect=messaging.RemoteError('NoSuchMethod', 'x', [])):
            self.ask()
        self.assertIn('is of another version than in nova-compute', self.log.output)


class TestHangingLibvirt(controlled.ControlBase):
    """A libvirt that does not answer keeps few of the threads that answer other hosts."""

    def setUp(self):
        super().setUp()
        self.began, self.goes_on = threading.Semaphore(0), threading.Event()
        self.control._whereabouts = self.control._take_over = self.control._discard = self.blocked
        self.threads = []
        self.addCleanup(self.go_on)

    def blocked(self, *given):
        self.began.release()
        self.assertTrue(self.goes_on.wait(LONG_S))
        return SAID

    def go_on(self):
        self.goes_on.set()
        for thread in self.threads:
            thread.join(LONG_S)
            self.assertFalse(thread.is_alive())

    def hang(self, *given, do=None):
        """Ask in a thread, and wait until it hangs in libvirt."""
        self.threads.append(threading.Thread(target=do or self.control.whereabouts, args=given))
        self.threads[-1].start()
        self.assertTrue(self.began.acquire(timeout=LONG_S))

    def refused(self, *given, do=None):
        """Ask what is answered at once, or never."""
        answers = []
        asks = threading.Thread(
            target=lambda: answers.append((do or self.control.whereabouts)(*given)))
        self.threads.append(asks)
        asks.start()
        while not answers and asks.is_alive():
            self.assertFalse(self.began.acquire(timeout=0.1), 'libvirt is asked once more')
        asks.join(LONG_S)
        [answer] = answers
        return answer

    def test_of_one_server(self):
        for _ in range(peers.MOST_OF_A_SERVER):
            self.hang(SERVER)
        answer = self.refused(SERVER)
        self.assertEqual(protocol.UNAVAILABLE, answer.status)
        self.assertIn('libvirt has not answered', answer.message)
        self.hang(controlled.MIGRATION)

    def test_of_many(self):
        for number in range(peers.MOST_AT_ONCE):
            self.hang(f'server {number}')
        self.assertEqual(protocol.UNAVAILABLE, self.refused(SERVER).status)

    def test_nothing_is_changed_twice_at_once(self):
        """A host asks again for what was not done within its patience."""
        changes = ((self.control.take_over, (SERVER, controlled.MIGRATION)),
                   (self.control.discard, (SERVER,)))
        for do, given in changes:
            self.hang(None, *given, do=do)
            for again, other in changes:
                answer = self.refused(None, *other, do=again)
                self.assertEqual(protocol.UNAVAILABLE, answer.status)
                self.assertIn('still at work on others, 1 in number', answer.message)
            self.hang(SERVER)
            self.go_on()
            self.goes_on.clear()
        self.goes_on.set()
        for do, given in changes:
            self.assertEqual(protocol.OK, do(None, *given).status)

    def test_few_changes_of_many_servers_keep_a_thread(self):
        for number in range(peers.MOST_CHANGES):
            self.hang(None, f'server {number}', do=self.control.discard)
        answer = self.refused(None, SERVER, do=self.control.discard)
        self.assertEqual(protocol.UNAVAILABLE, answer.status)
        self.assertIn('see whether its libvirt hangs', answer.message)

    def test_it_is_asked_again_once_it_answers(self):
        for _ in range(peers.MOST_OF_A_SERVER):
            self.hang(SERVER)
        self.go_on()
        self.assertEqual(SAID.to_dict(), self.control.whereabouts(SERVER).body)

    def test_a_failure_keeps_no_place(self):
        self.control._whereabouts = mock.Mock(side_effect=RuntimeError('no libvirt'))
        for _ in range(peers.MOST_AT_ONCE + 1):
            self.assertRaises(RuntimeError, self.control.whereabouts, SERVER)
