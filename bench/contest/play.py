# SPDX-License-Identifier: Apache-2.0
"""The contest: every engine moves the same guests with the same permissions.

On the model it uses all processors; on the lab one migration runs at a time, since what is
measured would otherwise be the others' noise. What is measured is in `bench.contest.result`, what
it says in `bench.contest.score`.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import functools
import multiprocessing
import os

from bench.contest import engines
from bench.contest import on_model
from bench.contest import oracle
from bench.contest import peers
from bench.contest import result
from bench.contest import score as score_mod
from bench.contest import workloads

Result = result.Result
Say = abc.Callable[[str], None]


def reference(task: engines.Task) -> engines.Start:
    """Stock Nova with auto-converge on, whatever the policy says: for comparing lost work."""
    permitted = dataclasses.replace(task.policy, remedies=(
        *task.policy.remedies, *(() if task.policy.may_throttle else ('auto_converge',))))
    begun = peers.PEERS['nova'](dataclasses.replace(task, policy=permitted))
    return dataclasses.replace(begun, auto_converge=True)


ENGINES: abc.Mapping[str, engines.Engine] = {
    score_mod.OURS: engines.ours, **peers.PEERS, score_mod.REFERENCE: reference}
ALL = (*ENGINES, oracle.NAME)
#: the lab has no guests of the kind that the one left out is meant for
ON_LAB = tuple(name for name in ALL if name != 'vdsm_very_large')


def play(workload: workloads.Workload, names: abc.Sequence[str], seed: int) -> list[Result]:
    """All engines on one guest of the model; the oracle is missing where nothing can do it."""
    found = []
    for name in names:
        plan = ''
        if name == oracle.NAME:
            best = oracle.best(workload)
            if best is None:
                continue
            seen, plan = best[1], oracle.took(best[0], workload.task.policy)
        else:
            seen = on_model.play(workload, ENGINES[name](workload.task))
        one = result.result(workload.name, name, seed, workload.task, seen)
        found.append(dataclasses.replace(one, plan=plan))
    return found


def _play(names: abc.Sequence[str], item: tuple[int, workloads.Workload]) -> list[Result]:
    seed, workload = item
    return play(workload, names, seed)


def suite(path: str, names: abc.Sequence[str], seeds: abc.Sequence[int], say: Say,
          processes: int | None = None) -> list[Result]:
    """Run a workload file on the model, once for each seed."""
    items = [(seed, one) for seed in seeds for one in workloads.read(path, seed)]
    results: list[Result] = []
    work = functools.partial(_play, tuple(names))
    with multiprocessing.Pool(processes or os.cpu_count()) as pool:
        for number, found in enumerate(pool.imap(work, items, chunksize=4), 1):
            results.extend(found)
            if number % max(1, len(items) // 20) == 0 or number == len(items):
                say(f'{number} of {len(items)} guests')
    return results
