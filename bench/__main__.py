# SPDX-License-Identifier: Apache-2.0
"""python -m bench WHAT: measures on a real OpenStack, prints a table and, with --json, JSON."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

from bench import quiet
from bench import retune
from lab import needs

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]
BENCHES = {'quiet': quiet, 'retune': retune}


def main() -> int:
    """Run one measurement."""
    parser = argparse.ArgumentParser(prog='python -m bench', description=__doc__)
    what = parser.add_subparsers(dest='what', required=True, metavar='WHAT')
    for name, bench in BENCHES.items():
        one = what.add_parser(name, help=bench.HELP.partition(': ')[2], description=bench.__doc__)
        bench.arguments(one)
        one.add_argument('--json', nargs='?', const='-', metavar='FILE',
                         help='print JSON instead of a table, or write it to FILE as well')
    args = parser.parse_args()
    bench = BENCHES[args.what]

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
