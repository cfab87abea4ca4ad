# SPDX-License-Identifier: Apache-2.0
"""How fast the model of QEMU is: guests of the suite `full` that never end, for an hour each.

Nobody steers and the limit is 1 ms, so that every guest that writes goes round for the whole hour
of its own time. On one processor. A pass costs about the same whatever its length, so what counts
is how many there are: passes that follow within a second are left out of the figure per hour and
counted in the figure per pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import dataclasses
import pathlib
import time
from typing import Any

from bench import workloads
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import sample as samples
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run

HOUR_S = 3600.0


class Nobody:
    """The pilot that does nothing."""

    forecast: record.Forecast | None = None

    def observe(self, sample: samples.Sample) -> record.Decision | None:
        """Look away."""

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """Nothing was done."""

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """Nothing was tried."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--guests', type=int, default=1000, help='(default: 1000)')
    parser.add_argument('--seed', type=int, default=101, help='(default: 101)')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Run them one after the other."""
    cases = workloads.read('full', args.seed)[:args.guests]
    simulated = passes = 0.0
    slow = 0
    began = time.process_time()
    for number, one in enumerate(cases, 1):
        setup = dataclasses.replace(one.setup, limit_ms=1)
        seen = run.steer(Nobody(), precopy.Migration(setup), until_s=HOUR_S)
        simulated += seen.seconds
        passes += seen.passes
        slow += seen.seconds >= HOUR_S
        if number % 100 == 0:
            say(f'{number} of {len(cases)}: {time.process_time() - began:.1f} s')
    spent = time.process_time() - began
    return {'guests': len(cases), 'of_an_hour': slow, 'hours': round(simulated / HOUR_S, 1),
            'passes': int(passes), 'cpu_seconds': round(spent, 2),
            'microseconds_per_pass': round(1e6 * spent / passes, 1),
            'ms_per_hour': round(1000 * spent / (simulated / HOUR_S), 1)}


def lines(found: dict[str, Any]) -> list[str]:
    """The figures, a line each."""
    return [f'{name.replace("_", " "):24}{value:>12}' for name, value in found.items()]
