# SPDX-License-Identifier: Apache-2.0
"""What recovery does to Nova and to this host: each action may be done again after any death.

Nova's own methods finish a migration or roll it back, as they would have; what a death or Nova's
own reset has changed meanwhile is put back before. Which action is due is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any, NamedTuple

from nova.compute import task_states
from nova.compute import vm_states
from nova import exception as nova_exception
from nova.network import model as network_model
from nova import objects
from oslo_log import log as logging

from nova_migpolicy.compute import bindings
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

# What a server is locked with begins with this; a lock of anybody else is left alone.
LOCK_MARK = 'nova_migpolicy: '
LOCKED_REASON = 'locked_reason'
_STATUS = {vocabulary.COMPLETED: evidence.Status.COMPLETED, None: evidence.Status.UNDER_WAY}
# What a manager is given of a server.
ATTRIBUTES = ['flavor', 'info_cache', 'metadata', 'system_metadata', 'numa_topology',
              'pci_devices', 'migration_context', 'resources']
# Its words for an evacuation that has ended well, before and after its source was cleared.
_EVACUATED = frozenset({'done', 'completed'})
#: Nova's word for a migration that nobody has brought to an end
ODD_END = vocabulary.NOVA_ERROR
#: its words for one that it or we have
ENDED_WELL = vocabulary.FINAL_STATUSES - {ODD_END}
# Nova is about to start the server elsewhere whose host it takes to be off, or to remove it.
REPLACING = frozenset((task_states.REBUILDING, task_states.REBUILD_BLOCK_DEVICE_MAPPING,
                       task_states.REBUILD_SPAWNING, task_states.DELETING))
# Nova makes, moves or removes its domain or files on a host that need not be its own.
CHANGING = REPLACING | {
    task_states.RESIZE_PREP, task_states.RESIZE_MIGRATING, task_states.RESIZE_MIGRATED,
    task_states.RESIZE_FINISH, task_states.RESIZE_REVERTING, task_states.RESIZE_CONFIRMING,
    task_states.SHELVING_OFFLOADING, task_states.UNSHELVING, task_states.SPAWNING}
#: more unfinished migrations of a server than these are not looked at
MOST_ROWS = 100
# Nova's times have whole seconds: of two within one, the later record is the newer one.
_NEWEST_FIRST = {'sort_keys': ['created_at', 'id'], 'sort_dirs': ['desc', 'desc']}
# Nova's words for any move of a server after which nothing of it is to come any more.
_MOVED = vocabulary.FINAL_STATUSES | {'confirmed', 'reverted'}


class Known(NamedTuple):
    """What Nova's database says of a migration and its server.

    home: the server's host. migrating: the server's task state says so. was_paused: by its user.
    is_superseded: a newer live migration of the server is under way.
    """

    home: evidence.Home
    status: evidence.Status
    migrating: bool
    was_paused: bool
    is_superseded: bool = False


def nova_knows(record: record_mod.Record, context: Any) -> Known:
    """Return what Nova's database says of a migration and its server."""
    try:
        instance = objects.Instance.get_by_uuid(context, record.server, expected_attrs=[])
    except nova_exception.InstanceNotFound:
        return Known(evidence.Home.NONE, evidence.Status.MISSING, False, False)
    except Exception as error:
        LOG.warning("Nova's database does not say where the server is: %s", error,
                    instance_uuid=record.server)
        return Known(evidence.Home.SILENT, evidence.Status.MISSING, False, False)
    home = evidence.Home.CHANGING if instance.task_state in CHANGING else {
        record.source: evidence.Home.SOURCE,
        record.destination: evidence.Home.DESTINATION}.get(instance.host, evidence.Home.OTHER)
    try:
        status, number = _find(record, context)
        is_superseded = any(
            other.id > number and other.uuid != record.migration
            for other in bindings.under_way(context, record.server, asked_for=True))
    except Exception as error:
        LOG.warning("Nova's database does not say how the migration is: %s", error,
                    instance_uuid=record.server)
        return Known(evidence.Home.SILENT, evidence.Status.MISSING, False, False)
    return Known(home, status, instance.task_state == task_states.MIGRATING,
                 instance.vm_state == vm_states.PAUSED or record.was_paused, is_superseded)


