# SPDX-License-Identifier: Apache-2.0
"""What `python -m lab up stack` adds to the lab's command."""

from __future__ import annotations

import argparse
import os
import pathlib
import shlex
import sys

from lab.openstack import layout
from lab import stack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stack's options to the lab's command `up`."""
    parser.add_argument('--driver', choices=tuple(layout.DRIVERS),
                        default=os.environ.get('DRIVER', 'migpolicy'),
                        help='stack: migpolicy (default) or stock; also by DRIVER=stock')
    parser.add_argument('--nova', choices=layout.RELEASES, default=layout.NEWEST,
                        help=f'stack: release of Nova (default: {layout.NEWEST})')


def up(work: pathlib.Path, args: argparse.Namespace) -> None:
    """Do `python -m lab up stack`."""
    names = [f'n{number}' for number in range(1, args.hosts + 1)]
    lab = stack.Stack(work, driver=args.driver, nova=args.nova, names=names, say=_say).up()
    variables = {**layout.openrc(), 'PATH': lab.where.environment()['PATH']}
    openrc = work / 'openrc'
    openrc.write_text(''.join(
        f'export {name}={shlex.quote(value)}\n' for name, value in variables.items()))
    print('for openstack and nova:  ' + shlex.join([
        sys.executable, '-m', 'lab', '--work', str(work), 'on', 'ctl',
        'bash', '--rcfile', str(openrc)]))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
