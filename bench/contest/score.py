# SPDX-License-Identifier: Apache-2.0
"""What the results of a contest say: ratios to the best peer and to the oracle, and the targets.

Pure arithmetic on `bench.contest.result.Result`s. A ratio is made per workload and seed, from runs
that arrived in time; who did not is counted under outcome, never dropped silently.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import math

from bench.contest import oracle
from bench.contest import result

Result = result.Result
OURS = 'ours'
# Stock Nova with auto-converge on: what the work that a guest lost is compared with.
REFERENCE = 'auto_converge'
NOT_PEERS = frozenset({OURS, oracle.NAME, REFERENCE})


@dataclasses.dataclass(frozen=True)
class Spread:
    """Figures of many ratios; count 0: there was none."""

    count: int
    median: float = math.nan
    p90: float = math.nan
    p95: float = math.nan
    best: float = math.nan
    worst: float = math.nan


@dataclasses.dataclass(frozen=True)
class Target:
    """One target with what was reached: met is None where nothing could be measured."""

    name: str
    target: str
    reached: str
    met: bool | None


def spread(values: abc.Iterable[float]) -> Spread:
    """Percentiles by the nearest rank."""
    ranked = sorted(values)
    if not ranked:
        return Spread(0)

    def rank(share: float) -> float:
        return ranked[max(0, math.ceil(share * len(ranked)) - 1)]

    return Spread(len(ranked), rank(0.5), rank(0.9), rank(0.95), ranked[0], ranked[-1])


@dataclasses.dataclass(frozen=True)
class Row:
    """One engine: in time of the feasible, ratios of total time, promises kept of those made."""

    engine: str
    in_time: int
    feasible: int
    oracle: Spread
    peer: Spread
    kept: int
    promised: int
    lost_s: float
    wasted: Spread


class Score:
    """The results of a contest, by workload."""

    def __init__(self, results: abc.Iterable[Result]) -> None:
        self.cases: dict[tuple[str, int], dict[str, Result]] = {}
        for one in results:
            self.cases.setdefault((one.workload, one.seed), {})[one.engine] = one
        self.engines = sorted({name for case in self.cases.values() for name in case})

    def runs(self, engine: str) -> list[Result]:
        """All runs of an engine."""
        return [case[engine] for case in self.cases.values() if engine in case]

    def feasible(self) -> list[dict[str, Result]]:
        """The cases in which some permitted plan arrives in time."""
        return [case for case in self.cases.values()
                if oracle.NAME in case and case[oracle.NAME].in_time]

    def outcome(self, engine: str) -> tuple[int, int]:
        """How many of the feasible cases an engine finished in time, and of how many."""
        cases = [case for case in self.feasible() if engine in case]
        return sum(case[engine].in_time for case in cases), len(cases)

    def best_peer(self, case: abc.Mapping[str, Result]) -> Result | None:
        """The fastest peer that arrived in time with the promise kept, if it made one."""
        arrived = [one for name, one in case.items() if name not in NOT_PEERS and one.in_time
                   and (one.kept or not one.promised)]
        return min(arrived, key=lambda one: one.seconds) if arrived else None

    def against_oracle(self, engine: str, figure: str) -> list[tuple[float, Result, Result]]:
        """Ratios of a figure to the oracle's, of those that arrived in time."""
        found = []
        for case in self.feasible():
            mine, best = case.get(engine), case[oracle.NAME]
            if mine is None or not mine.in_time:
                continue
            if figure == 'blackout_ms' and not (mine.promised and best.promised):
                continue
            value, bound = getattr(mine, figure), getattr(best, figure)
            if value is not None and bound:
                found.append((value / bound, mine, best))
        return found

    def against_peers(self, engine: str = OURS) -> list[tuple[float, Result, Result]]:
        """Ratios of the total time to that of the best peer that finishes."""
        found = []
        for case in self.cases.values():
            mine, best = case.get(engine), self.best_peer(case)
            if mine is not None and mine.in_time and best is not None:
                found.append((mine.seconds / best.seconds, mine, best))
        return found

    def lost(self, engine: str) -> tuple[float, float, int]:
        """Guest work lost by an engine, by auto-converge on the same guests, and how many.

        Only guests that auto-converge really slowed and brought to an end in time count.
        """
        mine = reference = 0.0
        count = 0
        for case in self.cases.values():
            one, other = case.get(engine), case.get(REFERENCE)
            if one is None or other is None or not (one.in_time and other.in_time):
                continue
            if other.lost_s <= (other.blackout_ms or 0) / 1000 + 0.5:
                continue
            mine, reference, count = mine + one.lost_s, reference + other.lost_s, count + 1
        return mine, reference, count

    def kept(self, engine: str) -> tuple[int, int]:
        """In how many runs the blackout was within the promise, of those that made one."""
        made = [one for one in self.runs(engine) if one.promised]
        return sum(one.kept for one in made), len(made)

    def wasted(self, engine: str) -> Spread:
        """Bytes of the memory and disks that aborted migrations had sent, over their size."""
        return spread(one.wire_mib / (one.memory_mib + one.disk_mib)
                      for one in self.runs(engine) if one.end == 'aborted')

    def row(self, engine: str) -> Row:
        """The figures of one engine."""
        return Row(
            engine, *self.outcome(engine),
            spread(one for one, _, _ in self.against_oracle(engine, 'seconds')),
            spread(one for one, _, _ in self.against_peers(engine)), *self.kept(engine),
            sum(one.lost_s for one in self.runs(engine)), self.wasted(engine))

    def eta(self, engine: str, number: int) -> tuple[Spread, int]:
        """Errors of the forecasts after a pass, and how many saw no end that then came."""
        found = [eta for one in self.runs(engine) for eta in one.etas if eta.number == number]
        return (spread(eta.error for eta in found if eta.foretold),
                sum(not eta.foretold for eta in found))


