# SPDX-License-Identifier: Apache-2.0
"""Runs an engine's migration on the model; what is measured is in `bench.contest.result`."""

from __future__ import annotations

import dataclasses

from bench.contest import engines
from bench.contest import workloads
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run

# Who ends nothing by itself is stopped here, past its deadline.
PATIENCE = 1.5
FOREVER_S = 86_400.0


def setup_for(workload: workloads.Workload, start: engines.Start) -> precopy.Setup:
    """The model's setup with the settings of an engine's start."""
    return dataclasses.replace(
        workload.setup, cap_mib_s=start.bandwidth_mib_s, limit_ms=start.limit_ms,
        auto_converge=start.auto_converge, throttle_initial=start.throttle_initial,
        throttle_increment=start.throttle_increment, throttle_highest=start.throttle_highest,
        disk_cap_shared=start.disk_cap_shared)


def play(workload: workloads.Workload, start: engines.Start,
         until_s: float | None = None) -> run.Run:
    """One migration from its start to its end, or until nobody would wait any longer.

    :param until_s: it is of no interest after this
    """
    deadline_s = workload.task.deadline_s
    if until_s is None:
        until_s = FOREVER_S if deadline_s is None else PATIENCE * deadline_s + 60
    return run.steer(start.pilot, precopy.Migration(setup_for(workload, start)),
                     until_s=until_s, tick_s=start.tick_s, boundaries=start.boundaries)
