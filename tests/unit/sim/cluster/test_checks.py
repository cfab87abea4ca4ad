# SPDX-License-Identifier: Apache-2.0
"""Each thing that does not agree is found by the checks at the end."""

import testtools

from nova_migpolicy.recovery import evidence
from nova_migpolicy.sim.cluster import checks
from nova_migpolicy.sim.cluster import qemus
from nova_migpolicy.sim.cluster import world as world_mod

Source = evidence.Source
Destination = evidence.Destination
Status = evidence.Status


def settled():
    """A world whose guest has stayed on the source."""
    world = world_mod.World(3)
    world.qemus.is_paused = False
    world.qemus.source = Source.RUNNING
    world.rows.status = Status.ENDED
    return world


def moved():
    """A world whose guest has moved."""
    world = settled()
    world.qemus.source, world.qemus.destination = Source.ABSENT, Destination.ARRIVED
    rows = world.rows
    rows.host = rows.server_allocation = 'destination'
    rows.bindings, rows.attachments = {'destination': True}, {'destination'}
    rows.status = Status.COMPLETED
    return world


def change(**values):
    """Return a function that changes rows."""
    return lambda world: [setattr(world.rows, name, value) for name, value in values.items()]


def put(**values):
    """Return a function that changes domains."""
    return lambda world: [setattr(world.qemus, name, value) for name, value in values.items()]


#: what is wrong, and a part of what is said
WRONG = (
    (put(destination=Destination.INCOMING), 'the destination still has a domain'),
    (put(third=True), 'the third still has a domain'),
    (put(source=Source.ABSENT), 'the source has no domain'),
    (put(source=Source.PAUSED), 'the guest on the source is paused'),
    (change(migrating=True), 'migrating'),
    (change(status=Status.UNDER_WAY), 'still under way'),
    (change(migration_allocation='source'), 'still has an allocation'),
    (change(server_allocation='destination'), 'the allocation of another host'),
    (change(bindings={'source': True, 'destination': False}), 'bindings'),
    (change(attachments={'source', 'destination'}), 'attachments'),
)


class TestEnd(testtools.TestCase):

    def test_what_agrees(self):
        for world in (settled(), moved()):
            checks.at_the_end(world)
            checks.may_forget(world)

    def test_what_does_not(self):
        for break_it, part in WRONG:
            for check in (checks.at_the_end, checks.may_forget):
                world = settled()
                break_it(world)
                found = self.assertRaises(world_mod.Violation, check, world)
                self.assertIn(part, str(found))

    def test_a_copy_that_stays_on_the_source(self):
        world = moved()
        world.qemus.source = Source.MIGRATED
        self.assertRaises(world_mod.Violation, checks.at_the_end, world)

    def test_a_record_that_stays(self):
        world = moved()
        world.paper.write(evidence.Written.DONE)
        self.assertRaises(world_mod.Violation, checks.at_the_end, world)

    def test_a_deleted_server_has_nothing(self):
        world = settled()
        world.rows.is_deleted = True
        self.assertRaises(world_mod.Violation, checks.at_the_end, world)
        world.qemus.source = Source.ABSENT
        self.assertRaises(world_mod.Violation, checks.at_the_end, world)
        world.rows.server_allocation = ''
        checks.at_the_end(world)
        world.rows.migration_allocation = world_mod.SOURCE
        checks.at_the_end(world)
        world.paper.write(evidence.Written.PREPARING)
        world.paper.forget()
        self.assertRaises(world_mod.Violation, checks.at_the_end, world)

    def test_held_with_need_alone(self):
        world = settled()
        world.rows.lock = 'both hosts run the guest'
        self.assertRaises(world_mod.Violation, checks.at_the_end, world)
        world.qemus.hazards.add(qemus.FINISH_LOST)
        checks.at_the_end(world)
        world.rows.lock = 'the destination does not answer'
        self.assertRaises(world_mod.Violation, checks.at_the_end, world)
