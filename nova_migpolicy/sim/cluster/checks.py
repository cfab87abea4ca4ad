# SPDX-License-Identifier: Apache-2.0
"""What has to hold: when the record goes, and when all faults are over."""

from __future__ import annotations

from collections import abc

from nova_migpolicy.recovery import evidence
from nova_migpolicy.sim.cluster import qemus as qemus_mod
from nova_migpolicy.sim.cluster import world as world_mod

Source = evidence.Source
Destination = evidence.Destination
Status = evidence.Status
SOURCE, DESTINATION, THIRD = world_mod.HOSTS


ALLOCATION = 'the migration still has an allocation'
CLAIM = 'the deleted server still has an allocation'
#: what may be held: the end of the reason, and what has to have happened for it
HELD: abc.Mapping[str, frozenset[str]] = {
    'was written down of the migration is lost': frozenset({qemus_mod.TORN}),
    'the rest of the memory was there alone': frozenset({qemus_mod.HALF_DIED}),
    'the destination has no part of the memory any more': frozenset({
        qemus_mod.HALF_DIED, qemus_mod.DIED_THERE}),
    'as if it had arrived': frozenset({qemus_mod.DIED_THERE}),
    'both hosts run the guest': frozenset({qemus_mod.FINISH_LOST, qemus_mod.TORN}),
    'one of these has a copy of it': frozenset({qemus_mod.SOURCE_WAS_ON}),
}


def may_forget(world: world_mod.World) -> None:
    """See that nothing needs the record any more.

    :raises Violation: something does
    """
    wrong = [*domains(world), *rows(world)]
    if wrong:
        raise world_mod.Violation(f'the record goes, and {wrong[0]}')


def may_hold(world: world_mod.World, why: str) -> None:
    """See that something has happened that only an operator can set right.

    :raises Violation: nothing has
    """
    causes = [hazards for reason, hazards in HELD.items() if why.endswith(reason)]
    if not causes or world.qemus.hazards.isdisjoint(*causes):
        raise world_mod.Violation(f'it is held without need: {why}')


def at_the_end(world: world_mod.World) -> None:
    """See that all agrees, or that an operator is told what does not.

    :raises Violation: something does not agree
    """
    if world.rows.lock:
        may_hold(world, world.rows.lock)
        return
    is_torn = qemus_mod.TORN in world.qemus.hazards
    # Without a record what is left of a migration that Nova takes for completed is not found.
    wrong = [one for one in rows(world) if not (is_torn and one in (ALLOCATION, CLAIM))]
    if not (world.rows.is_deleted and is_torn):
        # Nova itself finds what a deleted server has left, in half an hour.
        wrong += domains(world)
    if world.paper.read() is not evidence.Written.LOST:
        wrong.append('the record is still there')
    if wrong:
        raise world_mod.Violation(f'at the end {wrong[0]}')


def domains(world: world_mod.World) -> list[str]:
    """Return where the guest is but should not be, or is not but should."""
    qemus, home = world.qemus, world.rows.host
    found = []
    for host, has, is_there in (
            (SOURCE, qemus.source.value, qemus.source is not Source.ABSENT),
            (DESTINATION, qemus.destination.value,
             qemus.destination is not Destination.ABSENT),
            # Nova itself removes what a deleted server has left there.
            (THIRD, 'runs', qemus.third and not world.rows.is_deleted)):
        here = host == home and not world.rows.is_deleted
        if is_there and not here:
            found.append(f'the {host} still has a domain, which {has}')
        elif here and not is_there:
            found.append(f'the {host} has no domain')
    if home == SOURCE and qemus.source not in (Source.RUNNING, Source.SHUT_OFF) and not (
            qemus.source is Source.PAUSED and qemus.is_paused) and not found and (
            not world.rows.is_deleted):
        found.append(f'the guest on the source {qemus.source.value}')
    return found


def rows(world: world_mod.World) -> list[str]:
    """Return what does not agree in Nova, placement, Neutron and Cinder."""
    seen = world.rows
    found = []
    if seen.migrating:
        found.append('the server is still migrating')
    if seen.status in (Status.QUEUED, Status.UNDER_WAY):
        found.append(f'the migration is still {seen.status.value}')
    # Nova deletes its row of a migration with the server. What was claimed for one that had never
    # reached its source is left by Nova itself, which has a command that finds it.
    if seen.migration_allocation and (world.paper.was_written or not seen.is_deleted):
        found.append(ALLOCATION)
    if seen.is_deleted:
        return [*found, CLAIM] if seen.server_allocation else found
    for what, is_right in (
            ('the server has the allocation of another host', seen.server_allocation == seen.host),
            ('the port has other bindings', seen.bindings == {seen.host: True}),
            ('the volume has other attachments', seen.attachments == {seen.host})):
        if not is_right:
            found.append(what)
    return found
