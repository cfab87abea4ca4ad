# SPDX-License-Identifier: Apache-2.0
"""What a session tells QEMU before the start, and what it believes of it."""

from __future__ import annotations

import types

import libvirt
import testtools

from nova_migpolicy.compute import plan
from nova_migpolicy.compute import session
from nova_migpolicy.monitor import guest
from nova_migpolicy.monitor import inbox
from nova_migpolicy.monitor import journal
from nova_migpolicy.monitor import links
from nova_migpolicy.policy import resolve
from tests.unit.monitor import fakes

REFUSED = fakes.error(libvirt.VIR_ERR_OPERATION_FAILED, 'not now')


class TestLimit(testtools.TestCase):

    def believed(self, **answers):
        """The limit in ms that the engine is told."""
        domain = fakes.Domain(**answers)
        resolved = resolve.resolve(resolve.Sources(flavor={
            'max_downtime_ms': '200', 'initial_downtime_ms': '200'}))
        made = session.Session(
            session.Start(
                instance=types.SimpleNamespace(uuid='5e1f'), migration='9a0b',
                destination='n2', resolved=resolved, resolver=lambda retune: resolved,
                memory_bytes=1 << 30, link_mib_s=None, circumstances=plan.Circumstances(
                    paused=False, persistent_memory=False, tunnelled=False,
                    nova_post_copy=False, allow_qmp=False, libvirt_version=9_000_000,
                    qemu_version=7_002_000)),
            guest.MigratingGuest(domain), inbox.Inbox(), journal.Journal(None, 0.0, 0),
            links.Links(None))
        made.prepare(None)
        [(self.asked_ms, _)] = domain.called('migrateSetMaxDowntime')
        return made.facts(made._plan, 0).qemu_limit_ms

    def test_what_was_set(self):
        self.assertEqual(140, self.believed())
        self.assertEqual(140, self.asked_ms)

    def test_what_qemu_has_where_that_was_refused(self):
        self.assertEqual(777, self.believed(
            migrateSetMaxDowntime=REFUSED, migrateGetMaxDowntime=777))
        self.assertEqual(140, self.asked_ms)

    def test_qemus_own_where_libvirt_does_not_know(self):
        self.assertEqual(300, self.believed(
            migrateSetMaxDowntime=REFUSED, migrateGetMaxDowntime=REFUSED))
