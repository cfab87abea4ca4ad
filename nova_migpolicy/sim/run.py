# SPDX-License-Identifier: Apache-2.0
"""Lets a pilot steer a migration of the model, as the monitor does with a real one.

A pilot is our controller or anything that behaves like it. Samples are taken at each sync, where
the pilot listens to them, and at a slow tick; decisions are applied in their order, and the pilot
is told the result of each action.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import math
import typing

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import precopy
from nova_migpolicy import vocabulary

# As the monitor does.
TICK_S = 5.0
AFTER_DUE_S = 0.01

Change = abc.Callable[[dict[str, int]], dict[str, int]]
Refuse = abc.Callable[[remedies.Action], str | None]


class Pilot(typing.Protocol):
    """The interface of a pilot: our controller, a peer's rules, or a fixed plan."""

    @property
    def forecast(self) -> record.Forecast | None:
        """The end if nothing is done; None for a pilot that does not forecast."""

    def observe(self, sample: samples.Sample) -> record.Decision | None:
        """Take in a sample; None when there is nothing to do."""

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """Take note that an action of a decision has been carried out."""

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """Take note that an action was refused."""


@dataclasses.dataclass(frozen=True)
class Eta:
    """A forecast made when a pass had ended; pass 0 is the bulk copy.

    done: the number of actions by then. eta_s: from at_s on; None for no end in sight.
    """

    at_s: float
    number: int
    eta_s: float | None
    done: int


@dataclasses.dataclass(frozen=True)
class Run:
    """The result of a run. end: completed, aborted, or running when the time was up.

    lost_s: lost work of the guest, in seconds of one of its processors: slowed, stopped, or
    waiting for its memory. sent_bytes: for the memory; wire_bytes: with the disks.
    """

    end: str
    seconds: float
    blackout_ms: float | None
    sent_bytes: int
    decisions: tuple[record.Decision, ...]
    applied: tuple[tuple[float, remedies.Action], ...]
    passes: int
    bulk_end_s: float | None
    wire_bytes: int = 0
    lost_s: float = 0.0
    etas: tuple[Eta, ...] = ()

    @property
    def actions(self) -> tuple[remedies.Action, ...]:
        """The actions that took effect, in order."""
        return tuple(action for _, action in self.applied)


def facts_for(policy: keys.Policy, setup: precopy.Setup, **facts: object) -> record.Facts:
    """Make the engine's facts about a migration that begins now.

    facts: fields of Facts that the setup does not give, such as link_mib_s.
    """
    disk_mib = setup.disk_mib + sum(setup.more_disks_mib)
    known = record.Facts(
        memory_bytes=setup.load.memory_mib << 20, disk_bytes=disk_mib << 20,
        started_s=0.0, bandwidth_mib_s=policy.bandwidth_mib_s,
        deadline_s=policy.deadline_seconds(setup.load.memory_mib / 1024, disk_mib / 1024))
    known = dataclasses.replace(known, **facts)  # type: ignore[arg-type]
    limit_ms = settings_mod.QEMU_LIMIT_MS if setup.limit_is_refused else (
        settings_mod.initial_limit_ms(policy, known))
    return dataclasses.replace(known, qemu_limit_ms=limit_ms)


def start(policy: keys.Policy, setup: precopy.Setup, **facts: object
          ) -> tuple[controller_mod.Controller, precopy.Migration]:
    """Make our controller and a migration that starts with the policy's own settings."""
    known = facts_for(policy, setup, **facts)
    setup = dataclasses.replace(
        setup, cap_mib_s=policy.bandwidth_mib_s,
        limit_ms=settings_mod.initial_limit_ms(policy, known),
        auto_converge=known.can_throttle, throttle_initial=1, throttle_increment=1,
        throttle_highest=1, switchover_mib_s=known.switchover_mib_s)
    return controller_mod.Controller(policy, known), precopy.Migration(setup)


PilotT = typing.TypeVar('PilotT', bound=Pilot)
Command = tuple[float, abc.Callable[[PilotT, float], 'record.Decision | None']]


class _Executor(typing.Generic[PilotT]):
    """Applies decisions to the model and tells the pilot."""

    def __init__(self, pilot: PilotT, plant: precopy.Migration, refuse: Refuse | None) -> None:
        self._pilot = pilot
        self._plant = plant
        self._refuse = refuse
        self.decisions: list[record.Decision] = []
        self.applied: list[tuple[float, remedies.Action]] = []
        self.etas: list[Eta] = []

    def take(self, decision: record.Decision | None) -> None:
        """Carry out a decision, up to the first action that is refused."""
        if decision is None:
            return
        at_s = self._plant.now_s
        if not decision.again:
            self.decisions.append(decision)
        for action in decision.actions:
            error = (self._refuse(action) if self._refuse else None) or self._plant.apply(action)
            if error:
                self._pilot.failed(action, at_s, error)
                return
            self._pilot.applied(action, at_s)
            self.applied.append((at_s, action))

    def look(self, stats: dict[str, int], synced: bool) -> None:
        """Show the pilot a sample, and carry out its decision."""
        plant = self._plant
        sample = samples.Sample.from_stats(
            plant.now_s, stats, boundary=synced, post_copy=plant.state == vocabulary.POST_COPY)
        decision = self._pilot.observe(dataclasses.replace(
            sample, others=stats.get('others'), needed_by=stats.get('needed_by')))
        forecast = self._pilot.forecast
        number = plant.syncs - plant.setup.counter - 2
        if synced and forecast is not None and number >= 0:
            self.etas.append(Eta(plant.now_s, number, forecast.eta_s if forecast.converges
                                 else None, len(self.applied)))
        self.take(decision)


