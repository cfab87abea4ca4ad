# SPDX-License-Identifier: Apache-2.0
"""Lets a controller steer a migration of the model, as the monitor does with a real one.

Samples are taken at each sync, a little later as events are, and at a slow tick; decisions are
applied in their order, and the controller is told what came of each action.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine import controller as controller_module
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import sample as samples
from nova_migpolicy.engine import settings
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import precopy

TICK_S = 2.0

Change = abc.Callable[[dict[str, int]], dict[str, int]]
Refuse = abc.Callable[[remedies.Action], str | None]
Command = abc.Callable[[controller_module.Controller, float], record.Decision | None]


@dataclasses.dataclass(frozen=True)
class Run:
    """How it went. end: completed, aborted, or running when the time was up."""

    end: str
    seconds: float
    blackout_ms: float | None
    sent_bytes: int
    decisions: tuple[record.Decision, ...]
    applied: tuple[tuple[float, remedies.Action], ...]
    passes: int
    bulk_end_s: float | None

    @property
    def actions(self) -> tuple[remedies.Action, ...]:
        """The actions that took effect, in order."""
        return tuple(action for _, action in self.applied)


def start(policy: keys.Policy, setup: precopy.Setup, **facts: object
          ) -> tuple[controller_module.Controller, precopy.Migration]:
    """A controller and a migration that start together, with the policy's own settings.

    facts: fields of Facts that are not told by the setup, such as link_mib_s.
    """
    known = record.Facts(
        memory_bytes=setup.load.memory_mib << 20, disk_bytes=setup.disk_mib << 20,
        started_s=0.0, bandwidth_mib_s=policy.bandwidth_mib_s,
        deadline_s=policy.deadline_seconds(setup.load.memory_mib / 1024, setup.disk_mib / 1024))
    known = dataclasses.replace(known, **facts)  # type: ignore[arg-type]
    limit = settings.initial_limit_ms(policy, known)
    known = dataclasses.replace(known, qemu_limit_ms=limit)
    setup = dataclasses.replace(setup, cap_mib_s=policy.bandwidth_mib_s, limit_ms=limit,
                                auto_converge=known.can_throttle,
                                switchover_mib_s=known.switchover_mib_s)
    return controller_module.Controller(policy, known), precopy.Migration(setup)


class _Hands:
    """Applies decisions to the model and tells the controller."""

    def __init__(self, controller: controller_module.Controller, plant: precopy.Migration,
                 refuse: Refuse | None) -> None:
        self._controller = controller
        self._plant = plant
        self._refuse = refuse
        self.decisions: list[record.Decision] = []
        self.applied: list[tuple[float, remedies.Action]] = []

    def take(self, decision: record.Decision | None) -> None:
        """Do what is decided, up to the first action that is refused."""
        if decision is None:
            return
        at_s = self._plant.now_s
        self.decisions.append(decision)
        for action in decision.actions:
            error = (self._refuse(action) if self._refuse else None) or self._plant.apply(action)
            if error:
                self._controller.failed(action, at_s, error)
                return
            self._controller.applied(action, at_s)
            self.applied.append((at_s, action))


def steer(controller: controller_module.Controller, plant: precopy.Migration, *,
          until_s: float = 30_000.0, change: Change | None = None,
          refuse: Refuse | None = None,
          commands: abc.Sequence[tuple[float, Command]] = ()) -> Run:
    """Run it to its end.

    change: what to make of the statistics before the controller sees them. refuse: the error
    with which an action is refused, or None to let it be. commands: what persons want, with the
    earliest time of each, in order; a sample is taken before each.
    """
    hands = _Hands(controller, plant, refuse)
    left = list(commands)
    tick_s = 0.0
    bulk_end_s = None
    while not plant.over and plant.now_s < until_s:
        synced = plant.step()
        due = bool(left) and plant.now_s >= left[0][0]
        if plant.over or not (synced or due or plant.now_s >= tick_s):
            continue
        tick_s = plant.now_s + TICK_S
        bulk_end_s = plant.now_s if synced and plant.syncs == plant.setup.counter + 2 else (
            bulk_end_s)
        stats = plant.stats() if change is None else change(plant.stats())
        hands.take(controller.observe(samples.Sample.from_stats(
            plant.now_s, stats, boundary=synced, post_copy=plant.state == 'post-copy')))
        if due and not plant.over:
            hands.take(left.pop(0)[1](controller, plant.now_s))
    end = plant.state if plant.over else 'running'
    return Run(end, plant.now_s, None if plant.blackout_s is None else plant.blackout_s * 1000,
               int(plant.sent_bytes), tuple(hands.decisions), tuple(hands.applied),
               plant.syncs - plant.setup.counter, bulk_end_s)
