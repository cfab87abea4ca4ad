# SPDX-License-Identifier: Apache-2.0
"""python -m bench WHAT: measures, prints a table and, with --json, JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import sys

from lab import needs

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
# Each by its module, which is imported only when asked for: what needs no libvirt runs without it.
BENCHES = {
    'run': ('contest.command', 'the contest of all engines, on the model or on real hosts'),
    'report': ('report', "bench/REPORT.md from the contests' JSON"),
    'cost': ('monitor_cost.command', "the monitor's CPU beside a poll of each half second"),
    'faults': ('faults.command', 'random faults in migrations on a real OpenStack, and stock'),
    'quiet': ('stock_overhead', 'a server that converges by itself, stock against balanced'),
    'record': ('traces.command', 'real migrations as JSON, for the model of QEMU to be held to'),
    'recovery': ('recovery', 'recovery on the model of a cluster whose hosts die'),
    'retune': ('retune_latency',
               'from the request to the setting in QEMU, and the same for cancel'),
    'slots': ('slots', 'slots and the queue on the model of a fleet whose hosts die'),
    'speed': ('model_speed', 'how fast the model of QEMU is'),
    'storm': ('storm.command',
              'twelve guests to one host at once on a real OpenStack, and stock'),
    'together': ('contest.together',
                 'small guests sent at once over one link, and the migration after them'),
}


def main() -> int:
    """Run one measurement."""
    parser = argparse.ArgumentParser(prog='python -m bench', description=__doc__)
    what = parser.add_subparsers(dest='what', required=True, metavar='WHAT')
    chosen = next((word for word in sys.argv[1:] if word in BENCHES), None)
    for name, (module, about) in BENCHES.items():
        if name != chosen:
            what.add_parser(name, help=about)
            continue
        bench = importlib.import_module(f'bench.{module}')
        one = what.add_parser(name, help=about, description=bench.__doc__,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
        bench.arguments(one)
        one.add_argument('--json', nargs='?', const='-', metavar='FILE',
                         help='print JSON instead of a table, or write it to FILE as well')
    args = parser.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        figures = bench.measure(CHECKOUT / '.lab-bench', args, say)
    except needs.LabError as error:
        print(f'bench: {error}', file=sys.stderr)
        return 1
    if args.json == '-':
        print(json.dumps(figures))
        return 0
    print('\n'.join(bench.lines(figures)))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
