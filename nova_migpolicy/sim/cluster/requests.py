# SPDX-License-Identifier: Apache-2.0
"""What users and operators ask Nova for meanwhile, and a host does at its boot: the doors."""

from __future__ import annotations

from nova_migpolicy.recovery import doors
from nova_migpolicy.recovery import evidence
from nova_migpolicy.sim.cluster import computes as computes_mod
from nova_migpolicy.sim.cluster import looking
from nova_migpolicy.sim.cluster import qemus as qemus_mod
from nova_migpolicy.sim.cluster import world as world_mod

Source = evidence.Source
Destination = evidence.Destination
Status = evidence.Status
Written = evidence.Written
Program = world_mod.Program
Trouble = world_mod.Trouble
SOURCE, DESTINATION, THIRD = world_mod.HOSTS


class Requests:
    """The doors.

    :param resumes: Nova's option `resume_guests_state_on_host_boot`
    """

    def __init__(self, world: world_mod.World, looks: looking.Looks,
                 computes: computes_mod.Computes, resumes: bool) -> None:
        self._world = world
        self._looks = looks
        self._computes = computes
        self._resumes = resumes
        world.on_start = self._started

    def _started(self, host: str) -> None:
        if host == SOURCE:
            self._world.run(host, self._computes.serve(self._boot(host)))
        else:
            self._world.run(host, self._boot(host), self._told)

    def begin(self) -> None:
        """Start the service of the source, and the migration."""
        self._started(SOURCE)
        self._world.after(1.0, self._computes.begin)

    def _told(self, answer: object) -> None:
        if isinstance(answer, Trouble):
            self._world.say(f'refused: {answer}')

    # Requests, as Nova's API takes them.

    def start(self) -> None:
        """Hard reboot, or start."""
        world, rows = self._world, self._world.rows
        if (world.database and not rows.is_deleted and not rows.migrating and not rows.lock
                and not rows.is_evacuating):
            host = rows.host
            world.say(f'the user reboots the server on the {host}')
            world.deliver(host, lambda: self._open(host), self._told, 'reboot_instance')

    def delete(self) -> None:
        """Delete the server: on its host, or in the database alone where that is down."""
        world, rows = self._world, self._world.rows
        if not world.database or rows.is_deleted or rows.lock or rows.is_evacuating:
            return
        world.say('the user deletes the server')
        if world.computes[rows.host].is_up:
            world.deliver(rows.host, self._delete, self._told, 'terminate_instance')
        else:
            self._strike()

    def _delete(self) -> Program:
        yield
        world, rows = self._world, self._world.rows
        if not world.database or rows.is_deleted or not world.answers[rows.host]:
            raise Trouble('the server cannot be deleted now')
        rows.is_deleting = True
        world.qemus.remove(rows.host)
        yield
        self._need_rows()
        self._strike()

    def _strike(self) -> None:
        rows = self._world.rows
        rows.is_deleted = True
        rows.is_deleting = False
        rows.migrating = False
        rows.status = Status.MISSING
        # That of the migration is its own, which Nova leaves.
        rows.server_allocation = ''
        rows.bindings = {}
        rows.attachments = set()

    def reset_state(self) -> None:
        """An operator, or who masks dead instances, resets the server's state to error."""
        rows = self._world.rows
        if self._world.database and not rows.is_deleted and rows.migrating:
            self._world.say("an operator resets the server's state")
            rows.migrating = False

    def evacuate(self) -> None:
        """Evacuate the server from the source to a third host."""
        world, rows = self._world, self._world.rows
        if (not world.database or rows.is_deleted or rows.host != SOURCE
                or rows.is_deleting or rows.evacuation == 'done'):
            return
        world.say('an operator evacuates the server from the source')
        rows.evacuation = 'accepted'
        rows.is_unfenced = world.powered[SOURCE]
        rows.migrating = False
        world.deliver(THIRD, self._evacuate, self._evacuated, 'rebuild_instance')

    def _evacuate(self) -> Program:
        rows, qemus = self._world.rows, self._world.qemus
        if not qemus.third:
            yield from self._open(THIRD)
        yield
        self._need_rows()
        rows.bindings = {THIRD: True}
        yield
        rows.attachments = {THIRD}
        yield
        self._need_rows()
        rows.host = THIRD
        rows.server_allocation = THIRD
        rows.migrating = False
        yield
        rows.evacuation = 'done'
        qemus.is_paused = False

    def _evacuated(self, answer: object) -> None:
        self._told(answer)
        rows = self._world.rows
        if isinstance(answer, Trouble) and rows.evacuation == 'accepted' and (
                not self._world.qemus.third):
            rows.evacuation = 'failed'

    # Doors.

    def _boot(self, host: str) -> Program:
        """Nova's own start: what was on before the host went off is started again."""
        world, rows = self._world, self._world.rows
        while not world.database:
            yield 1.0
        if rows.is_deleting and rows.host == host:
            yield from self._delete()
        if host == SOURCE and self._computes.is_due():
            return
        if rows.is_deleted and world.paper.read() is Written.LOST:
            world.qemus.remove(host)        # Nova's own cleaning up
            return
        if host == SOURCE and rows.evacuation in ('accepted', 'done'):
            # Nova does not start what it evacuates from there.
            return
        has = world.qemus.source if host == SOURCE else world.qemus.destination
        if not self._resumes or host == THIRD or rows.host != host or has not in (
                Source.SHUT_OFF, Source.ABSENT, Destination.SHUT_OFF, Destination.ABSENT):
            return
        world.say(f'Nova on the {host} resumes what ran before')
        yield from self._open(host)

    def _open(self, here: str) -> Program:
        """Start the guest at a host, unless it may run elsewhere."""
        world, rows = self._world, self._world.rows
        fenced = here == THIRD
        seen = yield from self._looks.look(here, fenced)
        self._need_rows()
        if rows.is_deleted or rows.is_deleting or not world.answers[here] or (
                not rows.is_evacuating if fenced else rows.host != here):
            raise Trouble('the server is not to be started here any more')
        found = doors.opening(seen, looking.HOMES[here])
        known = seen.written if here == SOURCE else Written.LOST
        is_asked = doors.must_ask(known, rows.status)
        if is_asked:
            if found.answer is doors.Answer.FINISH and fenced:
                yield from looking.call(DESTINATION, 'to finish the migration', self._finish)
            if found.answer is not doors.Answer.START:
                raise Trouble(found.reason)
        world.say(f'the guest is started on the {here}: {found.reason}')
        if fenced and rows.is_unfenced and world.qemus.source not in doors.OFF and (
                not is_asked or not self._looks.has_source_answered):
            world.qemus.is_doubled = True
            world.qemus.hazards.add(qemus_mod.SOURCE_WAS_ON)
        world.qemus.boot(here)

    def _finish(self) -> Program:
        step = yield from self._computes.recover(DESTINATION, fenced=True)
        return step.reason

    def _need_rows(self) -> None:
        if not self._world.database:
            raise Trouble("Nova's database does not answer")
