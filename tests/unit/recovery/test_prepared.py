# SPDX-License-Identifier: Apache-2.0
"""What a destination has prepared: it stays where a guest may come, and goes where none does."""

from __future__ import annotations

import itertools

import testtools

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import prepared

Home, Status, Destination = evidence.Home, evidence.Status, evidence.Destination
Source = evidence.Source
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
        for home, status in ((Home.SOURCE, Status.ENDED), (Home.OTHER, Status.COMPLETED),
                             (Home.OTHER, Status.GIVEN_UP), (Home.NONE, Status.MISSING),
                             (Home.NONE, Status.UNDER_WAY)):
            self.assertIs(Answer.CLEAR, prepared.answer(home, status, Destination.ABSENT))

    def test_where_nova_does_not_know_where_the_guest_has_stayed_its_source_is_asked(self):
        has_it = {Source.RUNNING, Source.PAUSED}
        for status in (Status.COMPLETED, Status.GIVEN_UP, Status.MISSING):
            seen = Home.SOURCE, status, Destination.ABSENT
            self.assertIs(Answer.ASK, prepared.answer(*seen))
            for source in Source:
                self.assertIs(Answer.CLEAR if source in has_it else Answer.KEEP,
                              prepared.answer(*seen, source), (status, source))
