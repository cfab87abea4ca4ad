# SPDX-License-Identifier: Apache-2.0
"""The destination's side: it prepares for guests that are still to come, and clears up by itself.

What was prepared is written down before, in a folder of its own, and removed by Nova's own end of
it. Where that never comes, as the message to the destination is lost, this host ends it.
"""

from __future__ import annotations

from collections.abc import Callable
import functools
import threading
from typing import Any

from nova import exception as nova_exception
from nova import objects
from oslo_log import log as logging

from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import prepared
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy import vocabulary
from nova_migpolicy import written as written_mod

LOG = logging.getLogger(__name__)

Record = record_mod.Record
Wrapped = Callable[..., Any]
# No guest is here: QEMU still waits for it, or is gone.
_NOT_COME = frozenset({evidence.Destination.INCOMING, evidence.Destination.ABSENT})


class Arrivals:
    """What this host, a destination, has prepared.

    :param records: of what was prepared
    :param has: what libvirt here has of a server
    :param at_source: what libvirt on a migration's source has of its server
    """

    def __init__(self, manager: Any, host: str, records: written_mod.Records,
                 has: Callable[[str], evidence.Destination],
                 at_source: Callable[[Any, Record], evidence.Source]) -> None:
        self._manager = manager
        self._host = host
        self._records = records
        self._has = has
        self._at_source = at_source
        # Of those that are being prepared or cleared, by their servers.
        self._at_work: set[str] = set()
        self._lock = threading.Lock()
        # What was found to be cleared once; Nova's own message may still be on its way then.
        self._seen: set[str] = set()

    def install(self) -> None:
        """Wrap Nova's manager of this host, once in the life of a process."""
        for name, wrap in (
                ('pre_live_migration', self._prepared),
                ('post_live_migration_at_destination', self._over),
                ('rollback_live_migration_at_destination',
                 lambda end: self._unless_arrived(self._over(end)))):
            setattr(self._manager, name, wrap(getattr(self._manager, name)))

    def _prepared(self, prepare: Wrapped) -> Wrapped:
        @functools.wraps(prepare)
        def do(context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
            migration = self._due(context, instance)
            data = kwargs['migrate_data'] if 'migrate_data' in kwargs else args[-1]
            kept = kept_mod.Kept(self._records, migration.uuid)
            if not self._begins(instance.uuid):
                raise nova_exception.MigrationError(
                    reason=f'{self._host} is still clearing what it had prepared for server '
                           f'{instance.uuid} before; try again in a minute')
            try:
                # What an earlier one has left is this one's now.
                self._forget(instance.uuid)
                kept.begin(lambda: self._describe(context, instance, migration, data))
                found = prepare(context, instance, *args, **kwargs)
                kept.begin(lambda: self._describe(context, instance, migration, found))
                return found
            finally:
                self._at_work.discard(instance.uuid)

        return do

    def _begins(self, server: str) -> bool:
        """Whether nobody is at work on a server here, which the caller is from now on."""
        with self._lock:
            if server in self._at_work:
                return False
            self._at_work.add(server)
            return True

    def _due(self, context: Any, instance: Any) -> Any:
        """Return the migration for which this host is to be prepared now.

        :raises nova_exception.MigrationError: there is none any more
        """
        found = objects.MigrationList.get_by_filters(context.elevated(), {
            'instance_uuid': instance.uuid, 'migration_type': vocabulary.LIVE_MIGRATION,
            'status': [vocabulary.NOVA_PREPARING]})
        for migration in found:
            if migration.dest_compute == self._host:
                return migration
        reason = (f'{self._host} does not prepare for server {instance.uuid}: no live migration '
                  f'of it to {self._host} is being prepared any more. The message has come late; '
                  'what waited for it has given up')
        LOG.warning('%s', reason, instance=instance)
        raise nova_exception.MigrationError(reason=reason)

    def _describe(self, context: Any, instance: Any, migration: Any, data: Any) -> Record:
        return kept_mod.describe(
            context, instance, self._host, migration, data, source=migration.source_compute,
            block_migration=False, written=evidence.Written.PREPARING, source_bdms=None)

    def _over(self, end: Wrapped) -> Wrapped:
        @functools.wraps(end)
        def do(context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
            result = end(context, instance, *args, **kwargs)
            self._forget(instance.uuid)
            return result

        return do

    def _unless_arrived(self, clear: Wrapped) -> Wrapped:
        """Return Nova's rollback, but not of a guest that has come.

        Nova ends whatever domain is here, with its disks where they are not shared. What is
        prepared stays written down: the source's recovery decides, and this host looks again.
        """
        @functools.wraps(clear)
        def do(context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
            found = self._has(instance.uuid)
            if found in _NOT_COME:
                return clear(context, instance, *args, **kwargs)
            LOG.error('Nova asks this host to roll a live migration back, and the guest here '
                      '%s: nothing is destroyed; what becomes of it is decided by recovery on '
                      'its source', found.value, instance=instance)
            return None

        return do

    def _forget(self, server: str) -> None:
        for record in self._records.all():
            if record.server == server:
                try:
                    self._records.drop(record.migration)
                except exception.MigPolicyError as error:
                    LOG.warning('%s', error, instance_uuid=server)

    def look(self) -> None:
        """Clear what nobody needs any more."""
        seen, self._seen = self._seen, set()
        for record in self._records.all():
            if not self._begins(record.server):
                continue
            try:
                self._settle(record, seen)
            except Exception:
                LOG.exception('What was prepared for migration %s is looked at again',
                              record.migration, instance_uuid=record.server)
            finally:
                self._at_work.discard(record.server)

    def _settle(self, record: Record, seen: set[str]) -> None:
        context = kept_mod.context_of(record)
        known = hands_mod.nova_knows(record, context)
        domain = self._has(record.server)
        found = prepared.answer(known.home, known.status, domain)
        if found is prepared.Answer.ASK:
            found = prepared.answer(known.home, known.status, domain,
                                    self._at_source(context.elevated(), record))
        if found is prepared.Answer.KEEP:
            return
        if found is prepared.Answer.FORGET:
            self._records.drop(record.migration)
        elif record.migration not in seen or hands_mod.is_in_use(
                context, record.server, self._host, record.migration):
            # Nova binds ports to this host before it tells it of the next migration, and a
            # resize fills the folder that would be removed.
            self._seen.add(record.migration)
        else:
            LOG.warning('Nobody has told this host to clear what it had prepared for migration '
                        '%s, which is over', record.migration, instance_uuid=record.server)
            self._clear(context, record)

    def _clear(self, context: Any, record: Record) -> None:
        context = context.elevated(read_deleted='yes')
        try:
            instance = objects.Instance.get_by_uuid(
                context, record.server, expected_attrs=hands_mod.ATTRIBUTES)
        except nova_exception.InstanceNotFound:
            LOG.error("Nova's database knows nothing of this server any more, so what migration "
                      '%s had prepared for it here is not removed: look for its files in '
                      'instances_path, and remove them', record.migration,
                      instance_uuid=record.server)
            self._records.drop(record.migration)
            return
        data, _ = kept_mod.objects_of(record, context)
        is_needed, destroy_disks = self._manager._live_migration_cleanup_flags(
            data, migr_ctxt=instance.migration_context)
        if is_needed and not instance.deleted:
            # It looks once more whether the guest has come, and ends the record if not.
            self._manager.rollback_live_migration_at_destination(
                context, instance, destroy_disks=destroy_disks, migrate_data=data)
            return
        if is_needed:
            self._manager.driver.cleanup(
                context, instance, instance.get_network_info(), block_device_info={},
                destroy_disks=destroy_disks, migrate_data=data)
        self._records.drop(record.migration)
