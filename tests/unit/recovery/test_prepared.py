# SPDX-License-Identifier: Apache-2.0
"""What a destination has prepared: it stays where a guest may come, and goes where none does."""

from __future__ import annotations

import itertools

import testtools

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import prepared

Home, Status, Destination = evidence.Home, evidence.Status, evidence.Destination
Answer = prepared.Answer
OPEN = (Status.QUEUED, Status.UNDER_WAY)


class PreparedTest(testtools.TestCase):

    def every(self):
        for seen in itertools.product(Home, Status, Destination):
            yield (*seen, prepared.answer(*seen))

    def test_what_is_not_known_stays(self):
        for home, status, domain, found in self.every():
            if home in (Home.SILENT, Home.CHANGING) or domain is Destination.SILENT:
                self.assertIs(Answer.KEEP, found, (home, status, domain))

    def test_a_guest_that_nova_has_here_is_never_cleared(self):
        for home, status, domain, found in self.every():
            if home is Home.DESTINATION:
                self.assertIsNot(Answer.CLEAR, found, (status, domain))
        self.assertIs(Answer.FORGET, prepared.answer(
            Home.DESTINATION, Status.COMPLETED, Destination.ARRIVED))

    def test_a_domain_is_never_cleared(self):
        for home, status, domain, found in self.every():
            if domain is not Destination.ABSENT:
                self.assertIsNot(Answer.CLEAR, found, (home, status, domain))

    def test_what_is_still_to_come_stays(self):
        for status in OPEN:
            for home in (Home.SOURCE, Home.OTHER):
                self.assertIs(Answer.KEEP, prepared.answer(home, status, Destination.ABSENT))

    def test_what_is_over_goes(self):
        for home, status in ((Home.SOURCE, Status.ENDED), (Home.SOURCE, Status.MISSING),
                             (Home.OTHER, Status.COMPLETED), (Home.NONE, Status.MISSING),
                             (Home.NONE, Status.UNDER_WAY)):
            self.assertIs(Answer.CLEAR, prepared.answer(home, status, Destination.ABSENT))

    def test_where_nova_contradicts_itself_it_stays(self):
        self.assertIs(Answer.KEEP, prepared.answer(
            Home.SOURCE, Status.COMPLETED, Destination.ABSENT))
