# SPDX-License-Identifier: Apache-2.0
"""Small guests sent at once over one link, on the model: how each goes, and the migration after.

Each arrives alone in some seconds. What one after the other takes is the yardstick: no order is
faster on the wire. Then a guest under a cap is moved with what was learnt of the link meanwhile,
and once more with nothing known. Times are seconds, blackouts ms.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import pathlib
from typing import Any

from nova_migpolicy.engine.estimation import link_rate
from nova_migpolicy.engine import remedies
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import resolve
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from nova_migpolicy.sim import together

LINK_MIB_S = 48.0
FIRST_MIB, STEP_MIB = 96, 4
SET_MIB, DIRTY_MIB_S = 32, 20
PROFILES = ('balanced', 'evacuate')
AFTER = guests.sweep(96, 32, 25)
AFTER_POLICY = {'profile': 'balanced', 'bandwidth_mib_s': 20, 'max_bandwidth_mib_s': 45}
UNTIL_S = 3600.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument('--n', type=int, default=8, help='how many guests (default: 8)')
    parser.add_argument('--profile', choices=PROFILES, action='append',
                        help='may be given more than once (default: both)')


def measure(work: pathlib.Path, args: argparse.Namespace,
            say: Callable[[str], None]) -> dict[str, Any]:
    """Play them; the figures of each profile."""
    loads = [guests.sweep(FIRST_MIB + number * STEP_MIB, SET_MIB, DIRTY_MIB_S)
             for number in range(args.n)]
    found = {}
    for profile in args.profile or PROFILES:
        say(f'{profile}: {args.n} guests at once, and one after the other')
        found[profile] = _figures(loads, profile)
    return {'guests': args.n, 'link_mib_s': LINK_MIB_S, 'profiles': found}


def _policy(**flavor: object) -> keys.Policy:
    return resolve.resolve(resolve.Sources(flavor=flavor)).policy


def _pair(load: guests.Workload, policy: keys.Policy, **facts: object) -> together.Pair:
    return run.start(policy, precopy.Setup(load, link_mib_s=LINK_MIB_S),
                     can_throttle=policy.may_throttle, can_post_copy=policy.may_post_copy, **facts)


def _figures(loads: Sequence[guests.Workload], profile: str) -> dict[str, Any]:
    policy = _policy(profile=profile)
    alone_s = sum(run.steer(*_pair(load, policy)).seconds for load in loads)
    crowd = together.Crowd([_pair(load, policy) for load in loads], LINK_MIB_S)
    seen = crowd.go(UNTIL_S)
    learnt: tuple[link_rate.Observation, ...] = ()
    for number, course in enumerate(crowd.courses):
        rates = [rate for rate in map(link_rate.from_pass, course.pilot.passes) if rate]
        if rates and course.plant.state == 'completed':
            learnt = link_rate.keep(learnt, link_rate.Observation(
                str(number), max(rates), float(number)))
    belief = link_rate.believe(learnt, float(len(loads)))
    known = {} if belief is None else {
        'link_mib_s': belief.low_mib_s, 'reach_mib_s': belief.reach_mib_s}
    after_policy = _policy(**AFTER_POLICY)
    return {
        'promised_ms': policy.max_downtime_ms, 'alone_s': alone_s,
        'makespan_s': max(one.seconds for one in seen),
        'guests': [_guest(one) for one in seen],
        'learnt_mib_s': None if belief is None else belief.low_mib_s,
        'after': _guest(run.steer(*_pair(AFTER, after_policy, **known))),
        'after_nothing_known': _guest(run.steer(*_pair(AFTER, after_policy)))}


def _guest(seen: run.Run) -> dict[str, Any]:
    throttles = [one.percent for one in seen.actions if isinstance(one, remedies.SetThrottle)]
    return {'end': seen.end, 'seconds': seen.seconds, 'blackout_ms': seen.blackout_ms,
            'throttle_percent': max(throttles, default=0), 'decisions': len(seen.decisions)}


def lines(found: dict[str, Any]) -> list[str]:
    """The figures as a table."""
    said = []
    for profile, one in found['profiles'].items():
        share = one['makespan_s'] / one['alone_s']
        said += [
            (f'{profile}: {found["guests"]} guests over {found["link_mib_s"]:g} MiB/s in '
             f'{one["makespan_s"]:.1f} s, {share:.2f} of one after the other '
             f'({one["alone_s"]:.1f} s); promised {one["promised_ms"]} ms'),
            '  guest  end        seconds  blackout, ms  slowed, %  decisions']
        said += [f'  {number:5}  {_row(guest)}' for number, guest in enumerate(one['guests'])]
        learnt = one['learnt_mib_s']
        said += [
            f'  learnt of the link: {"nothing" if learnt is None else f"{learnt:.1f} MiB/s"}',
            f'  after  {_row(one["after"])}',
            f'         {_row(one["after_nothing_known"])}  (with nothing known)', '']
    return said


def _row(guest: dict[str, Any]) -> str:
    blackout_ms = guest['blackout_ms']
    black = '-' if blackout_ms is None else f'{blackout_ms:.0f}'
    return (f'{guest["end"]:9}  {guest["seconds"]:7.1f}  {black:>12}  '
            f'{guest["throttle_percent"]:9}  {guest["decisions"]:9}')
