# SPDX-License-Identifier: Apache-2.0
"""The one table of Nova's own options about live migrations, in Nova 31 to 34, and their fate.

Under the profile nova each of them acts as Nova says, so the table gives their fate under every
other profile. It is only data: ``policy.nova_values`` interprets their values, and
``nova_migpolicy.nova_conf`` reads them.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import enum
import types

OLDEST = 31


class Fate(enum.Enum):
    """The fate of an option under every profile but nova."""

    MAPPED = 'counts as policy keys'
    KEPT = 'keeps its effect'
    NO_EFFECT = 'has no effect'


@dataclasses.dataclass(frozen=True)
class Option:
    """One of Nova's options.

    :ivar says: the meaning of that, in a sentence or two for operators.
    :ivar keys: the policy keys that it counts as, or that are to be set instead of it.
    :ivar hint: an addition about them, such as which word to use.
    :ivar since: the first of the supported releases of Nova that has it.
    """

    group: str
    name: str
    fate: Fate
    says: str
    keys: tuple[str, ...] = ()
    hint: str = ''
    since: int = OLDEST

    @property
    def title(self) -> str:
        """Its place in nova.conf: the group and the name."""
        return f'[{self.group}] {self.name}'

    @property
    def instead(self) -> str:
        """The options that an operator sets instead."""
        return f'[migpolicy] {" and ".join(self.keys)}{self.hint}'


BANDWIDTH = Option(
    'libvirt', 'live_migration_bandwidth', Fate.MAPPED,
    'It is both the rate at which the transfer starts and the ceiling. max_bandwidth_mib_s moves '
    'the ceiling alone.', ('bandwidth_mib_s', 'max_bandwidth_mib_s'))
CONNECTIONS = Option(
    'libvirt', 'live_migration_parallel_connections', Fate.MAPPED,
    'It is the number of connections, unless the profile has one of its own: very_large has 4, '
    'and post_copy and evacuate have 1, since most releases of QEMU have no post-copy with more.',
    ('parallel_connections',), since=33)
DOWNTIME = Option(
    'libvirt', 'live_migration_downtime', Fate.NO_EFFECT,
    'The blackout that a server may suffer is in its policy.', ('max_downtime_ms',))
DOWNTIME_STEPS = Option(
    'libvirt', 'live_migration_downtime_steps', Fate.NO_EFFECT,
    'The blackout to try for is raised straight to what is needed, not by steps; where it starts '
    'is in the policy.', ('initial_downtime_ms',))
DOWNTIME_DELAY = Option(
    'libvirt', 'live_migration_downtime_delay', Fate.NO_EFFECT,
    'The blackout to try for is raised when a pass shows that it is needed, not by the clock; '
    'where it starts is in the policy.', ('initial_downtime_ms',))
COMPLETION_TIMEOUT = Option(
    'libvirt', 'live_migration_completion_timeout', Fate.NO_EFFECT,
    'The deadline is in the policy. Where both of its parts are 0 there is none.',
    ('timeout_seconds', 'timeout_seconds_per_gib'))
TIMEOUT_ACTION = Option(
    'libvirt', 'live_migration_timeout_action', Fate.NO_EFFECT,
    'What is done at the deadline is in the policy, and so is what is done before it when it is '
    'clear that the migration will not finish.', ('on_timeout', 'on_stall'))
AUTO_CONVERGE = Option(
    'libvirt', 'live_migration_permit_auto_converge', Fate.NO_EFFECT,
    'Auto-converge is a remedy that the policy permits.', ('remedies', 'max_throttle_percent'),
    ' (with auto_converge among the remedies)')
MONITOR_INTERVAL = Option(
    'libvirt', 'live_migration_monitor_interval', Fate.KEPT,
    'Progress is written into the database no more often. What is in the log is decisions, '
    'whatever this says.', since=34)

_ALL = (
    BANDWIDTH, CONNECTIONS, DOWNTIME, DOWNTIME_STEPS, DOWNTIME_DELAY, COMPLETION_TIMEOUT,
    TIMEOUT_ACTION, AUTO_CONVERGE,
    Option('libvirt', 'live_migration_permit_post_copy', Fate.KEPT,
           'It makes post-copy ready, so that a demand to force the completion uses it, and so '
           'does on_timeout = force_complete. By itself a migration goes over to post-copy only '
           'where remedies, on_stall or on_timeout name it. It also says that what serves '
           'vhost-user devices on this site, such as OVS-DPDK, is capable of post-copy.'),
    MONITOR_INTERVAL,
    Option('libvirt', 'live_migration_tunnelled', Fate.KEPT,
           'The data goes through libvirtd. Post-copy and parallel connections are left out then, '
           'which the log of each migration says.'),
    Option('libvirt', 'live_migration_with_native_tls', Fate.KEPT, 'QEMU encrypts the data.'),
    Option('libvirt', 'live_migration_scheme', Fate.KEPT,
           "Nova makes the destination's address with it."),
    Option('libvirt', 'live_migration_inbound_addr', Fate.KEPT,
           "It is the destination's address for the data."),
    Option('libvirt', 'live_migration_uri', Fate.KEPT,
           "Nova makes the destination's address with it."),
    Option('libvirt', 'supported_tpm_secret_security', Fate.KEPT,
           'Nova decides by it which servers with a vTPM can be live-migrated.', since=33),
    Option('DEFAULT', 'max_concurrent_live_migrations', Fate.KEPT,
           'It is how many are under way at once from a host, those that wait for slots '
           'included; the others wait in its queue.'),
    Option('DEFAULT', 'live_migration_retry_count', Fate.KEPT,
           "It is how often the destination tries to plug the server's ports."),
    Option('DEFAULT', 'migrate_max_retries', Fate.KEPT,
           'nova-conductor tries that many other hosts before it gives up.'),
    Option('DEFAULT', 'long_rpc_timeout', Fate.KEPT,
           "Nova's services wait that long for each other while a migration is prepared and "
           'concluded.'),
    Option('DEFAULT', 'vif_plugging_timeout', Fate.KEPT,
           'The source waits that long until the ports are plugged at the destination.'),
    Option('DEFAULT', 'vif_plugging_is_fatal', Fate.KEPT,
           'It says whether a migration ends when that takes longer.'),
    Option('compute', 'live_migration_wait_for_vif_plug', Fate.KEPT,
           'The destination has the source wait for the ports before the data flows.'),
    Option('workarounds', 'enable_qemu_monitor_announce_self', Fate.KEPT,
           'The destination has QEMU announce the server to the network once it is there.'),
    Option('workarounds', 'qemu_monitor_announce_self_count', Fate.KEPT,
           'It is how often that is done.'),
    Option('workarounds', 'qemu_monitor_announce_self_interval', Fate.KEPT,
           'It is the time between two of these.'),
    Option('workarounds', 'handle_virt_lifecycle_events', Fate.KEPT,
           'With it the ports are bound at the destination as soon as the server runs there.'),
    Option('workarounds', 'enable_numa_live_migration', Fate.KEPT,
           'nova-conductor permits servers with a NUMA topology to move from hosts that are too '
           'old for it.'),
    Option('workarounds', 'skip_cpu_compare_on_dest', Fate.KEPT,
           'The destination does not compare CPUs; QEMU does.'),
    Option('workarounds', 'skip_hypervisor_version_check_on_lm', Fate.KEPT,
           'nova-conductor permits a destination with an older hypervisor.'),
    Option('pci', 'alias', Fate.KEPT,
           'Its live_migratable asks for devices that can be live-migrated.'),
    Option('pci', 'device_spec', Fate.KEPT,
           'Its live_migratable says which devices can be live-migrated.'),
)

OPTIONS: abc.Mapping[tuple[str, str], Option] = types.MappingProxyType(
    {(option.group, option.name): option for option in _ALL})

# The ones whose values matter here.
READ: tuple[Option, ...] = tuple(
    option for option in _ALL if option.fate is not Fate.KEPT or option is MONITOR_INTERVAL)
