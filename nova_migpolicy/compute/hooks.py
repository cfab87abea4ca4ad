# SPDX-License-Identifier: Apache-2.0
"""The places in Nova's manager that know a migration before the driver does.

A migration is written down when the source hears of it, and is Nova's own until it is handed over.
At the start of nova-compute a server with an unfinished migration is left to recovery: Nova would
abort its job, or take it for a server that went down and boot a second copy.
"""

from __future__ import annotations

from collections.abc import Callable
import functools
import threading
from typing import Any

from nova.compute import task_states
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from oslo_log import log as logging

from nova_migpolicy.compute import bindings
from nova_migpolicy.compute import doors as doors_mod
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import recovering
from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence
from nova_migpolicy import vocabulary
from nova_migpolicy import written as written_mod

LOG = logging.getLogger(__name__)

# Nova's words for an evacuation after which it destroys, at its start, what is left on the source.
UNCLEARED = ('accepted', 'pre-migrating', 'done')
# Servers for whose sake other hosts are asked at the start, side by side.
STARTS_AT_ONCE = 16

Wrapped = Callable[..., Any]


class Hooks:
    """What wraps Nova's manager of this host."""

    def __init__(self, manager: Any, host: str, records: written_mod.Records,
                 hands: hands_mod.Hands) -> None:
        self._manager = manager
        self._hands = hands
        self._recovery: recovering.Recovery | None = None
        self._host = host
        self._records = records
        # The servers of migrations that enter Nova's queue, and that Nova is at work on, by the
        # UUIDs of the migrations.
        self._entering: dict[str, str] = {}
        self._at_work: dict[str, str] = {}
        # The servers of those that Nova takes out of its queue; each as often as it is asked to.
        self._aborting: list[str] = []

    def install(self, recovery: recovering.Recovery, may_start: Callable[[Any, Any], None],
                has_to_ask: Callable[[Any, Any], bool],
                keeps_allocation: Callable[[Any, Any], bool]) -> None:
        """Put them in place, once in the life of a process.

        :param recovery: takes up what an earlier process has left
        :param may_start: raises Closed where a server's guest must not be started here
        :param has_to_ask: whether it may ask other hosts for that, at the start of this process
        :param keeps_allocation: whether a server has arrived here, and has what it takes
        """
        self._recovery = recovery
        wraps: dict[str, Callable[[Wrapped], Wrapped]] = {
            'live_migration': self._entered, '_do_live_migration': self._did,
            'live_migration_abort': self._aborted,
            '_rollback_live_migration': self._unbound_there,
            '_do_rebuild_instance_with_claim': lambda rebuild: _asked_first(
                may_start, self._unbound_here(rebuild)),
            '_destroy_evacuated_instances': self._spared,
            '_init_instance': functools.partial(_started, recovery, has_to_ask)}
        for name, wrap in wraps.items():
            setattr(self._manager, name, wrap(getattr(self._manager, name)))
        tracker = self._manager.rt
        tracker.delete_allocation_for_evacuated_instance = _unless_here(
            self._host, keeps_allocation, tracker.delete_allocation_for_evacuated_instance)

    def is_novas(self, server: str, migration: str | None) -> bool:
        """Whether Nova itself, in this process, has a migration in its queue or is at work on it.

        :param migration: its UUID; None for any of the server's
        """
        # In this order: it is in at least one of them at each moment.
        return (_has(self._entering, server, migration) or server in self._aborting
                or self._waits(server) or _has(self._at_work, server, migration))

    def _waits(self, server: str) -> bool:
        """Whether a migration of a server is in Nova's queue, or leaves it just now.

        Nova leaves one there whose preparation has failed. One that enters has no future yet.
        """
        _, future = self._manager._waiting_live_migrations.get(server, (None, None))
        return future is not None and not future.done()

    @property
    def is_at_work(self) -> bool:
        """Whether Nova, in this process, prepares a migration or waits for one."""
        return bool(self._at_work)

    def _entered(self, live_migration: Wrapped) -> Wrapped:
        @functools.wraps(live_migration)
        def enter(context: Any, dest: str, instance: Any, block_migration: bool, migration: Any,
                  migrate_data: Any) -> Any:
            self._entering[migration.uuid] = instance.uuid
            try:
                if self._comes_too_late(context, instance, migration):
                    return None
                self._write(context, dest, instance, block_migration, migration, migrate_data)
                return live_migration(context, dest, instance, block_migration, migration,
                                      migrate_data)
            finally:
                del self._entering[migration.uuid]

        return enter

    def _comes_too_late(self, context: Any, instance: Any, migration: Any) -> bool:
        """Whether a migration that arrives here has been given up meanwhile; end it then.

        It may have waited for hours in a queue.
        """
        try:
            now = objects.Migration.get_by_uuid(context, migration.uuid)
            server = objects.Instance.get_by_uuid(context, instance.uuid, expected_attrs=[])
        except nova_exception.NotFound as error:
            LOG.warning('Migration %(migration)s comes too late: %(error)s',
                        {'migration': migration.uuid, 'error': error}, instance=instance)
            return True
        except Exception as error:
            # What follows needs the database as well.
            LOG.warning('It is not known whether the migration comes in time: %s', error,
                        instance=instance)
            return False
        is_new = hands_mod.status_of(now.status) is evidence.Status.QUEUED
        if is_new and server.task_state == task_states.MIGRATING and (
                self._recovery is None or not self._recovery.is_at(migration.uuid)):
            return False
        LOG.warning('Migration %(migration)s comes too late and is not begun: it is %(status)s, '
                    'and the task of the server is %(task)s',
                    {'migration': migration.uuid, 'status': now.status,
                     'task': server.task_state}, instance=instance)
        if is_new and server.task_state != task_states.MIGRATING:
            self._hands.never_began(context, instance, now)
        return True

    def _write(self, context: Any, dest: str, instance: Any, block_migration: bool,
               migration: Any, migrate_data: Any) -> None:
        kept_mod.Kept(self._records, migration.uuid).begin(lambda: kept_mod.describe(
            context, instance, dest, migration, migrate_data, source=self._host,
            block_migration=block_migration, written=evidence.Written.PREPARING,
            source_bdms=objects.BlockDeviceMappingList.get_by_instance_uuid(
                context, instance.uuid)))

    def _did(self, do_live_migration: Wrapped) -> Wrapped:
        @functools.wraps(do_live_migration)
        def do(context: Any, dest: str, instance: Any, block_migration: bool, migration: Any,
               migrate_data: Any) -> Any:
            self._at_work[migration.uuid] = instance.uuid
            try:
                return do_live_migration(context, dest, instance, block_migration, migration,
                                         migrate_data)
            finally:
                del self._at_work[migration.uuid]
                self._take_up_once_over(migration, instance.uuid)

        return do

    def _take_up_once_over(self, migration: Any, server: str) -> None:
        """Have recovery finish at once what Nova leaves.

        Nova may have waited a minute for an answer that was lost, and given up. One whose
        preparation has failed is Nova's until its future is done, which runs this.
        """
        _, future = self._manager._waiting_live_migrations.get(server, (None, None))
        if future is None or future.done():
            self._take_up(migration)
        else:
            future.add_done_callback(lambda done: self._take_up(migration))

    def _take_up(self, migration: Any) -> None:
        try:
            if self._recovery is not None:
                self._recovery.finish(migration.uuid)
        except exception.MigPolicyError as error:
            LOG.warning('Migration %(migration)s is looked after later: %(error)s',
                        {'migration': migration.uuid, 'error': error})

    def _aborted(self, abort: Wrapped) -> Wrapped:
        """Return Nova's abort, which first takes a migration that waits out of its queue."""
        @functools.wraps(abort)
        def do(context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
            self._aborting.append(instance.uuid)
            try:
                return abort(context, instance, *args, **kwargs)
            finally:
                self._aborting.remove(instance.uuid)

        return do

    def _unbound_there(self, roll_back: Wrapped) -> Wrapped:
        """Return Nova's rollback, with the ports unbound from the destination before it.

        Nova asks the destination to do it, which may never hear of it. Before, since afterwards
        another migration to the same host may begin at once.
        """
        @functools.wraps(roll_back)
        def unbind(context: Any, instance: Any, dest: str, *args: Any, **kwargs: Any) -> Any:
            self._unbind(instance, dest)
            return roll_back(context, instance, dest, *args, **kwargs)

        return unbind

    def _unbound_here(self, rebuild: Wrapped) -> Wrapped:
        """Return Nova's evacuation, with the ports first unbound from this host.

        neutron binds no port to a host to which a migration has bound it already.
        """
        @functools.wraps(rebuild)
        def unbind(context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
            self._unbind(instance, self._host)
            return rebuild(context, instance, *args, **kwargs)

        return unbind

    def _unbind(self, instance: Any, host: str) -> None:
        if instance.host != host and instance.get_network_info():
            bindings.release(self._manager.network_api, nova_context.get_admin_context(),
                             instance, host)

    def _spared(self, destroy_evacuated: Wrapped) -> Wrapped:
        """Return Nova's removal of what was evacuated from here while it was down.

        It goes by its records of evacuations alone, which may be older than what is here now.
        """
        @functools.wraps(destroy_evacuated)
        def destroy(context: Any, *args: Any, **kwargs: Any) -> Any:
            find = self._manager._get_instances_on_driver
            self._end_old_evacuations(context)
            self._manager._get_instances_on_driver = self._without_unfinished(find)
            try:
                return destroy_evacuated(context, *args, **kwargs)
            finally:
                self._manager._get_instances_on_driver = find

        return destroy

    def _without_unfinished(self, find: Wrapped) -> Wrapped:
        """Leave out whose migration is not over: recovery decides on what is here of it.

        But not where Nova has it on a third host: what runs here is a second copy of it then.
        """
        @functools.wraps(find)
        def look(*args: Any, **kwargs: Any) -> Any:
            found = find(*args, **kwargs)
            # Between these it is recovery that knows which of them has the guest.
            places = {record.server: {record.source, record.destination}
                      for record in self._records.all()}
            spared = {instance.uuid for instance in found
                      if instance.host in places.get(instance.uuid, ())
                      or (instance.uuid in places and instance.task_state in hands_mod.REPLACING)}
            for instance in found:
                if instance.uuid in spared:
                    LOG.warning('It is not destroyed here, though it was evacuated: a migration '
                                'of it was not finished', instance=instance)
            return [instance for instance in found if instance.uuid not in spared]

        return look

    def _end_old_evacuations(self, context: Any) -> None:
        """End Nova's records of evacuations from here of servers that are here again."""
        for migration in objects.MigrationList.get_by_filters(context, {
                'source_compute': self._host, 'migration_type': vocabulary.EVACUATION,
                'status': list(UNCLEARED)}):
            try:
                server = objects.Instance.get_by_uuid(
                    context, migration.instance_uuid, expected_attrs=[])
            except nova_exception.InstanceNotFound:
                continue
            if server.host != self._host or server.task_state in hands_mod.REPLACING:
                continue
            LOG.warning('Nova has it on this host, and an evacuation from here that is %s: it is '
                        'not destroyed', migration.status, instance=server)
            migration.status = vocabulary.FAILED
            migration.save()


def _has(at_it: dict[str, str], server: str, migration: str | None) -> bool:
    """Whether a migration is among these, or any of the server for None."""
    return migration in at_it or (migration is None and server in list(at_it.values()))


def _asked_first(may_start: Callable[[Any, Any], None], rebuild: Wrapped) -> Wrapped:
    """Return Nova's rebuild, which is also evacuation's, with the question before it."""
    @functools.wraps(rebuild)
    def ask(context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            may_start(context, instance)
        except doors_mod.Closed as error:
            # Of this one Nova undoes what it claimed, and leaves the server as it is.
            raise nova_exception.RescheduledException(
                instance_uuid=instance.uuid, reason=str(error)) from error
        return rebuild(context, instance, *args, **kwargs)

    return ask


def _unless_here(host: str, keeps_allocation: Callable[[Any, Any], bool],
                 delete: Wrapped) -> Wrapped:
    """Return what Nova does after an evacuation failed, but not to a server that is here.

    It does the same where the rebuild of a server of this host is refused, and would take from it
    all that it holds.
    """
    @functools.wraps(delete)
    def look(context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        if instance.host != host and not keeps_allocation(context, instance):
            delete(context, instance, *args, **kwargs)

    return look


def _started(recovery: recovering.Recovery, has_to_ask: Callable[[Any, Any], bool],
             init_instance: Wrapped) -> Wrapped:
    places = threading.Semaphore(STARTS_AT_ONCE)

    def later(context: Any, instance: Any) -> None:
        try:
            instance.refresh()
        except nova_exception.InstanceNotFound:
            LOG.info('It was deleted meanwhile', instance=instance)
            return
        init_instance(context, instance)

    def beside(context: Any, instance: Any) -> None:
        # A silent host takes seconds to ask: the others, and Nova's service, need not wait.
        with places:
            try:
                later(context, instance)
            except Exception:
                LOG.exception('Nova has not looked after it as at each start', instance=instance)

    @functools.wraps(init_instance)
    def start(context: Any, instance: Any) -> Any:
        record = recovery.open_of(instance.uuid)
        if record is not None and instance.task_state != task_states.DELETING:
            LOG.info('It is left to recovery: a migration of it was not finished',
                     instance=instance)
            return recovery.owe(record, functools.partial(later, context, instance))
        if recovery.has_touched(instance.uuid):
            instance.refresh()
        if instance.task_state != task_states.DELETING and has_to_ask(context, instance):
            threading.Thread(target=beside, args=(context, instance), daemon=True,
                             name=f'start of {instance.uuid}').start()
            return None
        return init_instance(context, instance)

    return start
