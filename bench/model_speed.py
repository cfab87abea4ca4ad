# SPDX-License-Identifier: Apache-2.0
"""How fast the model of QEMU is: the guests of the suite `full`, moved in an hour each.

The link and what a guest writes are slowed until the first copy of its memory takes most of an
hour; that leaves all proportions as they are. Each is moved by nobody, who never does anything,
and by our engine, on one processor, for two hours at most. What a pass costs does not depend on
its length, so it is given, too: a guest with a small set on a fast link makes thousands of passes
in an hour, and costs as much more.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import dataclasses
import pathlib
import time
from typing import Any

from bench.contest import engines
from bench.contest import on_model
from bench.contest import workloads
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import run

HOUR_S = 3600.0
FIRST_COPY_S = 0.9 * HOUR_S


class Nobody:
    """The pilot that does nothing."""

    forecast: record.Forecast | None = None

    def observe(self, sample: samples.Sample) -> record.Decision | None:
        """Look away."""

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """Nothing was done."""

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """Nothing was tried."""


def nobody(task: engines.Task) -> engines.Start:
    """A migration that is left to itself."""
    begun = engines.ours(task)
    return dataclasses.replace(begun, pilot=Nobody(), auto_converge=False)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--guests', type=int, default=1000, help='(default: 1000)')
    parser.add_argument('--seed', type=int, default=101, help='(default: 101)')


def slowed(one: workloads.Workload) -> workloads.Workload:
    """The same guest on a link that takes most of an hour for it, and as slow."""
    factor = one.task.memory_mib / FIRST_COPY_S / one.setup.link_mib_s
    load = dataclasses.replace(one.load, writers=tuple(
        tuple(_slowed(stretch, factor) for stretch in writer) for writer in one.load.writers))
    setup = dataclasses.replace(
        one.setup, load=load, link_mib_s=one.setup.link_mib_s * factor, cap_mib_s=0, disk_mib=0)
    policy = dataclasses.replace(one.task.policy, bandwidth_mib_s=0, max_bandwidth_mib_s=0)
    task = dataclasses.replace(one.task, policy=policy, disk_mib=0, link_mib_s=None,
                               dirtied_mib=load.unique_mib(1.0))
    return dataclasses.replace(one, load=load, setup=setup, task=task)


def _slowed(stretch: guests.Stretch, factor: float) -> guests.Stretch:
    to_mib_s = None if stretch.to_mib_s is None else stretch.to_mib_s * factor
    return dataclasses.replace(stretch, seconds=stretch.seconds / factor, to_mib_s=to_mib_s,
                               rate_mib_s=stretch.rate_mib_s * factor)


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Run them one after the other."""
    cases = [slowed(one) for one in workloads.read('full', args.seed)[:args.guests]]
    found: dict[str, Any] = {'guests': len(cases), 'seed': args.seed}
    for name, engine in (('nobody', nobody), ('ours', engines.ours)):
        found[name] = _time(cases, engine)
        say(f'{name}: {found[name]}')
    return found


def _time(cases: Sequence[workloads.Workload], engine: engines.Engine) -> dict[str, float]:
    seconds = passes = 0.0
    began = time.process_time()
    for one in cases:
        seen: run.Run = on_model.play(one, engine(one.task), 2 * HOUR_S)
        seconds += seen.seconds
        passes += seen.passes
    spent = time.process_time() - began
    return {'hours simulated': round(seconds / HOUR_S, 1), 'passes': passes,
            'CPU seconds': round(spent, 2),
            'CPU seconds for 1,000 hours': round(1000 * spent / (seconds / HOUR_S), 1),
            'microseconds a pass': round(1e6 * spent / max(passes, 1), 1)}


def lines(found: dict[str, Any]) -> list[str]:
    """The figures, a line each."""
    names = ('nobody', 'ours')
    return [f'{found["guests"]} guests, seed {found["seed"]}'.ljust(32)
            + ''.join(f'{name:>12}' for name in names),
            *(f'{figure:32}' + ''.join(f'{found[name][figure]:12}' for name in names)
              for figure in found['nobody'])]
