# SPDX-License-Identifier: Apache-2.0
"""The tiers of tests, and their summary; tools/test calls this in the virtual environment.

A tier is a list of runs: either commands that pass or fail as a whole, or a folder of tests for
stestr. A tier in which no test ran has failed, and so has, where CI is set, one that was skipped
or whose tests were skipped because of what this machine lacks.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import time

import runs

SOURCES = ('nova_migpolicy', 'bench', 'lab', 'tests', 'tools', 'shim', 'setup.py')


@dataclasses.dataclass
class Tier:
    """A named part of the tests.

    :param timeout_s: all runs together; who takes longer is stopped and has failed
    :param side_by_side: the runs, which are folders of tests, go at the same time
    """

    name: str
    about: str
    runs: tuple[runs.Run, ...]
    timeout_s: int
    root: bool = False
    side_by_side: bool = False


def contract(nova: str, threads: bool) -> runs.Run:
    """Return the run of the contract tests against a release of Nova, in one of its modes."""
    env = {'OS_NOVA_DISABLE_EVENTLET_PATCHING': str(threads).lower(), 'MIGPOLICY_NOVA': nova}
    if nova != '34':
        env['PYTHONPATH'] = str(runs.ROOT / f'.venv/nova-{nova}')
    return runs.Run(f'Nova {nova}, {"threads" if threads else "eventlet"}',
                    tests='tests/contract', env=env)


def tool(name: str, *words: str) -> runs.Run:
    """Return the run of a program of the virtual environment."""
    return runs.Run(name, (str(runs.BIN / name), *words))


#: of the stack's modules, to take about as long as the others; those of a release together
FIRST_HALF = r'^tests\.stack\.test_(31|32|33|34_ca|34_cl|34_fa|wheel|zy)'


def stack(label: str, only: str) -> runs.Run:
    """Return the run of a part of the stack's tests, in an OpenStack of its own."""
    return runs.Run(label, tests='tests/stack', only=only, serial=True)


TIERS = (
    Tier('style', 'ruff, flake8 with hacking, release notes', (
        tool('ruff', 'check', '--quiet', '--output-format', 'concise', *SOURCES),
        tool('flake8'),
        tool('reno', '--quiet', 'lint', '.'),
    ), 300),
    Tier('types', 'mypy --strict', (tool('mypy'),), 600),
    Tier('unit', 'the parts, one by one', (runs.Run('unit', tests='tests/unit'),), 600),
    Tier('simulation', 'the model of QEMU against recordings of real migrations',
         (runs.Run('simulation', tests='tests/simulation'),), 300),
    Tier('property', 'hypothesis on the engine and the policy',
         (runs.Run('property', tests='tests/property'),), 900),
    Tier('contract', "what the plugin relies on in Nova 31 to 34's private code", (
        contract('31', False), contract('32', False), contract('33', False),
        contract('33', True), contract('34', False), contract('34', True),
    ), 900),
    Tier('lab', 'facts about real QEMU and libvirt, on hosts of namespaces',
         (runs.Run('lab', tests='tests/lab', serial=True),), 900, root=True),
    # Two OpenStacks at once: each mostly waits for migrations, and leaves a core idle.
    Tier('stack', 'a real OpenStack with the plugin', (
        stack('stack, first half', FIRST_HALF), stack('stack, second half', f'^(?!{FIRST_HALF})'),
    ), 1500, root=True, side_by_side=True),
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
            print(f'{tier.name:10} {tier.about}{" (needs root)" if tier.root else ""}')
        return 0
    chosen = [tier for tier in TIERS if not args.tier or tier.name in args.tier]
    counts = {}
    for tier in chosen:
        print(f'== {tier.name}: {tier.about}', flush=True)
        began = time.monotonic()
        count = counts[tier.name] = _tier(tier, args.k)
        count.seconds = time.monotonic() - began
    return _sum_up(counts)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt     # which ends what runs, and what that has started


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='tools/test', description='Installs what the tests need (tools/setup) and runs them.')
    parser.add_argument('tier', nargs='*', metavar='TIER',
                        help='what to run, by default all: ' + ', '.join(t.name for t in TIERS))
    parser.add_argument('--list', action='store_true', help='name the tiers and what they are')
    parser.add_argument('-k', metavar='REGEX', help='only tests whose name matches')
    args = parser.parse_args()
    unknown = set(args.tier) - {tier.name for tier in TIERS}
    if unknown:
        parser.error(f'no tier {", ".join(sorted(unknown))}; see tools/test --list')
    return args


def _tier(tier: Tier, regex: str | None) -> runs.Count:
    count = runs.Count()
    in_ci = os.environ.get('CI', '').lower() in ('true', '1')
    if tier.root and os.geteuid() != 0:
        count.note = 'needs root: run it as root (sudo)'
        if in_ci:
            count.fail(count.note)
        else:
            count.skipped = 1
        print(f'   skipped: {count.note}', flush=True)
        return count
    end = time.monotonic() + tier.timeout_s
    if tier.side_by_side:
        runs.side_by_side(tier.runs, regex, end, count, strict=in_ci and tier.root)
    for run in () if tier.side_by_side else tier.runs:
        if run.tests:
            runs.tests(run, regex, end, count, strict=in_ci and tier.root)
        else:
            runs.command(run, end, count)
    if not count.passed + count.failed:
        count.note = 'no test ran'
        count.fail(count.note)
    return count


def _sum_up(counts: dict[str, runs.Count]) -> int:
    total = runs.Count()
    print(f'\n{"tier":10} {"passed":>7} {"failed":>7} {"skipped":>8} {"seconds":>8}')
    for name, count in counts.items():
        print(f'{name:10} {count.passed:7} {count.failed:7} {count.skipped:8} '
              f'{count.seconds:8.1f}  {count.note}'.rstrip())
        total.passed += count.passed
        total.failed += count.failed
        total.skipped += count.skipped
    for name, count in counts.items():
        for failure in count.failures:
            print(f'FAILED {name}: {failure}')
    print(f'\n{total.passed} passed, {total.failed} failed, {total.skipped} skipped', flush=True)
    return 0 if total.passed and not total.failed else 1


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
