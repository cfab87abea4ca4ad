# SPDX-License-Identifier: Apache-2.0
"""The contest: every engine moves the same guests with the same permissions.

`--on sim` runs it on the model of QEMU, `--on lab` on real libvirt and QEMU (as root, on a machine
that does nothing else). Engines are ours, the peers of bench.contest.peers, auto_converge (stock
Nova with auto-converge on, the reference for lost work) and oracle, which knows the guest. The
workload file is told in bench.contest.workloads. The table is about each engine; below it are the
targets, and where ours lost most against the best peer.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import os
import pathlib
import platform
import shlex
import sys
from typing import Any

from bench.contest import play
from bench.contest import result
from bench.contest import score as score_mod
from bench.contest import workloads
from lab import needs

LOSSES = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    suites = ', '.join(sorted(one.stem for one in workloads.SUITES.glob('*.yaml')))
    parser.add_argument('--on', choices=('sim', 'lab'), default='sim',
                        help='the model (default), or real hosts')
    parser.add_argument('--workloads', default='full', metavar='FILE',
                        help=f'a YAML file, or a suite: {suites} (default: full)')
    left_out = ', '.join(sorted(set(play.ALL) - set(play.ON_LAB)))
    parser.add_argument('--engines', metavar='A,B,…',
                        help=f'(default: {",".join(play.ALL)}; on the lab without {left_out})')
    parser.add_argument('--seeds', type=int, default=1, metavar='N',
                        help='how many seeds (default: 1)')
    parser.add_argument('--first-seed', type=int, default=101, metavar='S',
                        help='the first seed (default: 101; tuning used 1 to 9)')
    parser.add_argument('--plot', type=pathlib.Path, metavar='DIR',
                        help='draw a page of pictures into this folder')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Run the contest; the results as plain values, with how they came about."""
    usual = play.ALL if args.on == 'sim' else play.ON_LAB
    names = args.engines.split(',') if args.engines else list(usual)
    unknown = sorted(set(names) - set(play.ALL))
    if unknown:
        raise needs.LabError(f'--engines: there is no engine {unknown[0]}; there are '
                             f'{", ".join(play.ALL)}')
    if args.seeds < 1:
        raise needs.LabError(f'--seeds: {args.seeds} is not above 0')
    seeds = list(range(args.first_seed, args.first_seed + args.seeds))
    try:
        if args.on == 'sim':
            results = play.suite(args.workloads, names, seeds, say)
            versions: dict[str, str] = {}
        else:
            results, versions = _on_lab(work, args.workloads, names, seeds, say)
    except workloads.BadWorkload as error:
        raise needs.LabError(str(error)) from error
    found = {
        'on': args.on, 'workloads': args.workloads, 'seeds': seeds, 'engines': names,
        'command': shlex.join(['python', '-m', 'bench', *sys.argv[1:]]),
        'machine': {'processors': os.cpu_count(), 'architecture': platform.machine(),
                    'python': platform.python_version(), **versions},
        'results': [one.to_dict() for one in results]}
    if args.plot:
        from bench.contest import plot
        args.plot.mkdir(parents=True, exist_ok=True)
        path = args.plot / f'{pathlib.Path(args.workloads).stem}.png'
        plot.draw(score_mod.Score(results), path, title(found))
        say(f'drawn: {path}')
    return found


def _on_lab(work: pathlib.Path, path: str, names: list[str], seeds: list[int],
            say: Callable[[str], None]) -> tuple[list[result.Result], dict[str, str]]:
    from bench.contest import on_lab
    results = []
    for seed in seeds:
        results.extend(on_lab.play(work.with_name(f'{work.name}-run'),
                                   workloads.read(path, seed), names, seed, play.ENGINES, say))
    return results, on_lab.versions()


def title(found: dict[str, Any]) -> str:
    """What was run, in a line."""
    where = 'model of QEMU' if found['on'] == 'sim' else 'real QEMU'
    seeds = found['seeds']
    told = f'seed {seeds[0]}' if len(seeds) == 1 else f'seeds {seeds[0]} to {seeds[-1]}'
    return f'suite {pathlib.Path(found["workloads"]).stem} on the {where}, {told}'


def lines(found: dict[str, Any]) -> list[str]:
    """Each engine, the targets, and the worst losses."""
    score = score_mod.Score(map(result.Result.from_dict, found['results']))
    cases, feasible = len(score.cases), len(score.feasible())
    return [f'{title(found)}: {cases} guests; a permitted plan exists for {feasible}', '',
            *engine_table(score), '', *target_table(score), '', *losses(score)]


def engine_table(score: score_mod.Score) -> list[str]:
    """A line for each engine."""
    heads = (('', -16), ('in time', 12), ('÷ oracle', 10), ('p95', 7), ('÷ peer', 8),
             ('worst', 8), ('promise', 12), ('lost s', 9), ('aborts', 7), ('wasted', 8))
    rows = [''.join(word.ljust(-width) if width < 0 else word.rjust(width)
                    for word, width in heads)]
    for name in score.engines:
        row = score.row(name)
        arrived, within = f'{row.in_time}/{row.feasible}', f'{row.kept}/{row.promised}'
        rows.append(
            f'{name:16}{arrived:>12}{row.oracle.median:10.2f}{row.oracle.p95:7.2f}'
            f'{row.peer.median:8.2f}{row.peer.worst:8.2f}{within:>12}{row.lost_s:9.0f}'
            f'{row.wasted.count:7}{row.wasted.median:8.2f}')
    return rows


def target_table(score: score_mod.Score) -> list[str]:
    """The targets, and what was reached."""
    word = {True: 'met', False: 'MISSED', None: 'not measured'}
    return [f'{one.name:50}{one.target:>8}  {one.reached:26} {word[one.met]}'
            for one in score_mod.targets(score)]


def losses(score: score_mod.Score) -> list[str]:
    """Where ours took longest against the best peer."""
    worst = sorted(score.against_peers(), key=lambda found: -found[0])[:LOSSES]
    rows = ['the worst against the best peer:'] if worst else []
    for ratio, mine, best in worst:
        rows.append(f'  {ratio:5.2f}  {mine.workload}: ours {mine.way} {mine.seconds:.1f} s, '
                    f'{mine.blackout_ms or 0:.0f} ms; {best.engine} {best.way} '
                    f'{best.seconds:.1f} s, {best.blackout_ms or 0:.0f} ms')
    return rows