def _due_s(pilot: Pilot, now_s: float) -> float:
    """Return the time when our own controller needs its next sample; the monitor samples then."""
    if not isinstance(pilot, controller_mod.Controller):
        return math.inf
    due_s = pilot.next_due_s(now_s)
    return math.inf if due_s is None else due_s


class Course(typing.Generic[PilotT]):
    """A pilot and its migration under way; `go` lets time pass.

    tick_s: between two looks that no sync causes. boundaries: the pilot looks at each sync, too.
    change: edits the statistics before the pilot sees them. refuse: returns the error with which
    an action is refused, or None to permit it. commands: the operators' orders, with the earliest
    time of each, in order; a sample is taken before each.
    """

    def __init__(self, pilot: PilotT, plant: precopy.Migration, *, tick_s: float = TICK_S,
                 boundaries: bool = True, change: Change | None = None,
                 refuse: Refuse | None = None,
                 commands: abc.Sequence[Command[PilotT]] = ()) -> None:
        self.pilot, self.plant = pilot, plant
        self._executor = _Executor(pilot, plant, refuse)
        self._tick_s, self._boundaries, self._change = tick_s, boundaries, change
        self._left = list(commands)
        self._next_s = 0.0
        self._seen_s = -passes_mod.LEAST_GAP_S
        self._bulk_end_s: float | None = None

    def look_soon(self) -> None:
        """Look before any more time passes."""
        self._next_s = self.plant.now_s

    def order(self, command: abc.Callable[[PilotT, float], record.Decision | None]) -> None:
        """Give an operator's order now."""
        self._executor.take(command(self.pilot, self.plant.now_s))

    def go(self, until_s: float) -> None:
        """Let time pass to a moment, or to the end."""
        plant, left = self.plant, self._left
        while not plant.over and plant.now_s < until_s:
            synced = self._advance(until_s)
            due = bool(left) and plant.now_s >= left[0][0]
            fresh = synced and self._boundaries and (
                plant.now_s - self._seen_s >= passes_mod.LEAST_GAP_S)
            if not plant.over and (due or fresh or plant.now_s >= self._next_s):
                self._look(due=due, fresh=fresh)

    def _advance(self, until_s: float) -> bool:
        """Let time pass to what comes next; whether QEMU has synced its bitmap."""
        plant, left = self.plant, self._left
        due_s = _due_s(self.pilot, plant.now_s)
        if due_s < self._next_s:
            self._next_s = due_s + AFTER_DUE_S
        synced = plant.advance(max(plant.now_s + 1e-6, min(
            self._next_s, until_s, left[0][0] if left else until_s)))
        if synced and plant.syncs == plant.setup.counter + 2:
            self._bulk_end_s = plant.now_s
        return synced

    def _look(self, *, due: bool, fresh: bool) -> None:
        """Take a sample, and a command that is due."""
        plant = self.plant
        self._next_s = plant.now_s + self._tick_s
        self._seen_s = plant.now_s if fresh else self._seen_s
        stats = plant.stats()
        self._executor.look(stats if self._change is None else self._change(stats), fresh)
        if due and not plant.over:
            self._executor.take(self._left.pop(0)[1](self.pilot, plant.now_s))

    def told(self) -> Run:
        """Return the result so far."""
        executor, plant = self._executor, self.plant
        end = plant.state if plant.over else 'running'
        return Run(end, plant.now_s, None if plant.blackout_s is None else plant.blackout_s * 1000,
                   int(plant.sent_bytes), tuple(executor.decisions), tuple(executor.applied),
                   plant.syncs - plant.setup.counter, self._bulk_end_s, int(plant.wire_bytes),
                   plant.lost_s, tuple(executor.etas))


def steer(pilot: PilotT, plant: precopy.Migration, *, until_s: float = 30_000.0,
          tick_s: float = TICK_S, boundaries: bool = True, change: Change | None = None,
          refuse: Refuse | None = None, commands: abc.Sequence[Command[PilotT]] = ()) -> Run:
    """Run it to its end; for the parameters see Course."""
    course = Course(pilot, plant, tick_s=tick_s, boundaries=boundaries, change=change,
                    refuse=refuse, commands=commands)
    course.go(until_s)
    return course.told()
