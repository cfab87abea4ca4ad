# SPDX-License-Identifier: Apache-2.0
"""Guests, links and policies of any kind, and how a migration of theirs is played."""

import dataclasses

from hypothesis import strategies

from nova_migpolicy.engine import remedies
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run

ENDS = (remedies.StartPostCopy, remedies.Pause, remedies.Abort)


@strategies.composite
def loads(draw):
    memory = draw(strategies.integers(64, 768))
    size = draw(strategies.integers(1, memory - 8))
    rate = draw(strategies.floats(0, 500))
    kind = draw(strategies.sampled_from(
        ['idle', 'sweep', 'uniform', 'hot_cold', 'bursts', 'phases']))
    if kind == 'idle':
        return guests.idle(memory, zero_mib=size)
    if kind in ('sweep', 'uniform'):
        return getattr(guests, kind)(memory, size, rate)
    if kind == 'hot_cold':
        return guests.hot_cold(memory, max(1, size // 8), max(1, size - size // 8), rate)
    times = strategies.floats(0.2, 15)
    if kind == 'bursts':
        return guests.bursts(memory, size, rate, draw(times), draw(times))
    return guests.phases(memory, guests.Stretch(draw(times), rate, size), guests.Stretch(
        1e9, draw(strategies.floats(0, 500)), draw(strategies.integers(1, memory - 8)),
        sweep=draw(strategies.booleans())))


def blackouts(usual_ms):
    """What a key may promise: mostly what is usual, now and then anything up to its maximum."""
    usual = strategies.integers(10, usual_ms)
    return usual | usual | strategies.integers(10, keys.KEYS['max_downtime_ms'].maximum)


@strategies.composite
def policies(draw, **fixed):
    cap = draw(strategies.sampled_from([0, 1, 3, 10, 30, 50, 100]))
    chosen = {
        'bandwidth_mib_s': cap,
        'max_bandwidth_mib_s': draw(strategies.sampled_from([0, cap, 2 * cap, 5 * cap])),
        'initial_downtime_ms': draw(blackouts(500)),
        'max_downtime_ms': draw(blackouts(3000)),
        'timeout_seconds': draw(strategies.sampled_from([0, 10, 60, 300])),
        'timeout_seconds_per_gib': 0,
        'on_timeout': draw(strategies.sampled_from(
            ['abort', 'force_complete', 'post_copy', 'pause', 'continue'])),
        'remedies': tuple(draw(strategies.lists(
            strategies.sampled_from(remedies.HARM_ORDER), unique=True))),
        'on_stall': draw(strategies.sampled_from(['abort', 'post_copy', 'pause', 'continue'])),
        'max_throttle_percent': draw(strategies.integers(1, 99)),
    }
    return keys.Policy(**{**chosen, **fixed})


#: what is believed of the link, as a share of its true rate
TRUE = strategies.just(0.9)
TOO_LOW = strategies.sampled_from([0.05, 0.2]) | strategies.floats(0.05, 0.9)
TOO_HIGH = strategies.sampled_from([5.0, 20.0]) | strategies.floats(1.1, 20.0)
ANY = TRUE | TOO_LOW | TOO_HIGH


@strategies.composite
def worlds(draw, slowest=40, beliefs=TRUE):
    link = draw(strategies.sampled_from([slowest, 120, 400, 1200]))
    believed = link * draw(beliefs)
    disk = draw(strategies.sampled_from([0, 0, 0, 500]))
    setup = precopy.Setup(
        draw(loads()), link_mib_s=link, disk_mib=disk,
        counter=draw(strategies.integers(0, 9)),
        sync_every_s=draw(strategies.sampled_from([None, 5.0])))
    facts = {
        'can_throttle': draw(strategies.booleans()),
        'can_post_copy': draw(strategies.booleans()),
        'link_mib_s': draw(strategies.sampled_from([None, believed])),
    }
    if draw(strategies.integers(0, 4)) == 0:
        facts['switchover_mib_s'] = believed
    return setup, facts


@strategies.composite
def outages(draw):
    start = draw(strategies.floats(0, 30))
    return ((start, start + draw(strategies.floats(1, 12))),)


def play(world, policy, until_s=1500.0, outage=(), **more):
    setup, facts = world
    setup = dataclasses.replace(setup, outages=outage)
    controller, plant = run.start(policy, setup, **facts)
    return controller, run.steer(controller, plant, until_s=until_s, **more)