def _percent(part: float, whole: float) -> str:
    return f'{100 * part / whole:.1f} % ({part:g} of {whole:g})' if whole else 'no run'


def _under(value: float, most: float) -> bool | None:
    return None if math.isnan(value) else value <= most


def targets(score: Score) -> list[Target]:
    """The targets of the contest and what our engine reached."""
    done, of = score.outcome(OURS)
    time = spread(ratio for ratio, _, _ in score.against_oracle(OURS, 'seconds'))
    peers = spread(ratio for ratio, _, _ in score.against_peers())
    kept, made = score.kept(OURS)
    blackout = spread(ratio for ratio, _, _ in score.against_oracle(OURS, 'blackout_ms'))
    lost, reference, count = score.lost(OURS)
    wire = spread(ratio for ratio, _, _ in score.against_oracle(OURS, 'wire_mib'))
    wasted = score.wasted(OURS)
    found = [
        Target('finished in time when some permitted plan can', '≥ 99.5 %', _percent(done, of),
               done >= 0.995 * of if of else None),
        Target('total time ÷ oracle, median', '≤ 1.10', f'{time.median:.3f}',
               _under(time.median, 1.10)),
        Target('total time ÷ oracle, p95', '≤ 1.30', f'{time.p95:.3f}', _under(time.p95, 1.30)),
        Target('total time ÷ best peer that finishes, median', '≤ 0.80', f'{peers.median:.3f}',
               _under(peers.median, 0.80)),
        Target('total time ÷ best peer that finishes, worst', '≤ 1.05', f'{peers.worst:.3f}',
               _under(peers.worst, 1.05)),
        Target('blackout within the promise', '≥ 99 %', _percent(kept, made),
               kept >= 0.99 * made if made else None),
        Target('blackout ÷ oracle, median', '≤ 1.15', f'{blackout.median:.3f}',
               _under(blackout.median, 1.15)),
        Target("lost guest work ÷ auto-converge's", '≤ 0.2',
               f'{lost / reference:.3f} ({count} guests)' if reference else 'no run',
               lost <= 0.2 * reference if reference else None),
        Target('bytes ÷ oracle, median', '≤ 1.10', f'{wire.median:.3f}',
               _under(wire.median, 1.10)),
        Target('wasted per abort ÷ memory, median', '≤ 1.3',
               f'{wasted.median:.3f} (p95 {wasted.p95:.3f}, {wasted.count} aborts)',
               _under(wasted.median, 1.3)),
    ]
    for number, most in ((1, 0.25), (2, 0.12)):
        errors, unseen = score.eta(OURS, number)
        found.append(Target(
            f'ETA error p90 after {number} pass{"es" if number > 1 else ""}',
            f'≤ {100 * most:.0f} %', f'{100 * errors.p90:.1f} % of {errors.count}'
            f'{f", {unseen} more saw no end" if unseen else ""}', _under(errors.p90, most)))
    return found
