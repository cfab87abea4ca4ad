# SPDX-License-Identifier: Apache-2.0
"""What came of one engine's migration of one guest: the figures of the contest; plain records."""

from __future__ import annotations

import dataclasses
import typing

from bench.contest import engines
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.sim import run as run_module

MIB = 1 << 20
# A blackout is seen to some ms: the guest's clock, the model's windows.
SEEN_MS = 5.0


@dataclasses.dataclass(frozen=True)
class EtaError:
    """How far a forecast was off: the share of the whole time, after a pass of the memory.

    number: 0 after the bulk copy. foretold: whether it saw an end at all; error is 0 if not.
    """

    number: int
    foretold: bool
    error: float


@dataclasses.dataclass(frozen=True)
class Result:
    """One run. seconds, deadline_s: from the start; lost_s: of one of the guest's processors.

    end: completed, aborted, or running when nobody ended it. way: what ended it, in the policy's
    words: nothing (it converged), a remedy's name (the most harmful that was used) or abort. plan:
    what the oracle had to take.
    """

    workload: str
    engine: str
    seed: int
    end: str
    way: str
    seconds: float
    deadline_s: float | None
    blackout_ms: float | None
    promise_ms: int
    lost_s: float
    wire_mib: float
    memory_mib: int
    disk_mib: int
    passes: int
    actions: tuple[str, ...]
    reason: str
    etas: tuple[EtaError, ...] = ()
    plan: str = ''

    @property
    def in_time(self) -> bool:
        """Whether it arrived before its deadline."""
        return self.end == 'completed' and (
            self.deadline_s is None or self.seconds <= self.deadline_s)

    @property
    def promised(self) -> bool:
        """Whether the promise about the blackout is one of this run: it arrived unpaused."""
        return self.end == 'completed' and self.way != remedies.PAUSE

    @property
    def kept(self) -> bool:
        """Whether the blackout was within the promise."""
        return (self.blackout_ms or 0.0) <= self.promise_ms + SEEN_MS

    def to_dict(self) -> dict[str, typing.Any]:
        """Plain values for JSON."""
        values = dataclasses.asdict(self)
        for name in ('seconds', 'blackout_ms', 'lost_s', 'wire_mib'):
            if values[name] is not None:
                values[name] = round(values[name], 3)
        values['etas'] = [[one.number, one.foretold, round(one.error, 4)] for one in self.etas]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, typing.Any]) -> Result:
        """The result of `to_dict`."""
        return cls(**{**values, 'actions': tuple(values['actions']),
                      'etas': tuple(EtaError(*one) for one in values['etas'])})


def way_of(actions: tuple[remedies.Action, ...], start_ms: int = 0) -> str:
    """The most harmful of some actions, in the policy's words.

    start_ms: the blackout that was tried for at the start; a limit that stands for no more than
    that only follows the bandwidth.
    """
    if any(isinstance(one, remedies.Abort) for one in actions):
        return 'abort'
    used = [one.remedy for one in actions if one.remedy in remedies.HARM_ORDER and not (
        isinstance(one, remedies.SetMaxDowntime) and one.promised_ms <= start_ms)]
    return max(used, key=remedies.HARM_ORDER.index) if used else 'nothing'


def eta_errors(seen: run_module.Run) -> tuple[EtaError, ...]:
    """The errors of the forecasts that nothing came between, for a run that arrived.

    A forecast is about the settings of its moment: where an action followed, nobody knows what
    would have come of it.
    """
    if seen.end != 'completed':
        return ()
    found: dict[int, EtaError] = {}
    for one in seen.etas:
        if one.done != len(seen.applied) or one.number in found or one.number > 6:
            continue
        foretold = one.eta_s is not None
        total = one.at_s + (one.eta_s or 0.0)
        found[one.number] = EtaError(
            one.number, foretold, abs(total - seen.seconds) / seen.seconds if foretold else 0.0)
    return tuple(found.values())


def result(name: str, engine: str, seed: int, task: engines.Task,
           seen: run_module.Run) -> Result:
    """The figures of a run."""
    reasons = [one.reason for one in seen.decisions]
    way = way_of(seen.actions, settings_mod.initial_promise_ms(task.policy))
    return Result(
        name, engine, seed, seen.end, way, seen.seconds, task.deadline_s, seen.blackout_ms,
        task.policy.max_downtime_ms, seen.lost_s, seen.wire_bytes / MIB, task.memory_mib,
        task.disk_mib, seen.passes, tuple(one.name for one in seen.actions),
        reasons[-1] if reasons else '', eta_errors(seen))
