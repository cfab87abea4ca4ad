# SPDX-License-Identifier: Apache-2.0
"""Runs the demo: python -m lab.demo [--out DIR]; tools/demo installs what it needs first."""

from __future__ import annotations

import argparse
import json
import pathlib
import signal
import sys
import tempfile
from types import FrameType

from lab.demo import plot
from lab.demo import scenario
from lab.demo import screen as screen_mod
from lab import needs
from lab import stack as lab_stack
from lab import workdir

WORK = workdir.DEFAULT.parent / '.lab-demo'
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run it; 0 when everything came out as promised, 1 when not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog='tools/demo', description='Two equal servers that stock Nova cannot move: one stays '
        'under stock behaviour, one has a policy. Takes about a minute; needs root.')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('demo-out'),
                        metavar='DIR', help='where demo.png and demo.json go (default: demo-out)')
    out: pathlib.Path = parser.parse_args().out
    # Also where whoever started it had interrupts ignored.
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    screen = screen_mod.Screen()
    try:
        return _run(out, screen)
    except KeyboardInterrupt:
        # It may have come in the middle of the tidying up, and must not come again in this.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        workdir.down(WORK)
        screen.pause_following()
        screen.step('stopped; everything that was started is gone')
        return 130
    except needs.LabError as error:
        screen.pause_following()
        print(f'tools/demo: {error}', file=sys.stderr)
        return 1


def _run(out: pathlib.Path, screen: screen_mod.Screen) -> int:
    screen.step('bringing up a small OpenStack: two computes with libvirt and QEMU')
    conf = {'libvirt': {'live_migration_bandwidth': scenario.CAP_MIB_S},
            'DEFAULT': {'max_concurrent_live_migrations': len(scenario.SERVERS)}}
    # The stack's lines carry a time of their own.
    stack = lab_stack.Stack(WORK, nova_conf=conf,
                            say=lambda line: screen.step(line.split(' s  ', 1)[-1]))
    with stack, tempfile.TemporaryDirectory() as scratch:
        demo = scenario.Demo(stack, screen, pathlib.Path(scratch))
        demo.run()
        wrong = scenario.failures(*demo.tracks)
    out.mkdir(parents=True, exist_ok=True)
    plot.draw(demo.tracks, out / 'demo.png')
    (out / 'demo.json').write_text(json.dumps(
        {'cap_mib_s': scenario.CAP_MIB_S,
         'migrations': [track.to_dict() for track in demo.tracks]}, indent=2))
    screen.console.print(screen_mod.results(demo.tracks))
    if any(track.server_status == 'ERROR' for track in demo.tracks):
        screen.step('ERROR is what stock Nova makes of an aborted migration: the server runs on')
    screen.step(f'saved {out / "demo.png"} and {out / "demo.json"}')
    for line in wrong:
        screen.step(f'[red]not as it should be: {line}[/]')
    return 1 if wrong else 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == '__main__':
    sys.exit(main())
