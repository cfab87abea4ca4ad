# SPDX-License-Identifier: Apache-2.0
"""The way to a QEMU past libvirt: its state by another connection, and where it sends to."""

from __future__ import annotations

from unittest import mock

import libvirt
import testtools

from nova_migpolicy.compute import migrate_call
from nova_migpolicy.compute import outside
from nova_migpolicy.compute import privileged
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import keys
from tests.unit.monitor import fakes

STOPPED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)


class OutsideTest(testtools.TestCase):

    def state(self, **answers):
        domain = fakes.Domain(**answers)
        connection = mock.Mock()
        connection.lookupByUUIDString.return_value = domain
        found = outside.Outside(lambda: connection, 'a-server').state()
        connection.lookupByUUIDString.assert_called_once_with('a-server')
        connection.close.assert_called_once_with()
        return found

    def test_state(self):
        self.assertEqual(STOPPED, self.state(state=lambda: list(STOPPED)))

    def test_where_libvirt_does_not_say(self):
        self.assertIsNone(self.state(state=fakes.error(libvirt.VIR_ERR_NO_DOMAIN)))

        def connect():
            raise fakes.error(libvirt.VIR_ERR_RPC)
        self.assertIsNone(outside.Outside(connect, 'a-server').state())

    def test_addresses(self):
        for uri, expected in (('tcp://10.77.0.12', ['10.77.0.12']),
                              ('qemu+tcp://10.77.0.12/system', ['10.77.0.12']),
                              ('tcp://[fd00::c]:49152', ['fd00::c'])):
            self.assertEqual(expected, outside.addresses(uri))

    def test_what_the_daemon_says_is_the_answer(self):
        with mock.patch.object(privileged, 'close_migration', return_value=(['it'], '')) as asked:
            self.assertEqual((['it'], ''), outside.Outside(mock.Mock(), 'a-server').close(
                ('tcp://10.77.0.12', 'qemu+tcp://n2/system')))
        asked.assert_called_once_with('a-server', ['10.77.0.12'])

    def test_whatever_goes_wrong_is_an_answer(self):
        way = outside.Outside(mock.Mock(), 'a-server')
        closed, trouble = way.close(('tcp://no-such-host.invalid',))
        self.assertEqual([], closed)
        self.assertTrue(trouble)

        def close_migration(uuid, addresses):
            raise RuntimeError('no daemon')
        with mock.patch.object(privileged, 'close_migration', close_migration):
            self.assertEqual(([], 'no daemon'), way.close(('tcp://10.77.0.12',)))

    def test_the_address_that_is_used_comes_first(self):
        call = outcome_mod.MigrateCall()
        circumstances = migrate_call.Circumstances(
            paused=False, persistent_memory=False, tunnelled=False, nova_post_copy=False,
            allow_qmp=True, libvirt_version=9_000_000, qemu_version=7_002_000)
        planned = migrate_call.PlannedDomain(
            mock.Mock(migrateToURI3=mock.Mock(return_value=0)),
            migrate_call.make(keys.Policy(), circumstances), call,
            leave_out=mock.Mock(), may_call_again=lambda: False)
        planned.migrateToURI3('qemu+tcp://n2/system', {'migrate_uri': 'tcp://10.77.0.12'}, 0)
        self.assertEqual(('tcp://10.77.0.12', 'qemu+tcp://n2/system'), call.targets)
        planned.migrateToURI3('qemu+tcp://n2/system', {}, 0)
        self.assertEqual(('qemu+tcp://n2/system',), call.targets)
