# SPDX-License-Identifier: Apache-2.0
"""Tries one policy on one guest: the engine itself steers the model, and all is recorded.

Nothing is decided here. The features that a policy makes ready at the start follow
`compute.migrate_call`, which cannot be imported without libvirt; a test compares the two.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.cmd.simulate import guest_options
from nova_migpolicy.cmd.simulate import policies
from nova_migpolicy.engine import remedies
from nova_migpolicy.sim import counters
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run as sim_run

MIB = precopy.MIB
Point = tuple[float, float]
# A migration that does not end shows it by then, and a minute of computing is enough.
MOST_PASSES = 10_000
MOST_TICKS = 20_000
# As nova-compute has QEMU measure a guest before its migration.
MEASURED_S = 1.0
# From 9.2 on QEMU syncs this often under auto-converge.
SYNC_EVERY_S = 5.0
QEMU = ('7.2', '10.0')


@dataclasses.dataclass(frozen=True)
class Scene:
    """The conditions of a trial; rates in MiB/s, sizes in MiB.

    link_known: whether the policy knows the link's rate. until_s: the time to stop at; None for
    some time after the deadline. jitter: the variation of rates, as a share.
    """

    guest: guest_options.Guest
    disk_mib: int
    link_mib_s: float
    link_known: bool = True
    qemu: str = QEMU[0]
    seed: int = 0
    jitter: float = 0.0
    until_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Trial:
    """The result of a trial.

    :ivar run: None for stock behaviour, which has no engine that could be tried.
    :ivar points: (time, MiB of memory to be sent), for drawing.
    :ivar notes: the features of this policy that the model leaves out.
    """

    case: policies.Case
    run: sim_run.Run | None = None
    deadline_s: float | None = None
    points: tuple[Point, ...] = ()
    notes: tuple[str, ...] = ()

    def did(self, kind: type[remedies.Action]) -> float | None:
        """Return the time when an action of a kind first took effect; None for never."""
        applied = self.run.applied if self.run else ()
        return next((at_s for at_s, action in applied if isinstance(action, kind)), None)


class Recorded(precopy.Migration):
    """The model, which also records the remaining memory over time."""

    def __init__(self, setup: precopy.Setup) -> None:
        super().__init__(setup)
        self.points: list[Point] = []

    @property
    def over(self) -> bool:
        """Whether it has ended, or made enough passes to show that it does not."""
        return super().over or self.syncs - self.setup.counter > MOST_PASSES

    def _sent_mib(self) -> float:
        stats = self.stats()
        return (stats.get('memory_normal', 0) + stats.get('memory_constant', 0)) * (
            counters.PAGE / MIB)

    def advance(self, until_s: float) -> bool:
        """Let time pass as the model does, and record its state before and after."""
        begin_s, left, sent = self.now_s, self.remaining / MIB, self._sent_mib()
        self.points.append((begin_s, left))
        synced = super().advance(until_s)
        # Until a sync the remaining memory falls by exactly the amount sent.
        left = max(0.0, left - (self._sent_mib() - sent))
        if self.state == 'completed' and synced and self.blackout_s and self.paused_s is None:
            stopped_s = max(begin_s, self.now_s - self.blackout_s)
            last = max(0.0, self.blackout_s - self.setup.overhead_s) * self.setup.link_mib_s
            self.points += [(stopped_s, left + last), (stopped_s, last)]
            left = 0.0
        self.points.append((self.now_s, left))
        return synced


def play(case: policies.Case, scene: Scene) -> Trial:
    """Run one migration to its end, or until it is clear that there is none."""
    policy = case.policy
    if policy.is_stock:
        return Trial(case)
    can_post_copy, notes = made_ready(case)
    new = scene.qemu == '10.0'
    setup = precopy.Setup(
        scene.guest.load, link_mib_s=scene.link_mib_s, disk_mib=scene.disk_mib,
        sync_every_s=SYNC_EVERY_S if new else None, seed=scene.seed,
        link_jitter=scene.jitter, guest_jitter=scene.jitter, age_s=MEASURED_S)
    controller, plant = sim_run.start(
        policy, setup, link_mib_s=scene.link_mib_s if scene.link_known else None,
        switchover_mib_s=int(scene.link_mib_s) if new and scene.link_known else None,
        can_throttle=policy.may_throttle, can_post_copy=can_post_copy, can_hurry_disks=True,
        dirtied_bytes=(int(scene.guest.load.unique_mib(MEASURED_S) * MIB)
                       if scene.guest.measured else None), dirtied_seconds=MEASURED_S)
    recorded = Recorded(plant.setup)
    until_s = scene.until_s or _until_s(case, scene)
    ran = sim_run.steer(controller, recorded, until_s=until_s,
                        tick_s=max(sim_run.TICK_S, until_s / MOST_TICKS))
    if ran.end not in ('completed', 'aborted'):
        ran = dataclasses.replace(ran, end='running')
        if ran.seconds < until_s:
            notes += (f'the simulation stopped after {MOST_PASSES:,} passes.',)
    return Trial(case, ran, controller.facts.deadline_s, tuple(recorded.points), notes)


def made_ready(case: policies.Case) -> tuple[bool, tuple[str, ...]]:
    """Return whether post-copy is made ready, and notes on departures from the policy."""
    policy = case.policy
    notes = []
    can_post_copy = policy.may_post_copy
    if can_post_copy and policy.parallel_connections > 1:
        can_post_copy = False
        notes.append('post_copy is left out: this QEMU has no post-copy over parallel '
                     'connections.')
    if policy.compression != 'none':
        notes.append(f'compression {policy.compression} is not simulated: all is sent as it is.')
    return can_post_copy, tuple(notes)


def _until_s(case: policies.Case, scene: Scene) -> float:
    """Return the time after which nothing new happens."""
    cap = case.policy.bandwidth_mib_s
    rate = min(scene.link_mib_s, cap) if cap else scene.link_mib_s
    size_mib = scene.guest.load.memory_mib + scene.disk_mib
    copy_s = size_mib / rate
    deadline_s = case.policy.deadline_seconds(
        scene.guest.load.memory_mib / 1024, scene.disk_mib / 1024)
    return 3600 + 4 * copy_s if deadline_s is None else 1.2 * deadline_s + copy_s + 60
