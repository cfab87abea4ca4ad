# SPDX-License-Identifier: Apache-2.0
"""Shows a pilot samples as a monitor would, without a migration."""

from bench.contest import engines
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.policy import keys

MIB = 1 << 20
NO_DEADLINE = {'timeout_seconds': 0, 'timeout_seconds_per_gib': 0}
# As far as the peers go by themselves.
LOOSE = {**NO_DEADLINE, 'max_downtime_ms': 2_000_000, 'remedies': ('downtime',)}
SPOKEN = {remedies.StartPostCopy: 'post-copy', remedies.Pause: 'pause', remedies.Abort: 'abort'}


def task(memory_mib=1024, disk_mib=0, **values):
    """A task under a policy that permits what the peers do by default, and has no deadline."""
    return engines.Task(keys.Policy(**{**LOOSE, **values}), memory_mib, disk_mib)


def said(action):
    """An action in short: a limit as its number."""
    if isinstance(action, remedies.SetMaxDowntime):
        return action.limit_ms
    return SPOKEN[type(action)]


def show(pilot, at_s, iteration=2, left_mib=500, *, boundary=False, rate_mib_s=100,
         refuse=()):
    """Show one sample; what the pilot did about it, in short, with what is refused left out."""
    decision = pilot.observe(samples.Sample(
        at_s, boundary, iteration, memory_remaining_bytes=int(left_mib * MIB),
        memory_rate_bytes_s=int(rate_mib_s * MIB)))
    done = []
    for action in decision.actions if decision else ():
        if type(action) in refuse:
            pilot.failed(action, at_s, 'refused')
            break
        pilot.applied(action, at_s)
        done.append(said(action))
    return done


def polled(pilot, tick_s, until_s, iteration=lambda at_s: 2,
           left_mib=lambda at_s: 500 + at_s % 2, refuse=()):
    """Show a sample at each tick; pairs of a time and what was done."""
    done = []
    for count in range(int(until_s / tick_s) + 1):
        at_s = round(count * tick_s, 3)
        done += [(at_s, what) for what in show(
            pilot, at_s, iteration(at_s), left_mib(at_s), refuse=refuse)]
    return done
