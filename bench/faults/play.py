# SPDX-License-Identifier: Apache-2.0
"""One fault from its server's boot to the verdict, and what is kept of it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import time
from typing import Any

from bench.faults import inject
from bench.faults import judge
from bench.faults import plan as plan_mod
from bench.faults import world as world_mod

#: in which all has to agree, from the end of the last fault
AGREE_S = 60.0
#: a job that libvirt still has at the end of the fault may take so much longer
JOB_S = 60.0
#: a held server is looked at for so long: it may still be decided
HELD_S = 30.0
#: what agrees has to agree for so long
STAYS_S = 3.0
LOOK_S = 0.5
ASK_AGAIN_S = 2.0


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a plan."""

    driver: str
    plan: dict[str, Any]
    verdict: str
    what: str
    #: from the end of the fault (or of libvirt's job, if that is later) until all agreed
    agreed_s: float | None
    seconds: float
    in_phase: bool
    forced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_violation(self) -> bool:
        """Whether an invariant was broken."""
        return judge.Kind(self.verdict) in judge.VIOLATIONS

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**dataclasses.asdict(self), 'forced': list(self.forced),
                'notes': list(self.notes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Result:
        """The result of `to_dict`."""
        return cls(**{**values, 'forced': tuple(values['forced']),
                      'notes': tuple(values['notes'])})


def play(world: world_mod.World, plan: plan_mod.Plan, evidence: pathlib.Path | None) -> Result:
    """Play a plan, and leave the stack as it was.

    :param evidence: a folder for what is known of a violation
    :raises LabError: the stack is broken; a new one is needed
    """
    began_s = time.monotonic()
    sizes = world_mod.sizes(world.stack)
    run = world.prepare(plan)
    in_phase, seen, verdict, agreed_s = False, judge.Seen(), None, None
    try:
        in_phase = inject.inject(world, run)
        seen, agreed_s = settle(world, run)
        verdict = judge.verdict(seen, run.history(), plan.destination)
    finally:
        if evidence is not None and (verdict is None or verdict.kind is not judge.Kind.AGREED):
            _keep(world, run, seen, sizes, evidence)
        forced = world.repair(run)
    return Result(
        driver=world.stack.driver, plan=plan.to_dict(), verdict=verdict.kind.value,
        what=verdict.what, agreed_s=None if agreed_s is None else round(agreed_s, 1),
        seconds=round(time.monotonic() - began_s, 1), in_phase=in_phase, forced=tuple(forced),
        notes=tuple(run.notes))


class _Clock:
    """How long it has been going on, that all agrees, or that it is held."""

    def __init__(self) -> None:
        self.began_s = self.over_s = self.asked_s = time.monotonic()
        self._agrees_s: float | None = None
        self._held_s: float | None = None

    def tell(self, now_s: float, *, is_open: bool, agrees: bool, is_held: bool) -> None:
        """Note what was seen.

        :param is_open: libvirt has a job, or something is still to be asked for
        """
        if is_open and now_s - self.began_s < JOB_S:
            self.over_s = now_s
        self._agrees_s = (self._agrees_s or now_s) if agrees else None
        self._held_s = (self._held_s or now_s) if is_held else None

    def agreed(self, now_s: float) -> float | None:
        """Return after how long all has agreed, once that is sure."""
        if self._agrees_s is None or now_s - self._agrees_s < STAYS_S:
            return None
        return max(0.0, self._agrees_s - self.over_s)

    def is_up(self, now_s: float) -> bool:
        """Whether nothing more is waited for."""
        return now_s - self.over_s > AGREE_S or (
            self._held_s is not None and now_s - self._held_s > HELD_S)


def settle(world: world_mod.World, run: world_mod.Run) -> tuple[judge.Seen, float | None]:
    """Wait until all agrees; return what was seen last, and how long that took."""
    clock, is_asked = _Clock(), inject.end(world, run)
    while True:
        seen, now_s = world.see(run), time.monotonic()
        if not is_asked and now_s - clock.asked_s > ASK_AGAIN_S:
            is_asked, clock.asked_s = inject.end(world, run), now_s
        wrong = judge.disagreements(seen, run.plan.destination, run.history())
        clock.tell(now_s, is_open=seen.job or not is_asked, agrees=not wrong,
                   is_held=judge.is_held(seen))
        agreed_s = clock.agreed(now_s)
        if agreed_s is not None or clock.is_up(now_s):
            return seen, agreed_s
        time.sleep(LOOK_S)


def _keep(world: world_mod.World, run: world_mod.Run, seen: judge.Seen,
          sizes: dict[pathlib.Path, int], folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told = {'plan': run.plan.to_dict(), 'server': run.server, 'seen': dataclasses.asdict(seen),
            'history': dataclasses.asdict(run.history()), 'notes': run.notes,
            'libvirt': run.watch.told(), 'switches': run.watch.beats.switches()[:100]}
    (folder / 'told.json').write_text(json.dumps(told, indent=2) + '\n')
    for name, text in world_mod.logs_since(world.stack, sizes).items():
        (folder / name).write_text(text)
    for name in plan_mod.HOSTS:
        state = world.stack.state_path(name) / 'migpolicy'
        if state.exists():
            shutil.copytree(state, folder / name, ignore=shutil.ignore_patterns('*.new'))
