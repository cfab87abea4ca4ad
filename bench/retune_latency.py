# SPDX-License-Identifier: Apache-2.0
"""How long a retune and a cancel take, from the HTTP request to their effect.

One endless migration is retuned again and again: until QEMU itself has the new rate, and until
the answer. Then migrations are cancelled in their bulk copy, under a policy and under stock Nova
in turn: until the answer, until libvirt's job is gone, and until Nova has settled. Times are ms.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
import math
import pathlib
import tempfile
import threading
import time
from typing import Any

import libvirt
import libvirt_qemu

from lab import client as lab_client
from lab import guests
from lab import stack as lab_stack

GUEST = guests.Guest(kind='sweep', memory_mib=256, set_mib=128, rate_mib_s=80)
CAP_MIB_S = 30
ENDLESS = {'migpolicy:remedies': 'none', 'migpolicy:on_stall': 'continue',
           'migpolicy:on_timeout': 'continue', 'migpolicy:max_bandwidth_mib_s': '0'}
PROFILES = {'policy': ENDLESS, 'stock': {'migpolicy:profile': 'nova'}}
MIB = 1 << 20
TIMEOUT_S = 60.0
# Between two looks at QEMU, libvirt or Nova, in seconds.
LOOK_S = 0.004

Samples = dict[str, list[float]]


class Bench:
    """The servers of one run, on a stack that is up."""

    def __init__(self, stack: lab_stack.Stack, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._admin = stack.client()
        self._say = say
        self._connection = stack.hosts['n1'].another_connection()
        self._servers: dict[str, str] = {}

    def boot(self) -> None:
        """Boot a server for each profile."""
        with tempfile.TemporaryDirectory() as folder:
            image = self._admin.image('busy', GUEST.image(pathlib.Path(folder) / 'busy.raw'))
        for name, specs in PROFILES.items():
            flavor = self._admin.flavor(name, GUEST.memory_mib, disk_gib=0, extra_specs=specs)
            self._servers[name] = self._admin.boot(name, image, flavor, host='n1')
            self._admin.wait_server(self._servers[name])

    def retune(self, runs: int) -> Samples:
        """Change the rate of one migration `runs` times."""
        server = self._servers['policy']
        migration, domain = self._start(server)
        samples: Samples = {'effect': [], 'answer': []}
        for number in range(runs):
            wanted = CAP_MIB_S + 1 + number % 2
            seen: list[float] = []
            watcher = threading.Thread(target=_see_rate, args=(domain, wanted, seen))
            watcher.start()
            began = time.monotonic()
            self._admin.tune(server, migration, bandwidth_mib_s=wanted)
            samples['answer'].append(1000 * (time.monotonic() - began))
            watcher.join()
            samples['effect'].append(1000 * (seen[0] - began))
        self._say(f'retuned {runs} times')
        self._admin.abort(server, migration)
        self._admin.wait_migration(server, migration, timeout=TIMEOUT_S)
        self._admin.wait_server(server)
        return samples

    def cancel(self, runs: int) -> dict[str, Samples]:
        """Cancel `runs` migrations of each server."""
        samples: dict[str, Samples] = {
            name: {'answer': [], 'job gone': [], 'settled': []} for name in PROFILES}
        for number in range(runs):
            for name in PROFILES:
                self._cancel(self._servers[name], samples[name])
            self._say(f'cancelled {number + 1}/{runs} of each')
        return samples

    def _start(self, server: str) -> tuple[int, libvirt.virDomain]:
        migration = self._admin.live_migrate(server, 'n2')
        domain = self._connection.lookupByUUIDString(server)
        lab_client.wait(lambda: _sent(domain), lambda sent: sent > 8 * MIB, TIMEOUT_S,
                        'memory to be sent')
        return migration, domain

    def _cancel(self, server: str, samples: Samples) -> None:
        migration, domain = self._start(server)
        self._admin.wait_migration(server, migration, status={'running'})
        gone: list[float] = []
        watcher = threading.Thread(target=_see_end, args=(domain, gone))
        watcher.start()
        began = time.monotonic()
        self._admin.abort(server, migration)
        samples['answer'].append(1000 * (time.monotonic() - began))
        end = began + TIMEOUT_S
        while self._admin.server(server)['OS-EXT-STS:task_state'] and time.monotonic() < end:
            time.sleep(LOOK_S)
        samples['settled'].append(1000 * (time.monotonic() - began))
        watcher.join()
        samples['job gone'].append(1000 * (gone[0] - began))
        if server == self._servers['stock']:
            # What stock Nova 34 makes of each aborted migration, a moment later.
            lab_client.wait(lambda: self._admin.server(server)['status'],
                            lambda status: status == 'ERROR', TIMEOUT_S, 'the error')
            self._admin.compute('POST', f'/servers/{server}/action',
                                json={'os-resetState': {'state': 'active'}})
        self._admin.wait_server(server)


def _sent(domain: libvirt.virDomain) -> int:
    try:
        return int(domain.jobStats().get('memory_processed', 0))
    except libvirt.libvirtError:
        return 0


def _see_rate(domain: libvirt.virDomain, mib_s: int, seen: list[float]) -> None:
    """Note when QEMU has a rate."""
    ask = json.dumps({'execute': 'query-migrate-parameters'})
    while not seen:
        now = json.loads(libvirt_qemu.qemuMonitorCommand(domain, ask, 0))['return']
        if now['max-bandwidth'] == mib_s * MIB:
            seen.append(time.monotonic())
        else:
            time.sleep(LOOK_S)


def _see_end(domain: libvirt.virDomain, gone: list[float]) -> None:
    """Note when libvirt has no job on a domain any more."""
    while domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
        time.sleep(LOOK_S)
    gone.append(time.monotonic())


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--runs', type=int, default=50, help='of each (default: 50)')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Measure on a new stack; the figures are ms."""
    conf = {'libvirt': {'live_migration_bandwidth': CAP_MIB_S}}
    with lab_stack.Stack(work, nova_conf=conf, say=say) as stack:
        bench = Bench(stack, say)
        bench.boot()
        retuned = bench.retune(args.runs)
        cancelled = bench.cancel(args.runs)
    figures = {f'retune: {name}': _spread(values) for name, values in retuned.items()}
    for profile, samples in cancelled.items():
        figures.update({f'cancel, {profile}: {name}': _spread(values)
                        for name, values in samples.items()})
    return {'runs': args.runs, 'unit': 'ms', 'figures': figures}


def lines(found: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    names = ('p50', 'p99', 'max')
    return [f'{"ms, " + str(found["runs"]) + " runs":28}' + ''.join(f'{n:>9}' for n in names)] + [
        f'{name:28}' + ''.join(f'{row[n]:9.1f}' for n in names)
        for name, row in found['figures'].items()]


def _spread(values: list[float]) -> dict[str, float]:
    """Percentiles by the nearest rank."""
    ranked = sorted(values)

    def rank(share: float) -> float:
        return round(ranked[max(0, math.ceil(share * len(ranked)) - 1)], 1)

    return {'p50': rank(0.50), 'p99': rank(0.99), 'max': round(ranked[-1], 1)}