def _find(record: record_mod.Record, context: Any) -> tuple[evidence.Status, int]:
    """Return how Nova's record of a migration is, and its number: a newer one's is higher."""
    try:
        found = objects.Migration.get_by_uuid(context, record.migration)
    except nova_exception.MigrationNotFound:
        return evidence.Status.MISSING, 0
    return status_of(found.status), found.id


def evacuated_to(record: record_mod.Record, context: Any) -> str | None:
    """Return the host where Nova has a server since it was evacuated from the source.

    None where it was not evacuated since the migration began, or not to an end, and where that is
    not known.
    """
    try:
        evacuation = newest(context, record.server, vocabulary.EVACUATION)
        if (evacuation is None or evacuation.source_compute != record.source
                or evacuation.status not in _EVACUATED):
            return None
        migration = objects.Migration.get_by_uuid(context, record.migration)
        server = objects.Instance.get_by_uuid(context, record.server, expected_attrs=[])
    except Exception as error:
        LOG.warning("Nova's database does not say whether the server was evacuated: %s", error,
                    instance_uuid=record.server)
        return None
    is_later = evacuation.created_at > migration.created_at
    return server.host if is_later and server.host != record.source else None


def status_of(word: str) -> evidence.Status:
    """Return what Nova's word for a migration means."""
    meaning = vocabulary.NOVA_STATUS.get(word)
    if meaning is not None and meaning.phase in (vocabulary.QUEUED, vocabulary.WAITING):
        return evidence.Status.QUEUED
    if word == ODD_END:
        return evidence.Status.GIVEN_UP
    return _STATUS.get(meaning.outcome if meaning else None, evidence.Status.ENDED)


