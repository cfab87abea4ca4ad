# SPDX-License-Identifier: Apache-2.0
"""The hands of recovery: each action, in the order in which Nova's own methods do it.

Each is done again as often as it is asked for, from wherever it was left.
"""

from __future__ import annotations

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import plan
from nova_migpolicy.recovery import table
from nova_migpolicy.sim.cluster import checks
from nova_migpolicy.sim.cluster import looking
from nova_migpolicy.sim.cluster import qemus as qemus_mod
from nova_migpolicy.sim.cluster import world as world_mod

Source = evidence.Source
Destination = evidence.Destination
Written = evidence.Written
Status = evidence.Status
Action = plan.Action
Program = world_mod.Program
Trouble = world_mod.Trouble
SOURCE, DESTINATION, THIRD = world_mod.HOSTS

WATCH_S = 1.0


class Hands:
    """Change the world.

    :param post_copies: how probably a second of watching switches to post-copy
    """

    def __init__(self, world: world_mod.World, post_copies: float) -> None:
        self._world = world
        self._post_copies = post_copies
        self._step = table.Step(table.Kind.NOTHING, '')
        #: the life of the source's nova-compute in which a session watches the migration
        self.session = -1
        self._by_action = {
            Action.WATCH: self.watch, Action.MARK_FINISHING: self._mark_finishing,
            Action.REMOVE_SOURCE_COPY: self._remove_source_copy,
            Action.END_SOURCE_COPY: self._end_source_copy,
            Action.FINISH_IN_NOVA: self._finish, Action.MARK_ROLLING_BACK: self._mark_rolling_back,
            Action.MARK_DONE: self._mark_done, Action.LET_RUN: self._let_run,
            Action.ROLL_BACK_IN_NOVA: self._roll_back, Action.RESUME_POST_COPY: self._resume,
            Action.REMOVE_ALL_COPIES: self._remove_all,
            Action.CLOSE_IN_NOVA: self._close,
            Action.LOCK: self._lock, Action.UNLOCK: self._unlock, Action.FORGET: self._forget}

    def do(self, here: str, action: Action, step: table.Step) -> Program:
        """Carry out an action at a host."""
        self._world.say(f'{action.value}, because {step.reason}')
        self._step = step
        yield from self._by_action[action](here)
        yield

    def watch(self, here: str) -> Program:
        """Watch and steer the job until it is over."""
        world, qemus = self._world, self._world.qemus
        self.session = world.computes[SOURCE].life
        while not world.answers[SOURCE] or qemus.job:
            if world.answers[SOURCE] and world.chance.random() < self._post_copies:
                if world.paper.read() is Written.COPYING:
                    world.paper.write(Written.POST_COPY)
                yield
                if world.answers[SOURCE]:
                    qemus.start_post_copy()
            yield WATCH_S
        self.session = -1

    def _mark(self, written: Written) -> Program:
        yield from ()
        if self._world.paper.read() is not Written.LOST:
            self._world.paper.write(written)

    def _mark_done(self, here: str) -> Program:
        if here == SOURCE:
            self._check_done()
            yield from self._mark(Written.DONE)

    def _mark_finishing(self, here: str) -> Program:
        if here == SOURCE:
            yield from self._mark(Written.FINISHING)

    def _mark_rolling_back(self, here: str) -> Program:
        yield from self._mark(Written.ROLLING_BACK)

    def _remove_source_copy(self, here: str) -> Program:
        yield from ()
        if here == SOURCE:
            self._need_libvirt(SOURCE)
            if self._world.qemus.source is Source.RUNNING:
                raise Trouble('the copy on the source runs')
            self._remove(SOURCE)

    def _end_source_copy(self, here: str) -> Program:
        yield from ()
        self._need_libvirt(SOURCE)
        self._need_rows()
        self._remove(SOURCE)

    def _remove(self, host: str) -> None:
        lost = self._world.qemus.remove(host)
        if lost and not self._world.rows.is_deleted:
            raise world_mod.Violation(f'what was removed from the {host} {lost}, and is nowhere '
                                      'else')

    def _let_run(self, here: str) -> Program:
        yield from ()
        self._need_libvirt(SOURCE)
        qemus = self._world.qemus
        if qemus.source is Source.PAUSED and not qemus.is_paused:
            qemus.source = Source.RUNNING

    def _resume(self, here: str) -> Program:
        yield from ()
        self._need_libvirt(SOURCE)
        if not self._world.answers[DESTINATION] or not self._world.qemus.resume_post_copy():
            raise Trouble('post-copy cannot be taken up yet')

    def _remove_all(self, here: str) -> Program:
        self._need_libvirt(SOURCE)
        self._remove(SOURCE)
        yield
        yield from looking.call(DESTINATION, 'to remove what it has', self._remove_there)

    def _remove_there(self) -> Program:
        yield
        self._need_libvirt(DESTINATION)
        self._need_rows()
        if not self._world.rows.is_deleted:
            raise Trouble('the server is not deleted')
        self._remove(DESTINATION)

    def _lock(self, here: str) -> Program:
        yield from ()
        self._need_rows()
        if self._step.kind is table.Kind.HOLD:
            checks.may_hold(self._world, self._step.reason)
        self._world.rows.lock = self._step.reason

    def _unlock(self, here: str) -> Program:
        yield from ()
        self._need_rows()
        self._world.rows.lock = ''

    def _forget(self, here: str) -> Program:
        yield from ()
        if here == SOURCE:
            if self._world.paper.read() is not Written.DONE:
                self._check_done()
            self._world.paper.forget()

    def _check_done(self) -> None:
        world = self._world
        if qemus_mod.TORN not in world.qemus.hazards and not world.rows.is_deleting:
            checks.may_forget(world)

    # Nova's own end of a completed migration.

    def _finish(self, here: str) -> Program:
        rows = self._world.rows
        self._need_rows()
        self._need_home(SOURCE, DESTINATION)
        if rows.host == SOURCE and not rows.migrating:
            rows.migrating = True       # Nova's methods expect it
        yield
        self._need_rows()
        rows.bindings = dict.fromkeys(rows.bindings, False) | {DESTINATION: True}
        yield
        rows.attachments.discard(SOURCE)
        yield
        if here == DESTINATION:
            yield from self._finish_there()
        else:
            yield from looking.call(DESTINATION, 'post_live_migration_at_destination',
                                    self._finish_there)
        yield
        self._need_rows()
        rows.status = Status.COMPLETED
        yield
        rows.migration_allocation = ''

    def _finish_there(self) -> Program:
        yield
        rows = self._world.rows
        self._need_rows()
        self._need_home(SOURCE, DESTINATION)
        if self._world.qemus.destination not in (Destination.ARRIVED, Destination.SHUT_OFF):
            raise Trouble('the destination has not got the guest')
        if rows.host == SOURCE and not rows.migrating:
            raise Trouble('the server is not migrating')
        rows.bindings = {DESTINATION: True}
        rows.attachments.add(DESTINATION)
        yield
        self._need_rows()
        if rows.host == SOURCE and not rows.migrating:
            raise Trouble('the server is not migrating')
        rows.host = DESTINATION
        rows.migrating = False

    # Nova's own end of a failed migration.

    def _roll_back(self, here: str) -> Program:
        rows = self._world.rows
        self._need_rows()
        self._need_home(SOURCE)
        rows.migrating = True       # Nova's methods expect it
        # What prepares the destination may come late.
        rows.is_preparing = False
        yield
        self._need_rows()
        rows.server_allocation, rows.migration_allocation = SOURCE, ''
        yield
        rows.bindings[SOURCE] = True
        if DESTINATION in rows.bindings:
            rows.bindings[DESTINATION] = False
        yield
        if DESTINATION in rows.attachments:
            yield from looking.call(DESTINATION, 'to disconnect its volumes', self._disconnect)
        yield
        self._world.deliver(DESTINATION, self._roll_back_there, None,
                            'rollback_live_migration_at_destination')
        yield
        # Nova only tells the destination, which may not hear it.
        self._need_rows()
        rows.bindings.pop(DESTINATION, None)
        yield
        self._need_rows()
        rows.migrating = False
        yield
        self._need_rows()
        rows.status = Status.ENDED

    def _close(self, here: str) -> Program:
        rows = self._world.rows
        self._need_rows()
        rows.migration_allocation = ''
        yield
        self._need_rows()
        if rows.is_deleted:
            # One that was rolled back meanwhile has given its claim back to the server.
            rows.server_allocation = ''
        elif rows.status in (Status.QUEUED, Status.UNDER_WAY):
            rows.status = Status.ENDED

    def _disconnect(self) -> Program:
        yield
        self._need_rows()
        if self._world.rows.host != DESTINATION:
            self._world.rows.attachments.discard(DESTINATION)

    def _roll_back_there(self) -> Program:
        yield
        self._need_rows()
        self._need_libvirt(DESTINATION)
        qemus = self._world.qemus
        if qemus.destination is Destination.INCOMING and not qemus.job:
            self._remove(DESTINATION)
        yield
        if self._world.rows.host != DESTINATION:
            self._world.rows.bindings.pop(DESTINATION, None)

    # What an action needs.

    def _need_rows(self) -> None:
        if not self._world.database:
            raise Trouble("Nova's database does not answer")

    def _need_libvirt(self, host: str) -> None:
        if not self._world.answers[host]:
            raise Trouble(f'libvirt on the {host} does not answer')

    def _need_home(self, *homes: str) -> None:
        rows = self._world.rows
        if rows.is_deleted or rows.host not in homes or rows.evacuation == 'done':
            raise Trouble('Nova has the server elsewhere')
