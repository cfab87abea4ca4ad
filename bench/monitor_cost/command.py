# SPDX-License-Identifier: Apache-2.0
"""What it costs to watch migrations, in CPU time, against a plain poll of their statistics.

Small guests migrate endlessly on real libvirt and QEMU while a process of its own watches them:
by the plugin's monitor, or by a look each 0.5 s, as Nova's own does. Counted are the CPU time of
that process (client) and what libvirtd takes more than while nobody watches (server), each in ms
a migration and second. The monitor looks when a pass begins and else at its slow tick, so it is
measured at a pass of about 1 s and at one of about 10 s; a pass of a server of some GiB on a
10 Gbit/s link lasts seconds. Starting and carrying the migrations is not counted, nor is what
either monitor writes to Nova's database.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from bench.monitor_cost import crowd
from bench.monitor_cost import watcher_process
from lab import hosts
from lab import needs

# The length of a pass in seconds, and the cap that makes it so. QEMU sends whole pages in each
# 100 ms: under the lower cap one page.
CAPS_KIB_S = {10: 40, 1: 512}
TARGET = 0.25
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

Row = dict[str, float]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--migrations', type=counts, default=(1, 10, 100), metavar='N,N',
                        help='how many at once (default: 1,10,100)')
    parser.add_argument('--seconds', type=float, default=20.0,
                        help='of each of the six windows (default: 20)')


def counts(text: str) -> tuple[int, ...]:
    """What --migrations says.

    :raises ValueError: not whole numbers above 0
    """
    found = tuple(int(word) for word in text.split(','))
    if min(found) < 1:
        raise ValueError(text)
    return found


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Measure, on new hosts for each number of migrations."""
    rows: list[dict[str, Any]] = []
    for count in args.migrations:
        with hosts.Hosts(work.with_name(f'{work.name}-cost')) as lab:
            many = crowd.Crowd(lab, count)
            many.boot()
            say(f'{count} guests work')
            many.migrate(CAPS_KIB_S[10])
            say(f'{count} migrations go on')
            for pass_s, cap_kib_s in CAPS_KIB_S.items():
                many.cap(cap_kib_s)
                rows.append({'migrations': count, 'pass_s': pass_s,
                             **_compare(lab, many, args.seconds)})
                say(lines({'rows': rows[-1:]})[-1])
    return {'unit': 'ms of CPU a migration and second', 'seconds': args.seconds,
            'target': TARGET, 'rows': rows}


def _compare(lab: hosts.Hosts, many: crowd.Crowd, seconds: float) -> dict[str, Any]:
    """Watch in both ways and in none."""
    before = many.passes()
    alone = watcher_process.window(seconds, server=watcher_process.server_pid(lab['n1']))
    passes = sum(many.passes()) - sum(before)
    found: dict[str, Any] = {
        kind: _watched(lab, many, kind, seconds) for kind in watcher_process.KINDS}
    # Who watches has looked at all that was going on: nothing of it may have ended meanwhile.
    many.passes()
    rows = {kind: row(window, alone, len(many.names)) for kind, window in found.items()}
    return {'passes_a_second': passes / alone['seconds'] / len(many.names),
            'nobody': per_migration(alone, 'server', len(many.names)), **rows,
            'ratio': ratios(rows['ours'], rows['poll'])}


def _watched(lab: hosts.Hosts, many: crowd.Crowd, kind: str, seconds: float
             ) -> Mapping[str, float]:
    """What one window of a kind of watcher takes, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-m', 'bench.monitor_cost.watcher_process', kind,
             str(lab.work), folder, *many.names],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout.readline() != 'ready\n':
            raise needs.LabError(f'the watcher ({kind}) ended')
        print(seconds, file=process.stdin, flush=True)
        found: dict[str, float] = json.loads(process.stdout.readline())
        process.stdin.close()
    if found['actions']:
        raise needs.LabError('the monitor changed what it was to watch only')
    return found


def per_migration(window: Mapping[str, float], who: str, migrations: int) -> float:
    """The CPU time of a process in a window, in ms a migration and second."""
    return 1000 * window[who] / window['seconds'] / migrations


def row(window: Mapping[str, float], alone: Mapping[str, float], migrations: int) -> Row:
    """What one way of watching costs.

    :param alone: a window in which nobody watched
    """
    client = per_migration(window, 'client', migrations)
    server = (per_migration(window, 'server', migrations)
              - per_migration(alone, 'server', migrations))
    return {'client': client, 'server': server, 'sum': client + server,
            'looks_a_second': window['looks'] / window['seconds'] / migrations}


def ratios(ours: Row, poll: Row) -> Row:
    """Ours as a share of the poll's."""
    return {name: ours[name] / poll[name] for name in ('client', 'server', 'sum')}


def lines(found: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    parts = ('client', 'server', 'sum')
    groups: Sequence[tuple[str, int]] = (('ours', 3), ('poll', 3), ('ratio', 2))
    head = [f'{"ms/s each":>10}{"":8}' + ''.join(f'{name:^27}' for name, _ in groups),
            f'{"migrations":>10}{"pass/s":>8}' + ''.join(
                f'{part:>9}' for _ in groups for part in parts)]
    return head + [
        f'{one["migrations"]:10}{one["passes_a_second"]:8.2f}' + ''.join(
            f'{one[name][part]:9.{digits}f}' for name, digits in groups for part in parts)
        for one in found['rows']]
