# SPDX-License-Identifier: Apache-2.0
"""The written record of a migration, from what Nova hands over to its last step.

It is made before anything is sent, brought up to date at the steps that decide what a dead
nova-compute has left behind, and dropped when all is done. A record that cannot be written costs a
line of log, and the migration its protection, but not the migration.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import time
import types
from typing import Any

from nova.compute import vm_states
from nova import context as nova_context
from nova import objects
from nova.objects import base as objects_base
from oslo_log import log as logging

from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy import written as written_mod

LOG = logging.getLogger(__name__)

Written = evidence.Written
# The name under which Nova's manager hands the volumes over, as they were before.
VOLUMES = 'source_bdms'


def describe(context: Any, instance: Any, dest: str, migration: Any, migrate_data: Any, *,
             block_migration: bool, source_bdms: Any, source: str, written: Written,
             policy: Mapping[str, Any] | None = None) -> record_mod.Record:
    """Return the record of a migration as Nova describes it.

    :param policy: see `policy_of`
    """
    return record_mod.Record(
        server=instance.uuid, migration=migration.uuid, source=source, destination=dest,
        written=written, was_paused=instance.vm_state == vm_states.PAUSED,
        block_migration=bool(block_migration), request_id=context.request_id,
        user_id=context.user_id, project_id=context.project_id, started_s=time.time(),
        migrate_data=_primitive(migrate_data), source_bdms=_primitive(source_bdms),
        policy=policy or {})


def volumes_of(post_method: Callable[..., Any]) -> Any:
    """Return the volumes as they were before, which Nova binds to its way to finish."""
    return getattr(post_method, 'keywords', {}).get(VOLUMES)


def policy_of(in_force: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form in which a policy is written down.

    :param in_force: as commands.Commands has it
    :param request: the keys of the migration's request
    """
    return {'fields': in_force['policy'], 'origins': in_force['origins'], 'request': request,
            'retuned': in_force.get('retuned', {}), 'held': in_force.get('held', {})}


def _primitive(thing: Any) -> Mapping[str, Any] | None:
    return None if thing is None else thing.obj_to_primitive()


def context_of(record: record_mod.Record) -> Any:
    """Return an administrator's context for the rest of a migration, under its request's id."""
    context = nova_context.get_admin_context()
    if record.request_id:
        context.request_id = record.request_id
    return context


def objects_of(record: record_mod.Record, context: Any) -> tuple[Any, Any]:
    """Return Nova's data of a migration and its volumes, as they were before.

    :raises exception.BadRecord: they cannot be read, such as those of a newer Nova
    """
    try:
        return (_object(objects.migrate_data.LibvirtLiveMigrateData, record.migrate_data, context),
                _object(objects.BlockDeviceMappingList, record.source_bdms, context)
                or objects.BlockDeviceMappingList(objects=[]))
    except Exception as error:
        raise exception.BadRecord(
            'migrate_data', record.migration, f'Nova cannot read it: {error}') from error


def _object(kind: Any, primitive: Mapping[str, Any] | None, context: Any) -> Any:
    if primitive is None:
        return None
    # Nova's serializer knows the older forms of an object, and refuses newer ones.
    found = objects_base.NovaObjectSerializer().deserialize_entity(context, dict(primitive))
    if not isinstance(found, kind):
        raise TypeError(f'it is {type(found).__name__}')
    return found


class Kept:
    """The record of one migration that is under way.

    :param request: the policy keys of its request
    :ivar is_kept: it is on the disk
    :ivar is_misleading: an earlier one is, which could be neither replaced nor removed
    :ivar record: as it was begun, whether it is on the disk or not; None before
    """

    def __init__(self, records: written_mod.Records, migration: str,
                 request: Mapping[str, Any] = types.MappingProxyType({}), *,
                 is_kept: bool = False) -> None:
        self._records = records
        self._migration = migration
        self.request = request
        self.is_kept = is_kept
        self.is_misleading = False
        self.record: record_mod.Record | None = None

    def begin(self, describe: Callable[[], record_mod.Record]) -> None:
        """Write it before anything is sent.

        An earlier one goes where this fails: it would be taken for what is not so any more.
        """
        try:
            self.record = describe()
            self._records.keep(self.record)
            self.is_kept = True
        except Exception as error:
            LOG.error('If nova-compute dies during migration %(migration)s, it is not recovered: '
                      '%(error)s', {'migration': self._migration, 'error': error},
                      exc_info=not isinstance(error, exception.MigPolicyError))
            self.drop()
            self.is_misleading = self._is_there()

    def _is_there(self) -> bool:
        try:
            return self._records.get(self._migration) is not None
        except exception.MigPolicyError:
            return True

    def change(self, **fields: Any) -> None:
        """Bring it up to date."""
        try:
            if self.is_kept:
                self._records.change(self._migration, **fields)
        except exception.MigPolicyError as error:
            LOG.warning('The record of migration %(migration)s is not up to date: %(error)s',
                        {'migration': self._migration, 'error': error})

    def policy_known(self, in_force: Mapping[str, Any]) -> None:
        """Write the policy down before QEMU is told anything, where Nova's start was written."""
        try:
            self._records.change(self._migration, policy=policy_of(in_force, self.request))
        except exception.MigPolicyError as error:
            LOG.warning('The policy of migration %(migration)s is not written down: %(error)s',
                        {'migration': self._migration, 'error': error})

    def policy_changed(self, in_force: Mapping[str, Any]) -> None:
        """Write down the policy after an operator's change."""
        self.change(policy=policy_of(in_force, self.request))

    def ending(self, written: Written, end: Callable[..., Any]) -> Callable[..., Any]:
        """Return Nova's way to end it, which is marked before and drops the record afterwards.

        Where it fails, the record stays: what is left is done later from it.
        """
        def marked(*args: Any, **kwargs: Any) -> Any:
            self.change(written=written)
            result = end(*args, **kwargs)
            self.drop()
            return result

        return marked

    def drop(self) -> None:
        """Remove it: nothing is left to do."""
        try:
            self._records.drop(self._migration)
        except exception.MigPolicyError as error:
            LOG.warning('The record of migration %(migration)s is still there: %(error)s',
                        {'migration': self._migration, 'error': error})