class Hands:
    """The actions of recovery on this host, the source.

    :param manager: Nova's manager of this host
    :param host: this host
    :param guest: gives the calls on a server's domain
    :param commanded: likewise, with monitor commands where they are permitted
    """

    def __init__(self, manager: Any, host: str,
                 guest: Callable[[str], guest_mod.MigratingGuest],
                 commanded: Callable[[str], guest_mod.MigratingGuest]) -> None:
        self._manager = manager
        self._host = host
        self._guest = guest
        self._commanded = commanded
        # Of servers that have arrived here and were finished here: what they take, by the class of
        # the resource; None where that is in more than one place.
        self._takes: dict[str, dict[str, int] | None] = {}

    def finish(self, record: record_mod.Record) -> None:
        """Let Nova finish a migration whose guest has arrived, from wherever it was left."""
        context = kept_mod.context_of(record)
        instance, migration = load(record, context)
        migrate_data, volumes = kept_mod.objects_of(record, context)
        migrate_data.migration = migration
        if (instance.host == record.destination
                and status_of(migration.status) not in (
                    evidence.Status.ENDED, evidence.Status.GIVEN_UP)):
            # The destination has told Nova; only the end of this side is missing, or a part of it,
            # and what the destination does after it has told.
            self._clear_source(context, instance, record, migrate_data)
            bindings.settle(self._manager.network_api, context, instance, migration)
            self._close(context, instance, migration, vocabulary.COMPLETED)
            return
        self._reopen(context, instance, record)
        self._manager._post_live_migration_update_host(
            context, instance, record.destination, record.block_migration, migrate_data,
            source_bdms=volumes)

    def _clear_source(self, context: Any, instance: Any, record: record_mod.Record,
                      migrate_data: Any) -> None:
        """Remove what a guest has left here, as Nova does before it tells the destination.

        It may not have been done: the destination is told by another where this host is off.
        """
        if has_other_move(context, record.server, self._host, record.migration):
            LOG.warning('What it has left here stays: another move of it needs this host',
                        instance=instance)
            return
        vifs = instance.get_network_info()
        if 'vifs' in migrate_data and migrate_data.vifs:
            vifs = network_model.NetworkInfo.hydrate(
                [vif.source_vif for vif in migrate_data.vifs])
        self._manager.driver.post_live_migration_at_source(context, instance, vifs)
        is_needed, destroy_disks = self._manager._live_migration_cleanup_flags(
            migrate_data, migr_ctxt=instance.migration_context)
        if is_needed:
            self._manager.driver.cleanup(
                context, instance, vifs, destroy_disks=destroy_disks, migrate_data=migrate_data,
                destroy_vifs=False)

    def roll_back(self, record: record_mod.Record, status: str = vocabulary.FAILED) -> None:
        """Let Nova roll back a migration whose guest has stayed, from wherever it was left.

        :param status: Nova's word for the migration afterwards
        """
        context = kept_mod.context_of(record)
        instance, migration = load(record, context)
        migrate_data, volumes = kept_mod.objects_of(record, context)
        if migrate_data is None:
            # Nothing was written down, and no host had begun with it.
            self.never_began(context, instance, migration)
            return
        migrate_data.migration = migration
        self._reopen(context, instance, record)
        self._manager._rollback_live_migration(
            context, instance, record.destination, migrate_data, migration_status=status,
            source_bdms=volumes)

    def never_began(self, context: Any, instance: Any, migration: Any) -> None:
        """End a migration with which no host has begun."""
        self._manager._revert_allocation(context, instance, migration)
        self.let_stay(context, instance.uuid)
        end(migration)

    @staticmethod
    def let_stay(context: Any, server: str) -> None:
        """Let Nova's users act again on a server that does not migrate."""
        instance = objects.Instance.get_by_uuid(context, server, expected_attrs=[])
        if instance.task_state == task_states.MIGRATING:
            instance.task_state = None
            instance.save(expected_task_state=[task_states.MIGRATING])

    def finish_here(self, context: Any, server: str, migration: Any) -> None:
        """Finish, on the destination and alone, a migration whose source is off."""
        instance = _instance(server, context)
        self.note_allocation(context, server, migration.uuid)
        if instance.host != self._host:
            instance.task_state = task_states.MIGRATING
            instance.save()
            self._manager.network_api.migrate_instance_start(context, instance, migration)
            # As the source would have asked for: disks that were copied are here.
            self._manager.post_live_migration_at_destination(context, instance, False)
        instance.refresh()
        if instance.vm_state == vm_states.ERROR:
            instance.vm_state = vm_states.ACTIVE
            instance.save()
        self._close(context, instance, migration, vocabulary.COMPLETED)

    def note_allocation(self, context: Any, server: str, migration: str) -> None:
        """Take note of the allocation of a server that has come here, or is coming.

        Its migration has the same on the source. See keeps_allocation.

        :param migration: its UUID
        """
        held = self._manager.reportclient.get_allocations_for_consumer(context, migration)
        places = [place['resources'] for place in held.values()]
        self._takes[server] = places[0] if len(places) == 1 else None

    def keeps_allocation(self, context: Any, instance: Any) -> bool:
        """Give a server that has arrived here what it takes, once, in place of all it holds.

        An evacuation to this very host has claimed the same once more, and would give all back.
        """
        takes = self._takes.pop(instance.uuid, None)
        if takes is None:
            return False
        client = self._manager.reportclient
        held = client.get_allocs_for_consumer(context, instance.uuid)
        node = self._manager._get_compute_info(context, self._host)
        held['allocations'] = {node.uuid: {'resources': takes}}
        client.put_allocations(context, instance.uuid, held)
        return True

    def close(self, record: record_mod.Record) -> None:
        """End Nova's record of a migration whose server was rebuilt elsewhere, or deleted."""
        context = kept_mod.context_of(record)
        try:
            server, migration = load(record, context)
        except nova_exception.InstanceNotFound:
            # Nova has deleted both rows, but a migration has a claim of its own; and one that was
            # rolled back meanwhile has given it back to the server.
            for uuid, kind in ((record.server, 'instance'), (record.migration, 'migration')):
                self._manager.reportclient.delete_allocation_for_instance(
                    context, uuid, consumer_type=kind, force=True)
            return
        bindings.release_left(self._manager.network_api, context, server, migration)
        self._close(context, server, migration, vocabulary.FAILED)

    def drop_allocation(self, record: record_mod.Record) -> None:
        """Delete the allocation that a completed migration still has on its source.

        Its server may be back there, with the allocation that a later migration has made.
        """
        context = kept_mod.context_of(record)
        try:
            server, migration = load(record, context)
        except nova_exception.NotFound:
            return
        if status_of(migration.status) is evidence.Status.COMPLETED:
            self._manager._delete_allocation_after_move(context, server, migration)

    def _close(self, context: Any, instance: Any, migration: Any, status: str) -> None:
        if status_of(migration.status) in (evidence.Status.QUEUED, evidence.Status.UNDER_WAY):
            migration.status = status
            migration.save()
        self._manager._delete_allocation_after_move(context, instance, migration)

    def _reopen(self, context: Any, instance: Any, record: record_mod.Record) -> None:
        """Let Nova believe again that the migration is under way, as its methods expect.

        :raises UnexpectedTaskStateError: Nova is at something else with the server
        """
        if instance.host != record.source:
            node = self._manager._get_compute_info(context, record.source)
            instance.host, instance.node = record.source, node.hypervisor_hostname
            instance.compute_id = node.id
        instance.task_state = task_states.MIGRATING
        if instance.vm_state == vm_states.ERROR:
            instance.vm_state = vm_states.PAUSED if record.was_paused else vm_states.ACTIVE
        instance.save(expected_task_state=[task_states.MIGRATING, None])

    def let_run(self, record: record_mod.Record) -> None:
        """Let a guest that stayed run as before: not paused, and free to be slowed by others.

        One that does not run in spite of it, as after an I/O error, is told in the log.
        """
        self._free_throttle(record)
        if record.was_paused:
            return
        trouble = outcome_mod.resume_if_paused(self._guest(record.server))
        if trouble is not None:
            LOG.error('%s', trouble, instance_uuid=record.server)

    def _free_throttle(self, record: record_mod.Record) -> None:
        """Let QEMU have its own limits of auto-converge again, where ours may still hold it back.

        A migration without the plugin could not slow the guest else. A guest that has left has
        another QEMU, which never had ours.
        """
        if not may_hold_throttle(record.policy):
            return
        try:
            self._commanded(record.server).free_throttle()
        except exception.GuestError as error:
            LOG.warning('What holds auto-converge back is left in QEMU: %s', error,
                        instance_uuid=record.server)

    def remove_source_copy(self, record: record_mod.Record) -> None:
        """Remove the copy here of a guest that runs on the destination.

        :raises exception.GuestError: it is still there
        """
        try:
            self._guest(record.server).remove()
        except exception.GuestGone:
            pass

    def end_copy(self, record: record_mod.Record) -> None:
        """End a second copy here of what was evacuated, as Nova does at its own start.

        :raises exception.GuestError: Nova has not evacuated it from here
        """
        context = kept_mod.context_of(record)
        host = evacuated_to(record, context)
        if host is None:
            raise exception.GuestError('destroy', "Nova's database does not say that the server "
                                       'was evacuated from here')
        instance, manager = _instance(record.server, context), self._manager
        network_info = manager.network_api.get_instance_nw_info(context, instance)
        volumes = manager._get_instance_block_device_info(context, instance)
        is_shared = manager._is_instance_storage_shared(context, instance, host=host)
        LOG.warning('A second copy of it runs here beside the one on %(host)s, to which it was '
                    'evacuated, and is ended: check its file systems', {'host': host},
                    instance=instance)
        manager.driver.destroy(context, instance, network_info, volumes, not is_shared)

    def discard(self, context: Any, server: str) -> None:
        """Remove what a deleted server has left on this host, as Nova does half an hour later.

        :raises exception.GuestError: the server is not deleted
        """
        context = context.elevated(read_deleted='yes')
        try:
            instance = objects.Instance.get_by_uuid(context, server, expected_attrs=ATTRIBUTES)
        except nova_exception.InstanceNotFound:
            instance = None
        if instance is None or not instance.deleted:
            raise exception.GuestError('destroy', "Nova's database does not say that the server "
                                       'is deleted')
        self._manager._shutdown_instance(
            context, instance, objects.BlockDeviceMappingList.get_by_instance_uuid(
                context, server), notify=False, try_deallocate_networks=False)

    @staticmethod
    def lock(record: record_mod.Record, reason: str) -> None:
        """Keep Nova's users from starting, rebuilding or deleting the server; show why."""
        instance = objects.Instance.get_by_uuid(
            kept_mod.context_of(record), record.server, expected_attrs=['system_metadata'])
        why = instance.system_metadata.get(LOCKED_REASON) or ''
        if instance.locked and not why.startswith(LOCK_MARK):
            return
        text = (LOCK_MARK + reason)[:255]
        if instance.locked and why == text:
            return
        instance.locked, instance.locked_by = True, 'admin'
        instance.system_metadata[LOCKED_REASON] = text
        instance.save()

    @staticmethod
    def unlock(record: record_mod.Record) -> None:
        """Undo `lock`, if it was by us."""
        try:
            instance = objects.Instance.get_by_uuid(
                kept_mod.context_of(record), record.server, expected_attrs=['system_metadata'])
        except nova_exception.InstanceNotFound:
            return
        if _unlock(instance):
            instance.save()

    def let_go(self, record: record_mod.Record) -> bool:
        """Let Nova's users act again on a server that an operator has released.

        Returns whether that still matters: a newer migration of the server ends it.
        """
        context = kept_mod.context_of(record)
        found = newest(context, record.server)
        if found is None or found.uuid != record.migration:
            return False
        try:
            instance, migration = load(record, context)
        except nova_exception.InstanceNotFound:
            return False
        if migration.status not in ENDED_WELL:
            self._return_claims(context, record, instance, migration)
        _unlock(instance)
        if instance.task_state == task_states.MIGRATING:
            instance.task_state = None
        instance.save()
        return True

    def _return_claims(self, context: Any, record: record_mod.Record, instance: Any,
                       migration: Any) -> None:
        """Keep what is claimed in placement on the server's host alone, and end the migration."""
        if instance.host == record.source:
            self._manager._revert_allocation(context, instance, migration)
        else:
            self._manager._delete_allocation_after_move(context, instance, migration)
        # Not a good end: the doors go on to ask until the release is used.
        migration.status = ODD_END
        migration.save()


