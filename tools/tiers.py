# SPDX-License-Identifier: Apache-2.0
"""The tiers of tests, and their summary; tools/test calls this in the virtual environment.

A tier is a list of runs: either commands that pass or fail as a whole, or a folder of tests for
stestr; or a folder whose classes are run in several lanes, because they mostly wait. The tiers
with lanes and the others go side by side, and the lanes have the better part of the processors:
they measure what real guests see.

A tier in which no test ran has failed, and so has, where CI is set, one that was skipped
or whose tests were skipped because of what this machine lacks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import os
import pathlib
import re
import signal
import sys
import time
import traceback
from typing import NoReturn

import board
import changed
import lanes
import pool
import runs

PROGRAMS = ('nova_migpolicy', 'bench', 'lab', 'tools')
SOURCES = (*PROGRAMS, 'tests', 'shim', 'setup.py', 'doc')
#: whatever the tiers' own limits are, what runs is stopped then, and so much later all is over
WHOLE_S = 3400
AFTER_S = 120


@dataclasses.dataclass(frozen=True)
class Lanes:
    """How many lanes a tier has, see lanes.how_many, and what is known of its tests.

    :param setup_s: how long a lane takes to make what its tests need
    :param seconds_each: how long a test takes, about
    """

    each_mib: int
    per_core: float
    most: int
    setup_s: float
    seconds_each: float


@dataclasses.dataclass(frozen=True)
class Tier:
    """A named part of the tests.

    :param timeout_s: all runs together; who takes longer is stopped and has failed
    :param lanes: of its only run, which is a folder of tests
    :param at_once: how many of its runs go side by side
    :param by_name: it takes so long that it is run only where it is asked for by its name
    """

    name: str
    about: str
    runs: tuple[runs.Run, ...]
    timeout_s: int
    root: bool = False
    lanes: Lanes | None = None
    at_once: int = 1
    by_name: bool = False


#: the tiers that are to run, and which of their modules; None for all
Chosen = Sequence[tuple[Tier, frozenset[str] | None]]


def contract(nova: str, threads: bool) -> runs.Run:
    """Return the run of the contract tests against a release of Nova, in one of its modes."""
    env = {'OS_NOVA_DISABLE_EVENTLET_PATCHING': str(threads).lower(), 'MIGPOLICY_NOVA': nova}
    if nova != '34':
        env['PYTHONPATH'] = str(runs.ROOT / f'.venv/nova-{nova}')
    return runs.Run(f'Nova {nova}, {"threads" if threads else "eventlet"}',
                    tests='tests/contract', env=env, serial=True)


def tool(name: str, *words: str) -> runs.Run:
    """Return the run of a program of the virtual environment."""
    return runs.Run(name, (str(runs.BIN / name), *words))


def folder(name: str) -> tuple[runs.Run, ...]:
    """Return the run of a tier's folder of tests."""
    return (runs.Run(name, tests=f'tests/{name}'),)


# The time limits are for a machine that is busy with other things, too.
TIERS = (
    Tier('style', 'ruff, flake8 with hacking, complexity, release notes', (
        tool('ruff', 'check', '--quiet', '--output-format', 'concise', *SOURCES),
        tool('flake8'),
        tool('complexipy', *PROGRAMS, '--max-complexity-allowed', '15', '--failed', '--plain',
             '--color', 'no'),
        tool('reno', '--quiet', 'lint', '.'),
    ), 900),
    Tier('types', 'mypy --strict', (tool('mypy'),), 900),
    Tier('docs', 'all pages with Sphinx, where a warning is an error', (
        tool('sphinx-build', '-E', '-W', '--keep-going', '-q', '-b', 'html', 'doc/source',
             'doc/build'),
    ), 900),
    Tier('unit', 'the parts, one by one', folder('unit'), 3600),
    Tier('simulation', 'the model of QEMU against recordings, recovery and slots against faults',
         folder('simulation'), 900),
    Tier('property', 'hypothesis on the engine and the policy', folder('property'), 3600),
    Tier('contract', "what the plugin relies on in Nova 31 to 34's private code", (
        contract('31', False), contract('32', False), contract('33', True), contract('34', True),
    ), 3600, at_once=len(os.sched_getaffinity(0))),
    Tier('eventlet', 'the same of Nova 33 and 34 with eventlet, their other mode', (
        contract('33', False), contract('34', False),
    ), 3600, at_once=len(os.sched_getaffinity(0)), by_name=True),
    Tier('lab', 'facts about real QEMU and libvirt, on hosts of namespaces', folder('lab'), 3600,
         root=True, lanes=Lanes(each_mib=1024, per_core=1, most=2, setup_s=3, seconds_each=7)),
    Tier('stack', 'a real OpenStack with the plugin', folder('stack'), 4200, root=True,
         lanes=Lanes(each_mib=2048, per_core=2, most=6, setup_s=30, seconds_each=15)),
    Tier('long', 'all deaths, all releases of Nova, random faults', folder('long'), 4200,
         root=True, lanes=Lanes(each_mib=2048, per_core=2, most=6, setup_s=30, seconds_each=30),
         by_name=True),
)


