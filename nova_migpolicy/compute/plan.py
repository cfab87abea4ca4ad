# SPDX-License-Identifier: Apache-2.0
"""From a policy to the flags and parameters of libvirt's migrate call.

A pure function of what is known at the start; it calls nothing. What the
policy asked for and this server, disk layout or libvirt cannot have is left
out, and said in `notes`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import libvirt

from nova_migpolicy.engine import settings
from nova_migpolicy.policy import keys

# libvirt gives zlib and zstd to parallel streams from this version on.
PARALLEL_COMPRESSION_LIBVIRT = 9_004_000
# QEMU runs post-copy over parallel connections from this version on.
PARALLEL_POST_COPY_QEMU = 10_001_000
# From these versions on QEMU can be told what the link takes at the switchover.
SWITCHOVER_LIBVIRT = 11_001_000
SWITCHOVER_QEMU = 8_002_000
# libvirt's name for it, in MiB/s; libvirt-python knows it by no constant.
SWITCHOVER_PARAM = 'bandwidth.avail.switchover'
# The throttle of an auto-converge that is armed but not yet wanted, in percent.
ARMED_THROTTLE_PERCENT = 1

# Flags that belong to the policy: Nova's own setting of them is replaced.
OWNED_FLAGS = (libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_AUTO_CONVERGE |
               libvirt.VIR_MIGRATE_PARALLEL | libvirt.VIR_MIGRATE_COMPRESSED)


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """What is known of the server and its host when the migration starts.

    :ivar paused: Nova holds the server paused: post-copy cannot work.
    :ivar persistent_memory: it has vpmem, which post-copy cannot move.
    :ivar tunnelled: the data goes through libvirtd, which excludes post-copy and parallel streams.
    :ivar nova_post_copy: [libvirt] live_migration_permit_post_copy.
    :ivar allow_qmp: monitor commands may be used.
    :ivar libvirt_version: of the source, as libvirt numbers it.
    :ivar qemu_version: likewise.
    :ivar link_mib_s: rate of the link to the destination; None where it is not known.
    :ivar emulated: its processors are emulated (TCG), not run by KVM.
    """

    paused: bool
    persistent_memory: bool
    tunnelled: bool
    nova_post_copy: bool
    allow_qmp: bool
    libvirt_version: int
    qemu_version: int
    link_mib_s: float | None = None
    emulated: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the migrate call gets, and what can be done during it.

    :ivar bandwidth_mib_s: the cap for the whole stream (0: none).
    :ivar start_bandwidth_mib_s: the cap handed to libvirt at the start, which gives it to each
        disk that is copied; the whole cap until their number is known.
    :ivar switchover_mib_s: what QEMU is told of the link; None where it cannot be told.
    """

    flags: int
    params: dict[str, Any]
    bandwidth_mib_s: int
    start_bandwidth_mib_s: int
    can_post_copy: bool
    can_throttle: bool
    switchover_mib_s: int | None
    notes: tuple[str, ...]

    def without_throttle(self) -> Plan:
        """The same, with auto-converge left out: its limits could not be set."""
        own = (libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL,
               libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT)
        return dataclasses.replace(
            self, can_throttle=False, flags=self.flags & ~libvirt.VIR_MIGRATE_AUTO_CONVERGE,
            params={name: value for name, value in self.params.items() if name not in own})

    def for_disks(self, copied_disks: int) -> Plan:
        """The same, with the cap shared among the disks that are copied; 0 on shared storage."""
        cap = self.bandwidth_mib_s
        share = max(1, cap // max(1, copied_disks)) if cap else 0
        return dataclasses.replace(
            self, start_bandwidth_mib_s=share,
            params={**self.params, libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: share})

    def edit_flags(self, flags: int) -> int:
        """Nova's flags with those that are the policy's replaced."""
        return flags & ~OWNED_FLAGS | self.flags

    def edit_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """Nova's parameters with those that are the policy's replaced."""
        edited = {name: value for name, value in params.items()
                  if name != libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS}
        edited.update(self.params)
        return edited


def make(policy: keys.Policy, circumstances: Circumstances) -> Plan:
    """The plan for a migration under `policy`."""
    notes: list[str] = []
    flags = 0
    params: dict[str, Any] = {}

    parallel = policy.parallel_connections > 1
    if parallel and circumstances.tunnelled:
        parallel = False
        notes.append('parallel_connections is left out: the migration is tunnelled')
    if parallel:
        flags |= libvirt.VIR_MIGRATE_PARALLEL
        params[libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS] = policy.parallel_connections

    can_post_copy = _post_copy(policy, circumstances, parallel, notes)
    if can_post_copy:
        flags |= libvirt.VIR_MIGRATE_POSTCOPY

    can_throttle = policy.may_throttle
    if can_throttle and not circumstances.allow_qmp:
        can_throttle = False
        notes.append('auto_converge is left out: its limits need monitor commands '
                     '([migpolicy] allow_qmp)')
    if can_throttle:
        flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
        params[libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL] = ARMED_THROTTLE_PERCENT
        params[libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT] = ARMED_THROTTLE_PERCENT

    method = _compression(policy, circumstances, parallel, notes)
    if method:
        flags |= libvirt.VIR_MIGRATE_COMPRESSED
        params[libvirt.VIR_MIGRATE_PARAM_COMPRESSION] = method

    switchover = _switchover(circumstances, policy.bandwidth_mib_s)
    if switchover:
        params[SWITCHOVER_PARAM] = switchover

    cap = policy.bandwidth_mib_s
    params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = cap
    return Plan(
        flags=flags, params=params, bandwidth_mib_s=cap, start_bandwidth_mib_s=cap,
        can_post_copy=can_post_copy, can_throttle=can_throttle,
        switchover_mib_s=switchover, notes=tuple(notes))


def _switchover(circumstances: Circumstances, cap_mib_s: int) -> int | None:
    """What this QEMU is told of the link's rate, in MiB/s; None for nothing."""
    if (circumstances.libvirt_version < SWITCHOVER_LIBVIRT
            or circumstances.qemu_version < SWITCHOVER_QEMU):
        return None
    return settings.told_mib_s(cap_mib_s, circumstances.link_mib_s)


def _post_copy(
    policy: keys.Policy, circumstances: Circumstances, parallel: bool, notes: list[str],
) -> bool:
    """Whether post-copy is made ready: the policy or nova.conf wants it and nothing forbids it."""
    if not (policy.may_post_copy or circumstances.nova_post_copy):
        return False
    obstacle = None
    if circumstances.paused:
        obstacle = 'the server is paused'
    elif circumstances.tunnelled:
        obstacle = 'the migration is tunnelled'
    elif circumstances.persistent_memory:
        obstacle = 'the server has persistent memory'
    elif parallel and circumstances.qemu_version < PARALLEL_POST_COPY_QEMU:
        obstacle = 'this QEMU has no post-copy over parallel connections'
    if obstacle:
        notes.append(f'post_copy is left out: {obstacle}')
    return obstacle is None


def _compression(
    policy: keys.Policy, circumstances: Circumstances, parallel: bool, notes: list[str],
) -> str | None:
    """libvirt's name of the compression, None where there is to be none."""
    method = policy.compression
    if method == 'none':
        return None
    obstacle = None
    if method == 'xbzrle':
        if parallel:
            obstacle = 'it does not go with parallel connections'
    elif not parallel:
        obstacle = 'it needs parallel connections'
    elif circumstances.libvirt_version < PARALLEL_COMPRESSION_LIBVIRT:
        obstacle = 'libvirt has it from 9.4 on'
    if obstacle:
        notes.append(f'compression {method} is left out: {obstacle}')
        return None
    return method
