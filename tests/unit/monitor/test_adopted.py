# SPDX-License-Identifier: Apache-2.0
"""The stand-in for the migrate call of a process that is gone."""

from __future__ import annotations

import threading

import fixtures
import libvirt
import testtools

from nova_migpolicy.monitor import adopted
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from tests.unit.monitor import fakes

#: for what has to come; nothing waits for so long
LONG_S = 30.0
RUNS = {'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED}
GONE = fakes.error(libvirt.VIR_ERR_NO_DOMAIN, 'no domain')
AWAY = fakes.error(libvirt.VIR_ERR_RPC, 'the connection is dead')


class AdoptedCallTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch('nova_migpolicy.monitor.adopted.LOOK_EVERY_S', 0.01))
        self.looked = threading.Semaphore(0)
        self.call, self.box = outcome_mod.MigrateCall(), inbox_mod.Inbox()

    def adopt(self, **answers):
        """Adopt the job of a domain that answers so."""
        domain = fakes.Domain(**answers)

        def find():
            self.looked.release()
            return domain

        return adopted.AdoptedCall(guest_mod.MigratingGuest(find), self.call, self.box)

    def wait_over(self, made):
        self.assertEqual([inbox_mod.CallReturned], [
            type(item) for item in self.box.wait(LONG_S)])
        self.assertTrue(made.is_over())
        self.assertIsInstance(self.call.error, adopted.CallerGone)

    def test_it_has_been_called_and_is_over_when_the_job_is(self):
        jobs = [RUNS, RUNS, {'type': libvirt.VIR_DOMAIN_JOB_NONE}]
        with self.adopt(jobStats=jobs) as made:
            self.assertTrue(self.call.started)
            self.wait_over(made)
        self.assertEqual(1, len(jobs))

    def test_a_guest_that_has_gone_is_over(self):
        with self.adopt(jobStats=GONE, state=GONE) as made:
            self.wait_over(made)

    def test_a_libvirt_that_does_not_answer_says_nothing(self):
        answers = [AWAY, AWAY, RUNS, {'type': libvirt.VIR_DOMAIN_JOB_NONE}]
        with self.adopt(jobStats=answers) as made:
            self.wait_over(made)
        self.assertEqual(1, len(answers))

    def test_who_leaves_it_is_told_nothing_any_more(self):
        with self.adopt(jobStats=RUNS) as made:
            self.assertTrue(self.looked.acquire(timeout=LONG_S))
        made._thread.join(LONG_S)
        self.assertFalse(made._thread.is_alive())
        self.assertFalse(made.is_over())
        self.assertIsNone(self.call.error)
