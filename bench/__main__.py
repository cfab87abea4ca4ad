# SPDX-License-Identifier: Apache-2.0
"""python -m bench quiet: measures on a real OpenStack, prints a table and, with --json, JSON."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

from bench import quiet
from lab import needs

CHECKOUT = pathlib.Path(__file__).resolve().parents[1]


def main() -> int:
    """Run one measurement."""
    parser = argparse.ArgumentParser(prog='python -m bench', description=__doc__)
    parser.add_argument('what', choices=['quiet'],
                        help='quiet: a server that converges by itself, stock against balanced')
    parser.add_argument('--runs', type=int, default=10, help='of each (default: 10)')
    parser.add_argument('--cap', type=int, default=100, metavar='MIB_S',
                        help='bandwidth cap in MiB/s, 0 for none (default: 100)')
    parser.add_argument('--json', action='store_true', help='print JSON alone')
    args = parser.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        figures = quiet.run(CHECKOUT / '.lab-bench', args.runs, args.cap, say)
    except needs.LabError as error:
        print(f'bench: {error}', file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(figures))
        return 0
    print(f'{"":24}{"min":>9}{"median":>9}{"max":>9}')
    for profile in quiet.PROFILES:
        for figure, row in figures[profile].items():
            print(f'{profile} {figure}'.ljust(24)
                  + ''.join(f'{row[name]:9.2f}' for name in ('min', 'median', 'max')))
    return 0


if __name__ == '__main__':
    sys.exit(main())
