# SPDX-License-Identifier: Apache-2.0
"""What has been watched to its end is rolled back only where the destination cannot have it."""

import dataclasses

import testtools

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import staying
from nova_migpolicy.recovery import table
from tests.unit.recovery import looks

Source, Destination, Written = evidence.Source, evidence.Destination, evidence.Written
seen = looks.seen


class TestObstacle(testtools.TestCase):

    def test_where_the_destination_has_given_up_there_is_none(self):
        for source in (Source.RUNNING, Source.PAUSED, Source.SHUT_OFF):
            for paused in looks.TRUTHS:
                self.assertIsNone(staying.obstacle(seen(source=source, was_paused=paused)))

    def test_a_record_that_was_not_written_is_known_to_who_watches_it(self):
        self.assertIsNone(staying.obstacle(seen(written=Written.LOST)))

    def test_anything_else_is_named(self):
        for word, found in (
                ('arrived', seen(source=Source.PAUSED, destination=Destination.ARRIVED)),
                ('arrived', seen(source=Source.SHUT_OFF, destination=Destination.ARRIVED)),
                ('both hosts run', seen(destination=Destination.ARRIVED)),
                ('does not answer', seen(destination=Destination.SILENT)),
                ('about to give it up', seen(destination=Destination.INCOMING)),
                ('libvirt on the source', seen(source=Source.SILENT)),
                ('database', seen(home=evidence.Home.SILENT))):
            self.assertIn(word, staying.obstacle(found))

    def test_a_destination_that_may_run_it_is_always_one(self):
        for found, step in looks.every():
            if found.written is not Written.COPYING or step.kind is not table.Kind.ROLL_BACK:
                continue
            self.assertIs(Destination.ABSENT, found.destination)
            self.assertIsNone(staying.obstacle(dataclasses.replace(found, written=Written.LOST)))
