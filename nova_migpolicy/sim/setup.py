# SPDX-License-Identifier: Apache-2.0
"""The setup of a migration on the model before it begins; plain data."""

from __future__ import annotations

import dataclasses

from nova_migpolicy.sim import guests


@dataclasses.dataclass(frozen=True)
class Setup:
    """A migration about to start; rates in MiB/s, sizes in MiB.

    device_mib: state of devices, which is in no statistic: QEMU counts it with the memory that
    remains, and sends it with the guest stopped.

    link_steps: (time, rate from then on). outages: times (from, to) in which the link moves
    nothing. first_mib_s: the highest rate of pages that are sent for the first time, since the
    destination has to make those pages; None for no such bound. overhead_s: of a switchover;
    post_copy_overhead_s: of the start of post-copy; disk_overhead_s: more of a switchover where
    disks are mirrored. disk_write_mib_s: the guest's writes to each disk, all over it.
    disk_cap_shared: the cap is for all disks together, and those in sync leave their part of it to
    the others; else each has it for itself. switchover_mib_s: the rate of the link, where QEMU
    was told it. throttle_*: auto-converge's parameters in percent. sync_every_s: how often QEMU
    from 9.2 on looks whether it has to force a sync when auto-converge is armed. counter: where
    the counter of syncs starts. age_s: for how long the guest has been at its work when the
    migration begins. seed, link_jitter, guest_jitter: how far the link's and the guest's rate
    vary from pass to pass, as a share, and the seed for that. limit_is_refused: the limit cannot
    be set before the start, for whatever reason, and QEMU has its own.
    """

    load: guests.Workload
    link_mib_s: float = 1000.0
    cap_mib_s: int = 0
    limit_ms: int = 300
    limit_is_refused: bool = False
    disk_mib: int = 0
    more_disks_mib: tuple[int, ...] = ()
    disk_write_mib_s: float = 0.0
    disk_cap_shared: bool = True
    link_steps: tuple[tuple[float, float], ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    overhead_s: float = 0.015
    post_copy_overhead_s: float = 0.015
    disk_overhead_s: float = 0.0
    first_mib_s: float | None = None
    switchover_mib_s: float | None = None
    auto_converge: bool = False
    throttle_initial: int = 20
    throttle_increment: int = 10
    throttle_highest: int = 99
    sync_every_s: float | None = None
    device_mib: float = 0.0
    counter: int = 0
    age_s: float = 0.0
    seed: int = 0
    link_jitter: float = 0.0
    guest_jitter: float = 0.0
