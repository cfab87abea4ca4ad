# SPDX-License-Identifier: Apache-2.0
"""How evidence is collected: each part at its own moment, from who has it, over messages."""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import plan
from nova_migpolicy.sim.cluster import world as world_mod

Source = evidence.Source
Destination = evidence.Destination
Written = evidence.Written
Home = evidence.Home
Program = world_mod.Program
SOURCE, DESTINATION, THIRD = world_mod.HOSTS

HOMES = {SOURCE: Home.SOURCE, DESTINATION: Home.DESTINATION, THIRD: Home.OTHER}


@dataclasses.dataclass(frozen=True)
class Found:
    """What the source answers about itself."""

    source: Source
    job: bool
    written: Written


def call(host: str, about: str, program: abc.Callable[[], Program]) -> Program:
    """Ask a host to do something, and return its answer.

    :raises Trouble: it does not answer, or could not do it
    """
    answer = yield world_mod.Call(host, about, program)
    if isinstance(answer, world_mod.Trouble):
        raise answer
    return answer


class Looks:
    """Looks at the world, as a nova-compute can."""

    def __init__(self, world: world_mod.World) -> None:
        self._world = world
        #: to the last look, be it that its libvirt is silent
        self.has_source_answered = True

    def look(self, here: str, fenced: bool = False) -> Program:
        """Collect the evidence, and return it.

        :param fenced: for an evacuation, whose operator says that the source is off
        """
        world = self._world
        while True:
            began_s = world.now_s
            yield
            seen = self._rows(as_it_is=fenced)
            is_evacuated = seen.home is Home.OTHER and (yield from self._is_evacuated())
            try:
                destination = self.destination() if here == DESTINATION else (
                    yield from call(DESTINATION, 'what it has', self._tell_destination))
            except world_mod.Trouble:
                destination = Destination.SILENT
            try:
                found = self.source() if here == SOURCE else (
                    yield from call(SOURCE, 'what it has', self._tell_source))
            except world_mod.Trouble:
                found = None
            self.has_source_answered = found is not None
            # What Nova did meanwhile may have changed a domain that was looked at afterwards.
            if world.now_s - began_s <= plan.FRESH_S and seen == self._rows(as_it_is=fenced):
                said = found or Found(Source.SILENT, False, Written.LOST)
                return dataclasses.replace(
                    seen, source=said.source, job=said.job, written=said.written,
                    destination=destination, fenced=fenced and found is None,
                    is_evacuated=is_evacuated)

    def _rows(self, as_it_is: bool) -> evidence.Evidence:
        """Return what Nova's rows say.

        :param as_it_is: an evacuation that is under way does not count yet
        """
        rows = self._world.rows
        if not self._world.database:
            home = Home.SILENT
        elif rows.is_deleted:
            home = Home.NONE
        elif rows.is_deleting or (rows.is_evacuating and not as_it_is):
            home = Home.CHANGING
        else:
            home = HOMES[rows.host]
        return evidence.Evidence(
            Source.SILENT, False, Destination.SILENT, Written.LOST, home, rows.status,
            rows.migrating, was_paused=self._world.qemus.is_paused)

    def source(self) -> Found:
        """Return what the source has."""
        world = self._world
        if not world.answers[SOURCE]:
            return Found(Source.SILENT, False, world.paper.read())
        return Found(world.qemus.source, world.qemus.job, world.paper.read())

    def destination(self) -> Destination:
        """Return what the destination has."""
        world = self._world
        return world.qemus.destination if world.answers[DESTINATION] else Destination.SILENT

    def _is_evacuated(self) -> Program:
        """Ask the host that the server was evacuated to whether it runs there."""
        if self._world.rows.evacuation != 'done':
            return False
        try:
            return (yield from call(THIRD, 'what it has', self._tell_third))
        except world_mod.Trouble:
            return False

    def _tell_third(self) -> Program:
        yield
        return self._world.answers[THIRD] and self._world.qemus.third

    def _tell_source(self) -> Program:
        yield
        return self.source()

    def _tell_destination(self) -> Program:
        yield
        return self.destination()