def may_hold_throttle(policy: Mapping[str, Any]) -> bool:
    """Whether auto-converge may have been held back, before the start, under a written policy."""
    # What is written now says nothing of the start where it was retuned.
    return bool(policy.get('retuned')) or (
        'auto_converge' in policy.get('fields', {}).get('remedies', ()))


def _unlock(instance: Any) -> bool:
    """Undo a lock by us, without saving it; return whether there was one."""
    is_ours = instance.locked and (
        instance.system_metadata.get(LOCKED_REASON) or '').startswith(LOCK_MARK)
    if is_ours:
        instance.locked, instance.locked_by = False, None
        del instance.system_metadata[LOCKED_REASON]
    return bool(is_ours)


def newest(context: Any, server: str, kind: str | None = vocabulary.LIVE_MIGRATION) -> Any:
    """Return Nova's newest migration of a server; None for none.

    :param kind: in Nova's word, or None for any
    """
    filters = {'instance_uuid': server} | ({} if kind is None else {'migration_type': kind})
    found = objects.MigrationList.get_by_filters(
        context, filters, **_NEWEST_FIRST, limit=1)
    return next(iter(found), None)


def newest_first(context: Any, server: str) -> Any:
    """Return Nova's live migrations of a server, newest first; as many as can matter."""
    return objects.MigrationList.get_by_filters(
        context, {'instance_uuid': server, 'migration_type': vocabulary.LIVE_MIGRATION},
        **_NEWEST_FIRST, limit=MOST_ROWS)


