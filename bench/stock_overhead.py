# SPDX-License-Identifier: Apache-2.0
"""How fast a server that converges by itself moves under a policy and under stock Nova.

Two equal servers, one with `migpolicy:profile=nova` (Nova's own monitor), one under `balanced`,
are live-migrated in turn, to and fro. Times are seconds from the request until Nova's API says
completed; blackouts are ms, from the guests' heartbeats.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import pathlib
import statistics
import tempfile
import time
from typing import Any

from lab import client as lab_client
from lab import guests
from lab import heartbeat
from lab import stack as lab_stack

GUEST = guests.Guest(kind='sweep', memory_mib=256, set_mib=16, rate_mib_s=5)
PROFILES = ('nova', 'balanced')
TIMEOUT_S = 120.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--runs', type=int, default=10, help='of each (default: 10)')
    parser.add_argument('--cap', type=int, default=100, metavar='MIB_S',
                        help='bandwidth cap in MiB/s, 0 for none (default: 100)')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Measure migrations of each server under a cap, on a new stack."""
    runs, cap_mib_s = args.runs, args.cap
    conf = {'libvirt': {'live_migration_bandwidth': cap_mib_s}} if cap_mib_s else {}
    with lab_stack.Stack(work, nova_conf=conf, say=say) as stack:
        admin = stack.client()
        with tempfile.TemporaryDirectory() as folder:
            image = admin.image('quiet', GUEST.image(pathlib.Path(folder) / 'quiet.raw'))
        servers = {profile: _boot(admin, image, profile) for profile in PROFILES}
        figures: dict[str, list[tuple[float, float]]] = {profile: [] for profile in PROFILES}
        for number in range(runs):
            # In turn, and each first as often as the other: a drift hits both alike.
            for profile in PROFILES if number % 2 else PROFILES[::-1]:
                figures[profile].append(_migrate(stack, admin, servers[profile]))
                took_s, blackout_ms = figures[profile][-1]
                say(f'{number + 1}/{runs} {profile}: {took_s:.2f} s, {blackout_ms:.0f} ms')
    return {'cap_mib_s': cap_mib_s, 'runs': runs, **{
        profile: {'seconds': _spread([took for took, _ in rows]),
                  'blackout_ms': _spread([blackout for _, blackout in rows])}
        for profile, rows in figures.items()}}


def lines(found: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    names = ('min', 'median', 'max')
    return [f'{"":24}' + ''.join(f'{name:>9}' for name in names)] + [
        f'{profile} {figure}'.ljust(24) + ''.join(f'{row[name]:9.2f}' for name in names)
        for profile in PROFILES for figure, row in found[profile].items()]


def _boot(admin: lab_client.Client, image: str, profile: str) -> str:
    flavor = admin.flavor(profile, GUEST.memory_mib, disk_gib=0,
                          extra_specs={'migpolicy:profile': profile})
    server = admin.boot(profile, image, flavor, host='n1')
    admin.wait_server(server)
    return server


def _migrate(stack: lab_stack.Stack, admin: lab_client.Client, server: str
             ) -> tuple[float, float]:
    consoles = [stack.where.host_instances(host) / server / 'console.log'
                for host in ('n1', 'n2')]
    with heartbeat.Recorder(*consoles) as beats:
        beats.wait_for_beats(50)
        began_s = time.monotonic()
        migration = admin.live_migrate(server)
        admin.wait_migration(server, migration, status={'completed'}, timeout=TIMEOUT_S)
        took_s = time.monotonic() - began_s
        admin.wait_server(server)
        beats.wait_for_beats(20)
        return took_s, beats.blackout_ms or 0.0


def _spread(values: list[float]) -> dict[str, float]:
    return {'min': round(min(values), 2), 'median': round(statistics.median(values), 2),
            'max': round(max(values), 2)}
