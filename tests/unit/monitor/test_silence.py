# SPDX-License-Identifier: Apache-2.0
"""That libvirt does not answer is written down once, and so is how that ended."""

from __future__ import annotations

import libvirt
import testtools

from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import silence
from tests.unit.monitor import fakes


class SilenceTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.clock = fakes.Clock()
        self.said = []

    def hang(self):
        for _ in range(3):
            self.said.append(self.silence.note())
            self.clock.sleep(guest_mod.SILENT_S)
        if self.ends is not None:
            raise self.ends
        return {}

    def ask(self, ends=None):
        """Ask for statistics, which takes 15 s; what the journal says of it."""
        self.ends = ends
        migrating = guest_mod.MigratingGuest(fakes.Domain(jobStats=self.hang), clock=self.clock)
        kept = journal_mod.Journal(None, self.clock(), 0)
        self.silence = silence.Silence(migrating, kept, self.clock)
        if ends is None:
            migrating.job_stats()
        else:
            self.assertRaises(exception.GuestError, migrating.job_stats)
        self.assertIsNone(self.silence.note())
        return [record['text'] for record in kept.records()]

    def test_once_and_its_answer(self):
        texts = self.ask()
        self.assertIsNone(self.said[0])
        self.assertIn('has not answered jobStats since', self.said[1])
        self.assertEqual(self.said[1], self.said[2])
        self.assertEqual([f'waiting for {self.said[1]}',
                          'libvirt has answered jobStats after 15 s'], texts)

    def test_one_that_ends_in_an_error_is_no_answer(self):
        texts = self.ask(fakes.error(libvirt.VIR_ERR_RPC, 'keepalive'))
        self.assertEqual('jobStats has failed after 15 s without an answer: keepalive', texts[1])

    def test_a_quick_answer_is_none_of_its_business(self):
        migrating = guest_mod.MigratingGuest(fakes.Domain(jobStats={}), clock=self.clock)
        kept = journal_mod.Journal(None, self.clock(), 0)
        silence.Silence(migrating, kept, self.clock)
        migrating.job_stats()
        self.assertEqual([], kept.records())
