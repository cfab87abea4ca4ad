# SPDX-License-Identifier: Apache-2.0
"""The table of Nova's private names that the plugin relies on, and what is checked in each.

It is compared with the installed Nova when nova-compute starts, and by a test for each
supported release, which also checks how the names behave. What differs between releases is
dealt with in ``compute.compat``.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import importlib
import inspect
from typing import Any

DRIVER = 'nova.virt.libvirt.driver:LibvirtDriver'
HOST = 'nova.virt.libvirt.host:Host'
GUEST = 'nova.virt.libvirt.guest:Guest'
MANAGER = 'nova.compute.manager:ComputeManager'
NETWORK = 'nova.network.neutron:API'


@dataclasses.dataclass(frozen=True)
class Name:
    """A private name of Nova's.

    :ivar path: module, a colon, and the name in it.
    :ivar use: what it is needed for; the second half of a sentence with "to".
    :ivar parameters: what it takes, without self; ``a|b`` where releases differ, a trailing
        ``=`` where a default is relied on. Nova may have more that have defaults.
    :ivar sets: attributes that it gives to its object.
    """

    path: str
    use: str
    parameters: tuple[str, ...] | None = None
    sets: tuple[str, ...] = ()


_MIGRATION = ('context', 'instance', 'dest', 'post_method', 'recover_method', 'block_migration',
              'migrate_data')

NAMES: tuple[Name, ...] = (
    Name(f'{DRIVER}.__init__', 'begin as Nova does', ('virtapi', 'read_only='),
         sets=('_host', 'active_migrations', '_live_migration_flags',
               '_block_migration_flags')),
    Name(f'{DRIVER}.init_host', 'begin as Nova does', ('host',)),
    Name(f'{DRIVER}.cleanup_host', 'stop as Nova does', ('host',)),
    Name(f'{DRIVER}.check_can_live_migrate_source', 'measure a server while Nova prepares',
         ('context', 'instance', 'dest_check_data', 'block_device_info=')),
    Name(f'{DRIVER}.check_can_live_migrate_destination', 'unbind ports that are bound to here',
         ('context', 'instance', 'src_compute_info', 'dst_compute_info', 'block_migration=',
          'disk_over_commit=')),
    Name(f'{NETWORK}.setup_networks_on_host', 'unbind ports from a host where they are not used',
         ('context', 'instance', 'host=', 'teardown=')),
    Name(f'{NETWORK}.migrate_instance_start', 'bind the ports of a server that has arrived',
         ('context', 'instance', 'migration')),
    Name('nova.objects.instance:Instance.get_network_info', 'see whether a server has ports', ()),
    Name(f'{DRIVER}._live_migration', 'set a migration up before Nova starts it', _MIGRATION),
    Name(f'{DRIVER}._live_migration_operation', "edit the flags of Nova's migrate call",
         ('context', 'instance', 'dest', 'block_migration', 'migrate_data', 'guest',
          'device_names')),
    Name(f'{DRIVER}._live_migration_monitor', "replace Nova's wait for a migration",
         ('context', 'instance', 'guest', 'dest', 'post_method', 'recover_method',
          'block_migration', 'migrate_data', 'finish_event|future', 'disk_paths')),
    Name(f'{DRIVER}._live_migration_uri', 'take up a post-copy that broke off', ('dest',)),
    Name(f'{DRIVER}._migrate_uri', 'take up a post-copy that broke off', ('dest',)),
    Name(f'{DRIVER}._clear_empty_migration', 'end a migration', ('instance',)),
    Name(f'{DRIVER}.live_migration_abort', 'stop a migration on request', ('instance',)),
    Name(f'{DRIVER}.live_migration_force_complete', 'finish a migration on request',
         ('instance',)),
    Name(f'{DRIVER}._get_vpmems', 'see whether post-copy is possible', ('instance',)),
    Name(f'{HOST}.get_connection', 'subscribe to events', ()),
    Name(f'{HOST}._connect', 'have a connection for control calls', ('uri', 'read_only')),
    Name(f'{HOST}.__init__', 'have a connection for control calls', sets=('_uri',)),
    Name(f'{HOST}.get_guest', 'find the domain', ('instance',)),
    Name(f'{HOST}._wrap_libvirt_proxy', 'send monitor commands', ('obj',)),
    Name(f'{GUEST}.__init__', "put our domain in the place of libvirt's", ('domain',),
         sets=('_domain',)),
    Name(f'{GUEST}.migrate', 'edit the flags of the migrate call', ('destination',)),
    Name('nova.privsep:sys_admin_pctxt', 'close the connection of a QEMU that hangs'),
    Name(f'{MANAGER}._post_live_migration', 'hand a finished migration over',
         ('ctxt', 'instance', 'dest', 'block_migration=', 'migrate_data=')),
    Name(f'{MANAGER}._rollback_live_migration', 'hand a failed migration over',
         ('context', 'instance', 'dest', 'migrate_data=', 'migration_status=', 'source_bdms=')),
    Name(f'{MANAGER}._post_live_migration_update_host', 'finish what was left',
         ('ctxt', 'instance', 'dest', 'block_migration=', 'migrate_data=', 'source_bdms=')),
    Name(f'{MANAGER}._delete_allocation_after_move', 'finish what was left',
         ('context', 'instance', 'migration')),
    Name('nova.compute.resource_tracker:ResourceTracker.delete_allocation_for_evacuated_instance',
         'keep the allocation of a server that has arrived', ('context', 'instance', 'node')),
    Name('nova.scheduler.client.report:SchedulerReportClient.get_allocations_for_consumer',
         'keep the allocation of a server that has arrived', ('context', 'consumer')),
    Name('nova.scheduler.client.report:SchedulerReportClient.get_allocs_for_consumer',
         'keep the allocation of a server that has arrived', ('context', 'consumer')),
    Name('nova.scheduler.client.report:SchedulerReportClient.put_allocations',
         'keep the allocation of a server that has arrived',
         ('context', 'consumer_uuid', 'payload')),
    Name(f'{MANAGER}._revert_allocation', 'let go a server that was released',
         ('context', 'instance', 'migration')),
    Name(f'{MANAGER}.post_live_migration_at_destination', 'finish what has arrived here',
         ('context', 'instance', 'block_migration')),
    Name(f'{MANAGER}._do_rebuild_instance_with_claim', 'ask before a rebuild or an evacuation'),
    Name('nova.exception:RescheduledException', 'refuse an evacuation and leave the server be'),
    Name('nova.objects.migration:MigrationList.get_by_filters', 'ask before a start',
         ('cls', 'context', 'filters', 'sort_keys=', 'sort_dirs=', 'limit=')),
    Name(f'{DRIVER}.reboot', 'ask before a start'),
    Name(f'{DRIVER}.power_on', 'ask before a start'),
    Name(f'{DRIVER}.resume_state_on_host_boot', 'ask before a start'),
    Name(f'{DRIVER}.resume', 'ask before a start'),
    Name(f'{DRIVER}.rescue', 'ask before a start'),
    Name(f'{DRIVER}.unrescue', 'ask before a start', ('context', 'instance')),
    Name(f'{DRIVER}.spawn', 'ask before a start', (
        'context', 'instance', 'image_meta', 'injected_files', 'admin_password', 'allocations')),
    Name(f'{DRIVER}.migrate_disk_and_power_off', 'ask before a resize', (
        'context', 'instance', 'dest', 'flavor', 'network_info')),
    Name(f'{DRIVER}.finish_migration', 'ask before a start', (
        'context', 'migration', 'instance', 'disk_info', 'network_info', 'image_meta',
        'resize_instance', 'allocations')),
    Name(f'{DRIVER}.finish_revert_migration', 'ask before a start', (
        'context', 'instance', 'network_info', 'migration')),
    Name('nova.exception:InstanceFaultRollback', 'refuse a resize and leave the server be'),
    Name('nova.compute.vm_states:BUILDING', 'see that a server has never run'),
    Name(f'{MANAGER}._get_compute_info', 'finish what was left', ('context', 'host')),
    Name(f'{MANAGER}._destroy_evacuated_instances', 'spare what is here again',
         ('context', 'node_cache')),
    Name(f'{MANAGER}._get_instances_on_driver', 'spare what is here again', ('context',)),
    Name(f'{MANAGER}._init_instance', 'keep its start away from an unfinished migration',
         ('context', 'instance')),
    Name('nova.objects.instance:InstanceList.get_by_host', 'find what was left',
         ('cls', 'context', 'host', 'expected_attrs=')),
    Name('nova.objects.instance:InstanceList.get_by_filters', 'find what was left',
         ('cls', 'context', 'filters')),
    Name(f'{DRIVER}.emit_event', 'hear of domains while the database is away', ('event',)),
    Name('nova.virt.event:LifecycleEvent', 'hear of domains while the database is away'),
    Name(f'{DRIVER}.destroy', 'end a post-copy before its guest is deleted',
         ('context', 'instance', 'network_info')),
    Name(f'{NETWORK}.get_instance_nw_info', 'end a second copy', ('context', 'instance')),
    Name(f'{MANAGER}._get_instance_block_device_info', 'end a second copy',
         ('context', 'instance')),
    Name(f'{MANAGER}._is_instance_storage_shared', 'end a second copy',
         ('context', 'instance', 'host=')),
    Name(f'{MANAGER}._shutdown_instance', 'remove what a deleted server has left',
         ('context', 'instance', 'bdms', 'requested_networks=', 'notify=',
          'try_deallocate_networks=')),
    Name('nova.scheduler.client.report:SchedulerReportClient.delete_allocation_for_instance',
         'remove what a deleted server has left',
         ('context', 'uuid', 'consumer_type=', 'force=')),
    Name(f'{MANAGER}.pre_live_migration', 'prepare only for what is still to come',
         ('context', 'instance', 'disk', 'migrate_data')),
    Name(f'{MANAGER}.rollback_live_migration_at_destination', 'clear what was prepared',
         ('context', 'instance', 'destroy_disks', 'migrate_data')),
    Name(f'{MANAGER}._live_migration_cleanup_flags', 'clear what was prepared',
         ('migrate_data', 'migr_ctxt=')),
    Name(f'{DRIVER}.cleanup', 'clear what was prepared', ('context', 'instance', 'network_info')),
    Name('nova.exception:MigrationError', 'prepare only for what is still to come'),
    Name('nova.exception:NotFound', 'prepare only for what is still to come'),
    Name(f'{DRIVER}._live_migration_copy_disk_paths', 'take over a block migration',
         ('context', 'instance', 'guest')),
    Name('nova.objects.migration:Migration.get_by_uuid', 'finish what was left',
         ('cls', 'context', 'migration_uuid')),
    Name('nova.objects.block_device:BlockDeviceMappingList.get_by_instance_uuid',
         'write down the volumes of a server', ('cls', 'context', 'instance_uuid')),
    Name('nova.objects.base:NovaObjectSerializer.deserialize_entity', 'read what was written down',
         ('context', 'entity')),
    Name('nova.objects.migrate_data:LibvirtLiveMigrateData', 'read what was written down'),
    Name('nova.objects.instance:Instance.refresh', 'leave a start to recovery'),
    Name('nova.context:get_admin_context', 'finish what was left'),
    Name('nova.compute.task_states:MIGRATING', 'finish what was left'),
    Name('nova.compute.task_states:REBUILDING', 'see that a server is evacuated'),
    Name('nova.compute.task_states:REBUILD_BLOCK_DEVICE_MAPPING',
         'see that a server is evacuated'),
    Name('nova.compute.task_states:REBUILD_SPAWNING', 'see that a server is evacuated'),
    Name('nova.compute.task_states:RESIZE_PREP', 'see that a server is resized'),
    Name('nova.compute.task_states:RESIZE_MIGRATING', 'see that a server is resized'),
    Name('nova.compute.task_states:RESIZE_MIGRATED', 'see that a server is resized'),
    Name('nova.compute.task_states:RESIZE_FINISH', 'see that a server is resized'),
    Name('nova.compute.task_states:RESIZE_REVERTING', 'see that a server is resized'),
    Name('nova.compute.task_states:RESIZE_CONFIRMING', 'see that a server is resized'),
    Name('nova.compute.task_states:SHELVING_OFFLOADING', 'see that a server is shelved'),
    Name('nova.compute.task_states:UNSHELVING', 'see that a server is unshelved'),
    Name('nova.compute.task_states:SPAWNING', 'see that a server is unshelved'),
    Name('nova.compute.task_states:DELETING', 'see that a server is deleted'),
    Name('nova.objects.instance:Instance.deleted', 'see that a server is deleted'),
    Name('nova.objects.instance:Instance.task_state', 'see what Nova does to a server'),
    Name('nova.objects.instance:Instance.vm_state', 'see whether its user paused a server'),
    Name('nova.objects.instance:Instance.host', 'see where Nova has a server'),
    Name('nova.objects.instance:Instance.compute_id', 'finish what was left'),
    Name('nova.objects.instance:Instance.locked', 'lock what is undecided'),
    Name('nova.objects.instance:Instance.locked_by', 'lock what is undecided'),
    Name('nova.objects.instance:Instance.migration_context', 'clear what was prepared'),
    Name('nova.compute.vm_states:ERROR', 'finish what was left'),
    Name('nova.exception:MigrationNotFound', 'see how a migration ended'),
    Name(f'{MANAGER}.__init__', 'say what a queued migration waits for, and finish what was left',
         sets=('_waiting_live_migrations', 'rt', 'reportclient', 'network_api')),
    Name(f'{MANAGER}.live_migration', 'say what a queued migration waits for',
         ('context', 'dest', 'instance', 'block_migration', 'migration', 'migrate_data'),
         sets=('_waiting_live_migrations', 'uuid')),
    Name(f'{MANAGER}.live_migration_abort', 'take a cancelled migration out of the queue',
         ('context', 'instance', 'migration_id')),
    Name(f'{MANAGER}._do_live_migration', 'know which migration it is',
         ('context', 'dest', 'instance', 'block_migration', 'migration', 'migrate_data'),
         sets=('migration', '_waiting_live_migrations')),
    Name('nova.objects.migration:Migration.get_by_instance_and_status',
         'keep an order for a migration that is about to begin',
         ('cls', 'context', 'instance_uuid', 'status')),
    Name('nova.exception:MigrationNotFoundByStatus',
         'keep an order for a migration that is about to begin'),
    Name('nova.exception:NoActiveMigrationForInstance',
         'keep an order for a migration that is about to begin'),
    Name('nova.objects.migration:Migration.save', 'write progress', ()),
    Name('nova.objects.instance:Instance.save', 'write progress',
         ('expected_vm_state=', 'expected_task_state=')),
    Name('oslo_versionedobjects.base:VersionedObject.obj_clone', 'write progress', ()),
    Name('oslo_versionedobjects.base:VersionedObject.obj_reset_changes', 'write progress',
         ('fields=',)),
    Name('nova.objects.instance_action:InstanceActionList.get_by_instance_uuid',
         'find the policy of a request', ('cls', 'context', 'instance_uuid', 'limit=')),
    Name('nova.compute.instance_actions:LIVE_MIGRATION', 'find the policy of a request'),
    Name('nova.context:RequestContext.elevated', 'tell the policy of a server', ()),
    Name('oslo_context.context:RequestContext.__init__', 'find the policy of a request',
         sets=('request_id',)),
    Name('oslo_versionedobjects.base:VersionedObject.__init__', 'find the policy of a request',
         sets=('_context',)),
    Name('nova.exception:InstanceNotFound', 'tell the policy of a server'),
    Name('nova.rpc:get_server', 'be reached by the API',
         ('target', 'endpoints', 'serializer=')),
    Name('nova.objects.instance:Instance.get_by_uuid', 'tell the policy of a server'),
    Name(f'{MANAGER}.reset', 'reload at SIGHUP', ()),
    Name(f'{MANAGER}.cleanup_host', 'end migrations, or leave them, before it stops', ()),
    Name('nova.compute.manager:ComputeVirtAPI.__init__', 'reload at SIGHUP', ('compute',),
         sets=('_compute',)),
    Name('nova.compute.utils:EventReporter.__init__', 'put a reason into the instance action',
         ('context', 'event_name', 'host', '*instance_uuids', 'graceful_exit=')),
    Name('nova.objects.compute_node:ComputeNode.get_first_node_by_host_for_old_compat',
         "see what fits the destination's QEMU", ('cls', 'context', 'host')),
    Name('nova.objects.migrate_data:LibvirtLiveMigrateData.dst_wants_file_backed_memory',
         'see whether post-copy is possible'),
    Name('nova.compute.vm_states:PAUSED', 'see whether post-copy is possible'),
    Name('nova.exception:NovaException.msg_fmt', 'report errors as Nova does'),
    Name('nova.conf:CONF', "read Nova's options"),
)

# Importing Nova's API inside nova-compute would make it choose its kind of threads again, so
# these are checked by nova-api alone.
COMPUTE_API = 'nova.compute.api:API'
# Where Nova's manager is told how long it may take to stop, as from 34 on.
STOP_NAMES: tuple[Name, ...] = (
    Name(f'{MANAGER}.graceful_shutdown', 'end or leave migrations when it is stopped',
         ('timeout',)),
    Name('nova.manager:Manager.__init__', 'see what else it waits for when it is stopped',
         sets=('_in_progress_tasks',)),
)

API_NAMES: tuple[Name, ...] = (
    Name(f'{COMPUTE_API}.get', 'find a server', ('context', 'instance_id')),
    Name(f'{COMPUTE_API}.get_migrations_sorted', 'find the migrations of a host',
         ('context', 'filters')),
    Name('nova.objects.migration:Migration.get_by_id_and_instance', 'find a migration',
         ('cls', 'context', 'migration_id', 'instance_uuid')),
    Name('nova.objects.migration:Migration.is_live_migration', 'find a migration'),
    Name('nova.objects.instance_mapping:InstanceMappingList.get_by_instance_uuids',
         'find the migrations of a project', ('cls', 'context', 'uuids')),
    Name('nova.objects.host_mapping:HostMapping.get_by_host', 'find a host',
         ('cls', 'context', 'host')),
    Name('nova.objects.service:Service.get_by_compute_host', 'see whether a host is up',
         ('cls', 'context', 'host')),
    Name('nova.objects.service:ServiceList.get_by_binary', 'ask all hosts',
         ('cls', 'context', 'binary', 'include_disabled=')),
    Name('nova.context:scatter_gather_skip_cell0', 'ask all hosts', ('context', 'fn')),
    Name('nova.servicegroup.api:API.service_is_up', 'see whether a host is up', ('member',)),
    Name('nova.rpc:get_client', 'ask a host', ('target',)),
    Name('nova.rpc:ClientRouter.__init__', 'ask a host', ('default_client',)),
    Name('nova.rpc:ClientRouter.client', 'ask a host', ('context',)),
    Name('nova.baserpc:BaseRPCAPI.ping', 'see whether a host answers at all',
         ('context', 'arg')),
    Name('nova.context:target_cell', 'ask about several migrations at once',
         ('context', 'cell_mapping')),
    Name('nova.context:RequestContext.can', "hold a request against Nova's rules",
         ('action', 'target=', 'fatal=')),
    Name('nova.policies.base:list_rules', 'have rules of our own', ()),
    Name('nova.policies.base:ADMIN', 'have rules of our own'),
    Name('nova.policies.servers_migrations:POLICY_ROOT', "hold a request against Nova's rules"),
    Name('nova.exception:NovaException.format_message', 'pass on what Nova says', ()),
    Name('nova.exception:MigrationNotFoundForInstance', 'find a migration'),
    Name('nova.exception:HostMappingNotFound', 'find a host'),
    Name('nova.exception:ComputeHostNotFound', 'see whether a host is up'),
    Name('nova.exception:ValidationError', 'refuse a wrong extra spec'),
    Name('nova.api.validation.extra_specs.base:ExtraSpecValidator.validate',
         'refuse a wrong extra spec', ('name', 'value')),
)


def mismatches(names: abc.Iterable[Name] = NAMES) -> list[str]:
    """Say in a sentence each what in the installed Nova is not as expected."""
    return [sentence for name in names for sentence in _compare(name)]


def find(path: str) -> Any:
    """Return the object that a path names.

    :raises ImportError, AttributeError: if there is none.
    """
    module, _, inside = path.partition(':')
    found: Any = importlib.import_module(module)
    for part in inside.split('.'):
        found = getattr(found, part)
    return found


def _compare(name: Name) -> abc.Iterator[str]:
    try:
        found = find(name.path)
    except (ImportError, AttributeError):
        yield f'{name.path} is not there; it is needed to {name.use}'
        return
    if name.parameters is not None:
        found = inspect.unwrap(found)
        wrong = _wrong_parameters(name.parameters, found)
        if wrong:
            yield (f'{name.path} {wrong}: it takes {inspect.signature(found)}; it is needed to '
                   f'{name.use}')
    for attribute in name.sets:
        if attribute not in found.__code__.co_names:
            yield f'{name.path} does not set {attribute}; it is needed to {name.use}'


def _wrong_kind(want: str, parameter: inspect.Parameter) -> str | None:
    if want.endswith('=') and parameter.default is inspect.Parameter.empty:
        return f'needs {want.strip("=")}'
    if want.startswith('*') and parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
        return f'takes only one {want.strip("*")}'
    return None


def _wrong_parameters(expected: abc.Sequence[str], function: Any) -> str | None:
    """Describe a mismatch in a function's parameters; None if they are as expected."""
    there = [parameter for parameter in inspect.signature(function).parameters.values()
             if parameter.name != 'self']
    for index, want in enumerate(expected):
        names = want.strip('*=').split('|')
        if index >= len(there) or there[index].name not in names:
            return f'has no parameter {" or ".join(names)} in place {index + 1}'
        wrong = _wrong_kind(want, there[index])
        if wrong is not None:
            return wrong
    for parameter in there[len(expected):]:
        if (parameter.default is inspect.Parameter.empty
                and parameter.kind not in {inspect.Parameter.VAR_POSITIONAL,
                                           inspect.Parameter.VAR_KEYWORD}):
            return f'needs {parameter.name} as well'
    return None
