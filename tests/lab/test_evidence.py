# SPDX-License-Identifier: Apache-2.0
"""What libvirt says of a guest at both ends of a migration, whatever happens to it."""

from __future__ import annotations

from nova_migpolicy.monitor import domains
from tests.lab import base
from tests.lab import evidence


class TestWhole(evidence.WholeFacts):
    pass


class TestBroken(evidence.BrokenFacts):
    pass


class TestRestart(evidence.RestartFacts):
    pass


class TestClient(evidence.ClientFacts):
    pass


class TestSilence(evidence.EvidenceTest):

    def test_a_libvirt_that_is_gone_says_nothing(self):
        self.boot('idle')
        closed = self.lab['n1'].another_connection()
        self.assertEqual(evidence.HERE, domains.look(closed, self.uuid))
        closed.close()
        self.assertEqual(domains.SILENT, domains.look(closed, self.uuid))
        self.restart('n1')
        self.assertEqual(evidence.HERE, domains.look(self.lab['n1'].connect(), self.uuid))


class TestTrixie(base.Trixie, evidence.BrokenFacts):

    test_one_that_ends_in_post_copy = evidence.WholeFacts.test_one_that_ends_in_post_copy
    test_a_guest_that_its_user_has_paused = (
        evidence.WholeFacts.test_a_guest_that_its_user_has_paused)
    test_at_the_source_in_post_copy = evidence.RestartFacts.test_at_the_source_in_post_copy
    test_at_the_destination_in_post_copy = (
        evidence.RestartFacts.test_at_the_destination_in_post_copy)
