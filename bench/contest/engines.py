# SPDX-License-Identifier: Apache-2.0
"""Whatever steers a migration in the contest: what it is told, and how its migration begins.

An engine is told the same as any other of a migration (a `Task`) and answers with a pilot and the
way in which the migration is to be started. How a pilot is shown samples and what it may do is
`nova_migpolicy.sim.run.Pilot`; the same pilots run on the model and on real hosts. Nothing is run
here.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import record
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import run

GIB_MIB = 1024
MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Task:
    """One migration as every engine is told of it; sizes in MiB, rates in MiB/s.

    policy: what is permitted; the rate it starts at is policy.bandwidth_mib_s for all. link_mib_s:
    the operator's word for the rate of the link; None where nobody said it. dirtied_mib: different
    memory that the guest dirtied in the second before the start; None where nobody looked.
    """

    policy: keys.Policy
    memory_mib: int
    disk_mib: int = 0
    link_mib_s: float | None = None
    dirtied_mib: float | None = None

    @property
    def gib(self) -> float:
        """Memory and disks that are sent, in GiB."""
        return (self.memory_mib + self.disk_mib) / GIB_MIB

    @property
    def deadline_s(self) -> float | None:
        """Seconds from the start until it must be over; None for no deadline."""
        return self.policy.deadline_seconds(
            self.memory_mib / GIB_MIB, self.disk_mib / GIB_MIB)


@dataclasses.dataclass(frozen=True)
class Start:
    """A pilot, and how its migration is started.

    limit_ms: the limit that QEMU is given at the start. throttle_*: QEMU's parameters for
    auto-converge in percent, where that is on. tick_s: how often the pilot looks; boundaries: it
    also looks at each sync. disk_cap_shared: the cap is divided among disks that are mirrored.
    """

    pilot: run.Pilot
    bandwidth_mib_s: int
    limit_ms: int
    tick_s: float
    boundaries: bool = False
    auto_converge: bool = False
    throttle_initial: int = 20
    throttle_increment: int = 10
    throttle_highest: int = 99
    post_copy: bool = False
    disk_cap_shared: bool = False


Engine = abc.Callable[[Task], Start]


def facts(task: Task) -> record.Facts:
    """What our controller is told of a task."""
    policy = task.policy
    known = record.Facts(
        memory_bytes=task.memory_mib * MIB, disk_bytes=task.disk_mib * MIB, started_s=0.0,
        link_mib_s=task.link_mib_s, can_throttle=policy.may_throttle,
        can_post_copy=policy.may_post_copy, can_hurry_disks=True,
        bandwidth_mib_s=policy.bandwidth_mib_s,
        dirtied_bytes=None if task.dirtied_mib is None else int(task.dirtied_mib * MIB),
        deadline_s=task.deadline_s)
    return dataclasses.replace(known, qemu_limit_ms=settings_mod.initial_limit_ms(policy, known))


def ours(task: Task) -> Start:
    """The engine that runs in nova-compute, by its own rules."""
    known = facts(task)
    return Start(
        controller_mod.Controller(task.policy, known), task.policy.bandwidth_mib_s,
        known.qemu_limit_ms, tick_s=run.TICK_S, boundaries=True,
        auto_converge=known.can_throttle, throttle_initial=1, throttle_increment=1,
        throttle_highest=1, post_copy=known.can_post_copy, disk_cap_shared=True)