def main() -> int:
    """Run the tiers that were asked for; 0 when something ran and nothing failed."""
    args = _parse()
    # SIGINT as well: where it was ignored at the start, what is run would ignore it, too, and
    # could not be told to take its lab down.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if args.list:
        for tier in TIERS:
            print(f'{tier.name:10} {tier.about}{" (needs root)" if tier.root else ""}'
                  f'{" (only by its name)" if tier.by_name else ""}')
        return 0
    chosen: Chosen = [(tier, None) for tier in TIERS if tier.name in args.tier or not (
        args.tier or tier.by_name)]
    if args.changed:
        chosen = _touched([tier for tier, _ in chosen], args.base)
        if not chosen:
            print('\nnothing to run')
            return 0
    return _sum_up(_run(chosen, args.k or '', args.lanes))


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt     # which ends what runs, and what that has started


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='tools/test', description='Installs what the tests need (tools/setup) and runs them.',
        epilog='examples: "tools/test" for all; "tools/test unit property"; "tools/test stack -k '
        'FaultTest" for one class; "tools/test --changed" before a commit; "tools/test --changed '
        '--base origin/main" for a branch.')
    parser.add_argument('tier', nargs='*', metavar='TIER',
                        help='what to run, by default ' + ', '.join(
                            t.name for t in TIERS if not t.by_name) + '; only by name: '
                        + ', '.join(t.name for t in TIERS if t.by_name))
    parser.add_argument('--list', action='store_true', help='name the tiers and what they are')
    parser.add_argument('-k', metavar='REGEX', help='only tests whose name matches')
    parser.add_argument('--changed', action='store_true',
                        help='only what the files exercise that differ from the last commit, '
                        'new files included')
    parser.add_argument('--base', metavar='REV', default='HEAD',
                        help='for --changed: differ from this one')
    parser.add_argument('--lanes', type=int, metavar='N',
                        help='at most so many lanes of a tier, on a machine that is shared')
    args = parser.parse_args()
    try:
        re.compile(args.k or '')
    except re.error as error:
        parser.error(f'-k {args.k}: {error}; it takes a regular expression')
    unknown = set(args.tier) - {tier.name for tier in TIERS}
    if unknown:
        parser.error(f'no tier {", ".join(sorted(unknown))}; see tools/test --list')
    return args


def _touched(tiers: Sequence[Tier], base: str) -> Chosen:
    """Return the tiers that changed files touch."""
    try:
        files = changed.files(runs.ROOT, base)
    except changed.GitError as error:
        sys.exit(f'tools/test: {error}')
    print(f'{len(files)} files differ from {base}')
    choices = changed.choose(files, changed.Tree.read(runs.ROOT))
    for tier in tiers:
        print(f'   {tier.name}: {choices.get(tier.name, "nothing")}')
    return [(tier, choices[tier.name].modules) for tier in tiers if tier.name in choices]


def _run(chosen: Chosen, regex: str, most: int | None) -> dict[str, runs.Count]:
    in_ci = os.environ.get('CI', '').lower() in ('true', '1')
    whole = time.monotonic() + WHOLE_S
    shown = board.Board()
    counts: dict[str, runs.Count] = {}
    laned = any(tier.lanes for tier, _ in chosen)
    numbers = _numbers([tier for tier, _ in chosen], most)
    beside = [(tier, runs.How(shown, whole, regex, modules, strict=in_ci and tier.root,
                              background=laned), numbers[tier.name])
              for tier, modules in chosen]

    def one(tier: Tier, how: runs.How, number: int) -> None:
        began = time.monotonic()
        if not runs.STOPPING.is_set():
            end = min(how.end, began + tier.timeout_s)
            counts[tier.name] = _tier(tier, dataclasses.replace(how, end=end), number, in_ci)
            counts[tier.name].seconds = time.monotonic() - began

    def in_turn() -> None:
        for tier, how, number in beside:
            if not tier.lanes:
                one(tier, how, number)

    in_lanes = [entry for entry in beside if entry[0].lanes]
    threads = futures.ThreadPoolExecutor(1 + len(in_lanes))
    with shown.shown():
        under_way = [threads.submit(in_turn),
                     *(threads.submit(one, *entry) for entry in in_lanes)]
        try:
            futures.wait(under_way, timeout=WHOLE_S + AFTER_S)
        except BaseException:
            runs.stop()
            futures.wait(under_way, timeout=AFTER_S)
            raise
    return {tier.name: counts.get(tier.name) or _without_end() for tier, _ in chosen}


