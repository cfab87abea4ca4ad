# SPDX-License-Identifier: Apache-2.0
"""The places in Nova's manager that know a migration before the driver does.

A migration is written down when the source hears of it, and is Nova's own until it is handed over.
At the start of nova-compute a server with an unfinished migration is left to recovery: Nova would
abort its job, or take it for a server that went down and boot a second copy.
"""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

from nova.compute import task_states
from nova import exception as nova_exception
from nova import objects
from oslo_log import log as logging

from nova_migpolicy.compute import doors as doors_mod
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import recovering
from nova_migpolicy.recovery import evidence
from nova_migpolicy import written as written_mod

LOG = logging.getLogger(__name__)

Wrapped = Callable[..., Any]


class Hooks:
    """What wraps Nova's manager of this host."""

    def __init__(self, manager: Any, host: str, records: written_mod.Records) -> None:
        self._manager = manager
        self._host = host
        self._records = records
        # The UUIDs of migrations that enter Nova's queue, and that Nova is at work on.
        self._entering: set[str] = set()
        self._at_work: set[str] = set()

    def install(self, recovery: recovering.Recovery, may_start: Callable[[Any, Any], None],
                keeps_allocation: Callable[[Any, Any], bool]) -> None:
        """Put them in place, once in the life of a process.

        :param recovery: takes up what an earlier process has left
        :param may_start: raises Closed where a server's guest must not be started here
        :param keeps_allocation: whether a server has arrived here, and has what it takes
        """
        wraps: dict[str, Callable[[Wrapped], Wrapped]] = {
            'live_migration': self._entered, '_do_live_migration': self._did,
            '_do_rebuild_instance_with_claim': functools.partial(_asked_first, may_start),
            '_init_instance': functools.partial(_started, recovery)}
        for name, wrap in wraps.items():
            setattr(self._manager, name, wrap(getattr(self._manager, name)))
        tracker = self._manager.rt
        tracker.delete_allocation_for_evacuated_instance = _unless_arrived(
            keeps_allocation, tracker.delete_allocation_for_evacuated_instance)

    def is_novas(self, server: str, migration: str) -> bool:
        """Whether Nova itself, in this process, has a migration in its queue or is at work on it.

        :param migration: its UUID
        """
        # In this order: it is in at least one of them at each moment.
        return (migration in self._entering or server in self._manager._waiting_live_migrations
                or migration in self._at_work)

    @property
    def is_at_work(self) -> bool:
        """Whether Nova, in this process, prepares a migration or waits for one."""
        return bool(self._at_work)

    def _entered(self, live_migration: Wrapped) -> Wrapped:
        @functools.wraps(live_migration)
        def enter(context: Any, dest: str, instance: Any, block_migration: bool, migration: Any,
                  migrate_data: Any) -> Any:
            self._entering.add(migration.uuid)
            try:
                self._write(context, dest, instance, block_migration, migration, migrate_data)
                return live_migration(context, dest, instance, block_migration, migration,
                                      migrate_data)
            finally:
                self._entering.discard(migration.uuid)

        return enter

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
            self._at_work.add(migration.uuid)
            try:
                return do_live_migration(context, dest, instance, block_migration, migration,
                                         migrate_data)
            finally:
                self._at_work.discard(migration.uuid)

        return do


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


def _unless_arrived(keeps_allocation: Callable[[Any, Any], bool], delete: Wrapped) -> Wrapped:
    """Return what Nova does after an evacuation failed, but not to a server that is here."""
    @functools.wraps(delete)
    def look(context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        if not keeps_allocation(context, instance):
            delete(context, instance, *args, **kwargs)

    return look


def _started(recovery: recovering.Recovery, init_instance: Wrapped) -> Wrapped:
    @functools.wraps(init_instance)
    def start(context: Any, instance: Any) -> Any:
        record = recovery.open_of(instance.uuid)
        if record is None or instance.task_state == task_states.DELETING:
            if recovery.has_touched(instance.uuid):
                instance.refresh()
            return init_instance(context, instance)
        LOG.info('It is left to recovery: a migration of it was not finished', instance=instance)

        def later() -> None:
            try:
                instance.refresh()
            except nova_exception.InstanceNotFound:
                LOG.info('It was deleted meanwhile', instance=instance)
                return
            init_instance(context, instance)

        return recovery.owe(record, later)

    return start
