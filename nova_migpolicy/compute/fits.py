# SPDX-License-Identifier: Apache-2.0
"""The table of obstacles: guest devices, QEMU and hosts that rule out a feature of a policy.

It is consulted before a migration starts; a feature of the policy that does not fit is left out.
Without a row, QEMU or libvirt would refuse it, and the migration with it, or the guest would not
survive it. Obstacles that only the attempt shows are in ``compute.refusals``. Nothing is called
here.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
import dataclasses
from xml.etree import ElementTree

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies

# The features that a migration may be started with, by the policy's words where it has one.
PARALLEL = 'parallel_connections'
POST_COPY = remedies.POST_COPY
THROTTLE = remedies.AUTO_CONVERGE
COMPRESSIONS = ('xbzrle', 'zlib', 'zstd')
SWITCHOVER = controller_mod.SWITCHOVER
# The names in notes of those that have no policy key.
_NAMES = {SWITCHOVER: "the link's rate for the switchover",
          **{method: f'compression {method}' for method in COMPRESSIONS}}

# libvirt gives zlib and zstd to parallel streams from this version on.
PARALLEL_COMPRESSION_LIBVIRT = 9_004_000
# Before, libvirt gave QEMU no host name for the certificates of the disks' connections where
# memory takes several of them, or may take another one for post-copy: the copy of disks failed.
DISKS_OVER_TLS_LIBVIRT = 10_003_000
# QEMU runs post-copy over parallel connections from this version on.
PARALLEL_POST_COPY_QEMU = 10_001_000
# From these versions on QEMU can be told the link's rate at the switchover.
SWITCHOVER_LIBVIRT = 11_001_000
SWITCHOVER_QEMU = 8_002_000


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a guest that rule out some features.

    :ivar vfio: PCI devices, or parts of them (vGPU), that are the guest's own.
    :ivar vhost_user: ports, disks or file systems that another process serves, such as OVS-DPDK.
    """

    vfio: bool = False
    vhost_user: bool = False


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """The facts about the server and its hosts that are known when the migration starts.

    :ivar paused: Nova holds the server paused.
    :ivar persistent_memory: it has vpmem.
    :ivar tunnelled: the data goes through libvirtd.
    :ivar nova_post_copy: [libvirt] live_migration_permit_post_copy.
    :ivar allow_qmp: monitor commands may be used.
    :ivar libvirt_version: of the source, as libvirt numbers it.
    :ivar qemu_version: likewise, of the process that is the guest where that is known, else of
        the one installed on the source.
    :ivar link_mib_s: rate of the link to the destination; None where it is not known.
    :ivar devices: of the guest.
    :ivar native_tls: QEMU encrypts the data.
    :ivar block_migration: local disks are copied.
    :ivar destination_qemu_version: of the one installed there; None where it is not known.
    :ivar destination_memory_in_files: its guests' memory is in files of a disk.
    :ivar emulated: the server's processors are emulated (TCG), not run by KVM.
    """

    paused: bool
    persistent_memory: bool
    tunnelled: bool
    nova_post_copy: bool
    allow_qmp: bool
    libvirt_version: int
    qemu_version: int
    link_mib_s: float | None = None
    devices: Devices = Devices()
    native_tls: bool = False
    block_migration: bool = False
    destination_qemu_version: int | None = None
    destination_memory_in_files: bool = False
    emulated: bool = False


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """A row: where it stands, its features do not fit.

    :ivar stands: called with the circumstances, and with the features to be used so far
    """

    concerns: tuple[str, ...]
    why: str
    stands: Callable[[Circumstances, Collection[str]], bool]


# A feature that others depend on comes before them.
OBSTACLES: tuple[Obstacle, ...] = (
    Obstacle((PARALLEL, POST_COPY), 'the migration is tunnelled',
             lambda at, used: at.tunnelled),
    Obstacle((PARALLEL, POST_COPY), 'disks are copied over native TLS, and libvirt can do both at '
             'once from 10.3 on',
             lambda at, used: (at.native_tls and at.block_migration
                               and at.libvirt_version < DISKS_OVER_TLS_LIBVIRT)),
    Obstacle((POST_COPY,), 'the server is paused',
             lambda at, used: at.paused),
    Obstacle((POST_COPY,), 'the server has persistent memory',
             lambda at, used: at.persistent_memory),
    Obstacle((POST_COPY,), 'the server has a VFIO device (PCI passthrough or vGPU)',
             lambda at, used: at.devices.vfio),
    Obstacle((POST_COPY,), 'the server has a vhost-user device, and it is not known that what '
             'serves it is capable of post-copy; [libvirt] live_migration_permit_post_copy = True '
             'says that it is',
             lambda at, used: at.devices.vhost_user and not at.nova_post_copy),
    Obstacle((POST_COPY,), 'the destination keeps memory in files ([libvirt] file_backed_memory)',
             lambda at, used: at.destination_memory_in_files),
    Obstacle((POST_COPY,), 'the QEMU that runs the server has no post-copy over parallel '
             'connections',
             lambda at, used: PARALLEL in used and at.qemu_version < PARALLEL_POST_COPY_QEMU),
    Obstacle((POST_COPY,), "the destination's QEMU has no post-copy over parallel connections",
             lambda at, used: (PARALLEL in used and at.destination_qemu_version is not None
                               and at.destination_qemu_version < PARALLEL_POST_COPY_QEMU)),
    Obstacle((THROTTLE,), 'its limits need monitor commands ([migpolicy] allow_qmp)',
             lambda at, used: not at.allow_qmp),
    Obstacle(('xbzrle',), 'it does not go with parallel connections',
             lambda at, used: PARALLEL in used),
    Obstacle(('zlib', 'zstd'), 'it needs parallel connections',
             lambda at, used: PARALLEL not in used),
    Obstacle(('zlib', 'zstd'), 'libvirt has it from 9.4 on',
             lambda at, used: at.libvirt_version < PARALLEL_COMPRESSION_LIBVIRT),
    Obstacle((SWITCHOVER,), 'libvirt has it from 11.1 on',
             lambda at, used: at.libvirt_version < SWITCHOVER_LIBVIRT),
    Obstacle((SWITCHOVER,), 'QEMU has it from 8.2 on',
             lambda at, used: at.qemu_version < SWITCHOVER_QEMU),
)
_HAS_VFIO = ('./devices/hostdev[@type="pci"]', './devices/hostdev[@type="mdev"]')
_HAS_VHOST_USER = ('./devices/interface[@type="vhostuser"]', './devices/disk[@type="vhostuser"]',
                   './devices/filesystem/driver[@type="virtiofs"]')


def obstacle(feature: str, at: Circumstances, used: Collection[str] = ()) -> str | None:
    """Return the obstacle to a feature, as a part of a sentence; None where there is none."""
    return next((row.why for row in OBSTACLES
                 if feature in row.concerns and row.stands(at, used)), None)


def note(feature: str, why: str) -> str:
    """Write the note that a feature is left out, and why."""
    return f'{_NAMES.get(feature, feature)} is left out: {why}'


def devices(definition: ElementTree.Element) -> Devices:
    """Return the devices in a domain's definition that matter here.

    SR-IOV ports are not among it: Nova takes them off before the start, and they come back at the
    destination.
    """
    def has(paths: Iterable[str]) -> bool:
        return any(definition.find(path) is not None for path in paths)

    return Devices(vfio=has(_HAS_VFIO), vhost_user=has(_HAS_VHOST_USER))
