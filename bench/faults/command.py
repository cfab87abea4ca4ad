# SPDX-License-Identifier: Apache-2.0
"""Random faults in migrations on a real OpenStack, and whether all agrees afterwards.

Each number of a seed is a migration of a small guest and a fault at some moment of it. It is
looked at from outside: at both libvirts and the beats of the guest all the time, and at Nova,
placement and the files when the fault is over. Never may two copies run, nor a guest be lost that
the fault did not destroy; and 60 s after the fault all has to agree. What the evidence cannot
decide may be held, locked, with a reason. The stock driver is put to the same faults.

`--seed S --only K` plays one number again. With --resume each result is kept in a file as it
comes, and what is in that file is not played again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
import json
import pathlib
from typing import Any

from bench.faults import judge
from bench.faults import plan as plan_mod
from bench.faults import play
from bench.faults import world as world_mod
from lab import needs
from lab.openstack import layout
from lab import stack as lab_stack
from lab import workdir

DRIVERS = ('migpolicy', 'stock')
NAMES = {'migpolicy': 'ours', 'stock': 'stock'}
SHOWN = 40


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--n', type=int, default=20, metavar='N',
                        help='how many faults for each driver (default: 20)')
    parser.add_argument('--seed', type=int, default=1, metavar='S', help='(default: 1)')
    parser.add_argument('--first', type=int, default=0, metavar='K',
                        help='the first number (default: 0)')
    parser.add_argument('--only', type=int, nargs='+', metavar='K', help='these numbers alone')
    parser.add_argument('--driver', choices=(*DRIVERS, 'both'), default='both',
                        help='(default: both, one after the other)')
    parser.add_argument('--nova', choices=layout.RELEASES, default=layout.NEWEST,
                        help=f'(default: {layout.NEWEST})')
    parser.add_argument('--resume', type=pathlib.Path, metavar='FILE',
                        help='keep each result in FILE, a line of JSON each, and go on from there')
    parser.add_argument('--list', action='store_true', help='tell the plans, play nothing')
    parser.add_argument('--work', type=pathlib.Path, metavar='DIR',
                        help='work folder of the stack (default: .lab-bench in the checkout)')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Play the faults on a new stack; the results as plain values."""
    if args.n < 1:
        raise needs.LabError(f'--n: {args.n} is not above 0')
    numbers = args.only or range(args.first, args.first + args.n)
    plans = [plan_mod.plan(args.seed, number) for number in numbers]
    if args.list:
        return {'plans': [one.to_dict() for one in plans],
                'lines': [f'{one.number:5}  {one.told()}' for one in plans]}
    drivers = DRIVERS if args.driver == 'both' else (args.driver,)
    kept = Kept(args.resume)
    bench = _Bench((args.work or work).resolve(), args.nova, say)
    try:
        for driver in drivers:
            _play_all(bench, driver, plans, kept, say)
    finally:
        bench.down()
    results = [one for driver in drivers for one in kept.of(driver, plans)]
    return {'faults': [one.to_dict() for one in results], 'seed': args.seed,
            'nova': args.nova, 'n': len(plans)}


def _play_all(bench: _Bench, driver: str, plans: list[plan_mod.Plan], kept: Kept,
              say: Callable[[str], None]) -> None:
    left = [one for one in plans if not kept.has(driver, one)]
    for done, plan in enumerate(left, len(plans) - len(left) + 1):
        result = bench.play(driver, plan)
        kept.add(result)
        say(_progress(f'{NAMES[driver]} {done}/{len(plans)}', plan, result))


class Kept:
    """The results so far, and the file that each is added to as it comes.

    :raises LabError: the file cannot be read
    """

    def __init__(self, path: pathlib.Path | None) -> None:
        self._path = path
        self._found: dict[tuple[str, int, int], play.Result] = {}
        for number, line in enumerate(_lines_of(path), 1):
            try:
                self._note(play.Result.from_dict(json.loads(line)))
            except (ValueError, TypeError, KeyError) as error:
                raise needs.LabError(f'{path}, line {number}: it is no result of a fault '
                                     f'({error}); remove that line') from error

    def _note(self, result: play.Result) -> None:
        key = (result.driver, int(result.plan['seed']), int(result.plan['number']))
        self._found[key] = result

    def has(self, driver: str, plan: plan_mod.Plan) -> bool:
        """Whether a plan was played."""
        return (driver, plan.seed, plan.number) in self._found

    def add(self, result: play.Result) -> None:
        """Keep a result."""
        self._note(result)
        if self._path is not None:
            with open(self._path, 'a') as file:
                file.write(json.dumps(result.to_dict()) + '\n')

    def of(self, driver: str, plans: Iterable[plan_mod.Plan]) -> list[play.Result]:
        """Return the results of some plans."""
        return [self._found[driver, one.seed, one.number] for one in plans
                if self.has(driver, one)]