def is_in_use(context: Any, server: str, host: str, migration: str) -> bool:
    """Whether Nova is at anything with a server, or any other move of it needs a host.

    :param migration: the UUID of the move that does not count
    """
    try:
        instance = objects.Instance.get_by_uuid(
            context.elevated(read_deleted='yes'), server, expected_attrs=[])
    except nova_exception.InstanceNotFound:
        return False
    if instance.deleted:
        return False
    return instance.task_state is not None or has_other_move(context, server, host, migration)


def has_other_move(context: Any, server: str, host: str, migration: str) -> bool:
    """Whether any other move of a server, that has not ended, needs a host.

    :param migration: the UUID of the move that does not count
    """
    return any(move.uuid != migration and move.status not in _MOVED
               for move in objects.MigrationList.get_by_filters(
                   context, {'instance_uuid': server, 'host': host}))


def end(migration: Any) -> None:
    """Let Nova's record of a migration say that it is over, and that nothing is left of it."""
    if migration.status not in ENDED_WELL:
        migration.status = vocabulary.FAILED
        migration.save()


def load(record: record_mod.Record, context: Any) -> tuple[Any, Any]:
    """Return Nova's server and migration, with what a manager is given of a server."""
    return (_instance(record.server, context),
            objects.Migration.get_by_uuid(context, record.migration))


def _instance(server: str, context: Any) -> Any:
    return objects.Instance.get_by_uuid(context, server, expected_attrs=ATTRIBUTES)