def _numbers(tiers: Sequence[Tier], most: int | None) -> dict[str, int]:
    """Return how many lanes each tier gets of what this machine has; 0 for none."""
    free_mib, numbers = _available_mib(), {}
    for tier in tiers:
        numbers[tier.name] = 0
        if tier.lanes and _may(tier):
            numbers[tier.name] = lanes.how_many(
                free_mib, len(os.sched_getaffinity(0)), tier.lanes.each_mib,
                tier.lanes.per_core, most or tier.lanes.most)
            free_mib -= numbers[tier.name] * tier.lanes.each_mib
    return numbers


def _without_end() -> runs.Count:
    count = runs.Count(note='it has not come to an end')
    count.fail(count.note)
    return count


def _tier(tier: Tier, how: runs.How, number: int, in_ci: bool) -> runs.Count:
    board.say(f'== {tier.name}: {tier.about}' + (f' ({number} lanes)' if number else ''))
    count = runs.Count()
    if not _may(tier):
        count.note = 'needs root: run it as root (sudo)'
        if in_ci:
            count.fail(count.note)
        else:
            count.skipped = 1
        board.say(f'   {tier.name}: skipped: {count.note}')
        return count

    def one(run: runs.Run) -> runs.Count:
        try:
            if tier.lanes:
                return _in_lanes(run, how, number, tier.lanes)
            return runs.tests(run, how) if run.tests else runs.command(run, how)
        except Exception:       # whatever it is, the other runs and the summary go on
            broken, said = runs.Count(), traceback.format_exc()
            broken.fail(run.label, said)
            board.say(f'   {run.label}: FAILED\n{runs.indent(said)}')
            return broken

    with futures.ThreadPoolExecutor(tier.at_once) as threads:
        for done in threads.map(one, tier.runs):
            count.add(done)
    if not count.passed + count.failed:
        count.note = 'no test ran'
        count.fail(count.note)
    return count


def _in_lanes(run: runs.Run, how: runs.How, number: int, spec: Lanes) -> runs.Count:
    try:
        jobs = pool.jobs(run.tests, how, spec.seconds_each)
    except pool.CannotListError as error:
        count = runs.Count()
        count.fail(run.label, str(error))
        board.say(f'   {run.label}: there are tests that cannot be imported\n'
                  f'{runs.indent(str(error))}')
        return count
    if not jobs:
        board.say(f'   {run.label}: no test has such a name')
        return runs.Count()
    pool.sweep()
    queue = lanes.Queue(jobs, spec.setup_s)
    return pool.Pool(run.label, queue, how).run(min(number, len(jobs)))


def _may(tier: Tier) -> bool:
    return not tier.root or os.geteuid() == 0


def _available_mib() -> int:
    """Return the memory that programs may take on this machine."""
    lines = pathlib.Path('/proc/meminfo').read_text().splitlines()
    found = {line.split(':')[0]: int(line.split()[1]) for line in lines}
    return found['MemAvailable'] // 1024


def _sum_up(counts: dict[str, runs.Count]) -> int:
    total = runs.Count()
    print(f'\n{"tier":10} {"passed":>7} {"failed":>7} {"skipped":>8} {"seconds":>8}')
    for name, count in counts.items():
        print(f'{name:10} {count.passed:7} {count.failed:7} {count.skipped:8} '
              f'{count.seconds:8.1f}  {count.note}'.rstrip())
        total.add(count)
    for name, count in counts.items():
        for failure in count.failures:
            print(f'FAILED {name}: {failure}')
    print(f'\n{total}', flush=True)
    return 0 if total.passed and not total.failed else 1


def program() -> NoReturn:
    """Be a program: main() and its exit status."""
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    sys.stdout.flush()
    os._exit(status)    # a thread that hangs must not keep all from ending


if __name__ == '__main__':
    program()