def _lines_of(path: pathlib.Path | None) -> list[str]:
    if path is None or not path.exists():
        return []
    return path.read_text().splitlines()


class _Bench:
    """A stack that is made when it is needed, and made anew when it is broken."""

    def __init__(self, work: pathlib.Path, nova: str, say: Callable[[str], None]) -> None:
        self._work = work
        self._nova = nova
        self._say = say
        self._world: world_mod.World | None = None

    def play(self, driver: str, plan: plan_mod.Plan) -> play.Result:
        """Play a plan; a stack that breaks at it is made anew, once."""
        evidence = self._work / workdir.CACHE / f'faults-{plan.seed}-{plan.number}-{driver}'
        for last in (False, True):
            try:
                return play.play(self._ready(driver), plan, evidence)
            except needs.LabError as error:
                self.down()
                if last:
                    raise
                self._say(f'number {plan.number}: {error}; with a new stack once more')
        raise AssertionError

    def _ready(self, driver: str) -> world_mod.World:
        if self._world is not None and self._world.stack.driver != driver:
            self.down()
        if self._world is None:
            stack = lab_stack.Stack(
                self._work, driver=driver, nova=self._nova, nova_conf=world_mod.nova_conf(driver),
                control_conf=world_mod.CONTROL_CONF, say=self._say)
            stack.mortal = frozenset(plan_mod.HOSTS)
            stack.up()
            self._world = world_mod.World(stack)
        return self._world

    def down(self) -> None:
        """Stop the stack, if there is one."""
        if self._world is not None:
            self._world.stack.down()
            self._world = None


def _progress(place: str, plan: plan_mod.Plan, result: play.Result) -> str:
    agreed = '' if result.agreed_s is None else f' after {result.agreed_s:g} s'
    mark = 'VIOLATION, ' if result.is_violation else ''
    missed = '' if result.in_phase else ' (not in its phase)'
    return (f'{place}: number {plan.number}, {plan.told()}{missed}: {mark}{result.verdict}'
            f'{agreed}, {result.what}; {result.seconds:.0f} s')


def lines(found: dict[str, Any]) -> list[str]:
    """The plans, or the results as a table by fault and phase."""
    if 'plans' in found:
        return list(found['lines'])
    results = [play.Result.from_dict(one) for one in found['faults']]
    drivers = [one for one in DRIVERS if any(result.driver == one for result in results)]
    rows = [_summary(driver, found, [one for one in results if one.driver == driver])
            for driver in drivers]
    rows += ['', f'{"fault":34}{"phase":12}' + ''.join(
        f'{NAMES[driver]:>8}{"broken":>8}' for driver in drivers)]
    keys = sorted({(one.plan['fault'], one.plan['phase']) for one in results},
                  key=lambda key: ([one.value for one in plan_mod.Fault].index(key[0]),
                                   [one.value for one in plan_mod.Phase].index(key[1])))
    for fault, phase in keys:
        rows.append(f'{fault:34}{phase:12}' + ''.join(
            '{:8}{:8}'.format(*_counts(results, driver, fault, phase)) for driver in drivers))
    broken = [one for one in results if one.is_violation]
    rows += ['', *(f'{NAMES[one.driver]}, seed {one.plan["seed"]} number {one.plan["number"]}: '
                   f'{one.plan["fault"]} in {one.plan["phase"]}: {one.verdict}: {one.what}'
                   for one in broken[:SHOWN])]
    return rows


def _counts(results: list[play.Result], driver: str, fault: str, phase: str) -> tuple[int, int]:
    found = [one for one in results if one.driver == driver
             and (one.plan['fault'], one.plan['phase']) == (fault, phase)]
    return len(found), sum(one.is_violation for one in found)


def _summary(driver: str, found: dict[str, Any], results: list[play.Result]) -> str:
    kinds = {kind: sum(one.verdict == kind.value for one in results) for kind in judge.Kind}
    agreed = sorted(one.agreed_s for one in results if one.agreed_s is not None)
    took = f'; agreed after {agreed[len(agreed) // 2]:g} s (median), {agreed[-1]:g} s (worst)' \
        if agreed else ''
    told = ', '.join(f'{count} {kind.value}' for kind, count in kinds.items() if count)
    broken = sum(one.is_violation for one in results)
    return (f'{NAMES[driver]}: {len(results)} faults of seed {found["seed"]} on Nova '
            f'{found["nova"]}: {broken} violations ({told}){took}')
