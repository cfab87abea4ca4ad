# SPDX-License-Identifier: Apache-2.0
"""The programs of the three nova-computes: a live migration, and recovery's two times to look."""

from __future__ import annotations

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import plan
from nova_migpolicy.recovery import table
from nova_migpolicy.sim.cluster import hands as hands_mod
from nova_migpolicy.sim.cluster import looking
from nova_migpolicy.sim.cluster import world as world_mod

Source = evidence.Source
Destination = evidence.Destination
Written = evidence.Written
Status = evidence.Status
Kind = table.Kind
Program = world_mod.Program
Trouble = world_mod.Trouble
SOURCE, DESTINATION, THIRD = world_mod.HOSTS

#: the periodic look, and how soon it is taken again where something passes by itself
PERIOD_S, AGAIN_S = 30.0, 5.0


class Computes:
    """The programs, the source's above all: it leads."""

    def __init__(self, world: world_mod.World, looks: looking.Looks,
                 hands: hands_mod.Hands) -> None:
        self._world = world
        self._looks = looks
        self._hands = hands
        #: the life of the source's nova-compute in which recovery is at it: one at a time
        self._settling = -1
        self._has_failed = False
        #: recovery's steps, the last one last
        self.steps: list[table.Step] = []

    def begin(self) -> None:
        """Send the migration."""
        world, rows = self._world, self._world.rows
        if rows.is_deleted or not world.database or rows.evacuation != 'none':
            return
        rows.migrating = True
        rows.status = Status.QUEUED
        rows.server_allocation, rows.migration_allocation = DESTINATION, SOURCE
        world.say('the conductor sends the migration to the source')
        world.deliver(SOURCE, self._migrate, None, 'live_migration')

    # The migration.

    def _migrate(self) -> Program:
        world, hands = self._world, self._hands
        life = world.computes[SOURCE].life
        while self._settling == life:
            yield 0.5
        hands.session = life
        try:
            yield from self._migrating()
        except Trouble as trouble:
            world.say(f'the migration: {trouble}')
        hands.session = -1
        yield from self.settle()
        if self._has_failed:
            self._give_up()

    def _give_up(self) -> None:
        """Do as Nova where the end of a migration fails: it takes it for over."""
        world, rows = self._world, self._world.rows
        if not world.database or rows.is_deleted or rows.evacuation != 'none' or (
                rows.status is not Status.UNDER_WAY):
            return
        world.say('Nova gives the migration up')
        rows.status = Status.GIVEN_UP
        rows.migrating = False
        if world.paper.read() is Written.FINISHING:
            rows.host = DESTINATION

    def _migrating(self) -> Program:
        world, rows, paper = self._world, self._world.rows, self._world.paper
        if not world.database or rows.status is not Status.QUEUED or not rows.migrating:
            raise Trouble('it is over before it has begun')
        paper.write(Written.PREPARING)
        yield
        self._need_it(Status.QUEUED)
        rows.status = Status.UNDER_WAY
        rows.is_preparing = True
        yield
        yield from looking.call(DESTINATION, 'pre_live_migration', self._prepare)
        yield
        paper.write(Written.COPYING)
        yield
        self._need_it(Status.UNDER_WAY)
        rows.is_preparing = False
        self._start_job()
        yield from self._hands.watch(SOURCE)

    def _need_it(self, status: Status) -> None:
        """Do nothing for a migration that is over: what begins it may come late."""
        rows = self._world.rows
        if not self._world.database:
            raise Trouble("Nova's database does not answer")
        if rows.is_deleted or not rows.migrating or rows.status is not status:
            raise Trouble('there is no such migration any more')

    def _start_job(self) -> None:
        world, qemus = self._world, self._world.qemus
        if not (world.answers[SOURCE] and world.answers[DESTINATION] and qemus.link):
            raise Trouble('libvirt cannot begin')
        if qemus.source not in (Source.RUNNING, Source.PAUSED) or (
                qemus.destination is not Destination.ABSENT):
            raise Trouble('libvirt refuses to begin')
        world.say('libvirt begins the copy')
        qemus.prepare()
        qemus.start()

    def _prepare(self) -> Program:
        yield
        self._need_it(Status.UNDER_WAY)
        if not self._world.rows.is_preparing:
            raise Trouble('it is not being prepared any more')
        self._world.rows.bindings.setdefault(DESTINATION, False)
        self._world.rows.attachments.add(DESTINATION)

    # Recovery.

    def serve(self, at_boot: Program) -> Program:
        """Settle what was left at the start, then look again and again.

        :param at_boot: Nova's own start
        """
        world, rows = self._world, self._world.rows
        while not world.database:
            yield 1.0
        # Nova itself would also remove what it is still to evacuate, were it not kept from that.
        if rows.evacuation == 'done' and world.qemus.source is not Source.ABSENT:
            world.say('Nova removes from the source what it has evacuated')
            world.qemus.remove(SOURCE)
        waits_s = yield from self.settle()
        try:
            yield from at_boot
        except Trouble as trouble:
            world.say(f'at the start: {trouble}')
        while True:
            yield waits_s
            waits_s = yield from self.settle()

    def settle(self) -> Program:
        """Take steps until one has to wait, and return for how long."""
        life = self._world.computes[SOURCE].life
        if self._settling == life:
            return PERIOD_S
        self._settling = life
        self._has_failed = False
        waits_s = PERIOD_S
        try:
            while self.is_due():
                step = yield from self.recover(SOURCE)
                if step.kind is Kind.WAIT:
                    waits_s = AGAIN_S
                if step.kind in (Kind.WAIT, Kind.HOLD, Kind.NOTHING):
                    break
        except Trouble as trouble:
            self._world.say(f'recovery: {trouble}')
            self._has_failed = True
            waits_s = AGAIN_S
        self._settling = -1
        return waits_s

    def is_due(self) -> bool:
        """Whether the source has to look, as far as it can tell by itself and by Nova's rows."""
        world, rows = self._world, self._world.rows
        if self._hands.session == world.computes[SOURCE].life:
            return False
        if world.paper.read() is not Written.LOST:
            return True
        if not world.database or rows.is_deleted:
            return False
        gone = world.qemus.source in (Source.ABSENT, Source.MIGRATED)
        return (rows.status in (Status.QUEUED, Status.UNDER_WAY) or bool(rows.lock)
                or (rows.host == SOURCE and (rows.migrating or (world.answers[SOURCE] and gone)))
                or (rows.host != SOURCE and world.answers[SOURCE]
                    and world.qemus.source is not Source.ABSENT))

    def recover(self, here: str, fenced: bool = False) -> Program:
        """Carry out one step, as plan.carry_out does, and return it."""
        going = plan.course()
        wanted = next(going)
        while True:
            try:
                if wanted is None:
                    wanted = going.send((yield from self._looks.look(here, fenced)))
                else:
                    yield from self._hands.do(here, *wanted)
                    wanted = next(going)
            except StopIteration as end:
                step: table.Step = end.value
                self.steps.append(step)
                self._world.say(f'recovery at the {here}: {step.kind.value}, because '
                                f'{step.reason}')
                return step
