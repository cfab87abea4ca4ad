# SPDX-License-Identifier: Apache-2.0
"""Draws workloads from distributions, the same ones for the same seed.

The description is a mapping: count; and for each field a distribution. A distribution is a number
or a word (always that), {choice: {value: weight, ...}}, {uniform: [low, high]}, or {lognormal:
{median: m, sigma: s, low: l, high: h}} (sigma of the logarithm; what falls outside is drawn
again).
Some fields are relative, so that guests of all sizes are as hard: set_share (of the memory that is
not zero), zero_share (of the memory), dirty_share (of the rate it starts at: the cap, else the
link), cap_share (of the link; 0 for no cap), ceiling_share (of the link, at least the cap; 0 for
no ceiling), hot_part (of the set). policies: weights by profile. What is drawn is a workload as
`bench.contest.workloads` reads it.
"""

from __future__ import annotations

from collections import abc
import math
import random
import typing

_FIELDS = ('memory_mib', 'link_mib_s', 'pattern', 'set_share', 'zero_share', 'dirty_share',
           'cap_share', 'ceiling_share', 'hot_part', 'hot_share', 'skew', 'on_seconds',
           'off_seconds', 'ramp_seconds', 'ramp_factor', 'change_seconds', 'then_share',
           'disk_mib', 'link_known', 'link_jitter', 'guest_jitter', 'qemu', 'policies')


class BadDistribution(Exception):
    """A description cannot be drawn from; the sentence names the field and the reason."""


def draw(spec: object, seed: int) -> list[dict[str, typing.Any]]:
    """The workloads of a description.

    :raises BadDistribution: if it cannot be used
    """
    if not isinstance(spec, dict):
        raise BadDistribution('generate: it must be a mapping')
    missing = [name for name in ('count', *_FIELDS) if name not in spec]
    if missing:
        raise BadDistribution(f'generate: {missing[0]}: is missing')
    unknown = sorted(set(map(str, spec)) - {'count', *_FIELDS})
    if unknown:
        raise BadDistribution(f'generate: {unknown[0]}: there is no such field')
    count = spec['count']
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= 1_000_000:
        raise BadDistribution(f'generate: count: {count!r} is not 1 to 1000000')
    chance = random.Random(seed)
    return [_one(spec, chance, number) for number in range(count)]


def _one(spec: abc.Mapping[str, typing.Any], chance: random.Random, number: int
         ) -> dict[str, typing.Any]:
    # All are drawn for each, so that one field changes nothing of the others.
    v = {name: _value(name, spec[name], chance) for name in _FIELDS}
    memory, link, pattern = int(v['memory_mib']), float(v['link_mib_s']), v['pattern']
    zero = int(memory * v['zero_share'])
    size = max(1.0, (memory - zero) * v['set_share'])
    cap = int(link * v['cap_share'])
    ceiling = max(int(link * v['ceiling_share']), cap) if v['ceiling_share'] and cap else 0
    rate = (min(cap, link) if cap else link) * v['dirty_share']
    policy = {'profile': v['policies']}
    if ceiling:
        policy['max_bandwidth_mib_s'] = ceiling
    one: dict[str, typing.Any] = {
        'name': f'{number:04}-{pattern}', 'memory_mib': memory, 'pattern': pattern,
        'zero_mib': zero, 'bandwidth_mib_s': cap, 'link_mib_s': link,
        'link_known': bool(v['link_known']), 'disk_mib': int(v['disk_mib']),
        'link_jitter': v['link_jitter'], 'guest_jitter': v['guest_jitter'],
        'qemu': str(v['qemu']), 'policy': policy}
    if pattern != 'idle':
        one.update(writable_set_mib=round(size, 1), dirty_mib_s=round(rate, 1))
    own: dict[str, dict[str, typing.Any]] = {
        'hot_cold': {'hot_mib': max(1.0, round(size * v['hot_part'], 1)),
                     'hot_share': v['hot_share']},
        'zipf': {'skew': v['skew']},
        'bursts': {'on_seconds': v['on_seconds'], 'off_seconds': v['off_seconds']},
        'ramp': {'seconds': v['ramp_seconds'], 'to_mib_s': round(rate * v['ramp_factor'], 1)},
        'phases': {'seconds': v['change_seconds'],
                   'then_set_mib': round(min(max(1.0, size * v['then_share']),
                                             memory - zero - 1.0), 1),
                   'then_mib_s': round(rate * v['then_share'], 1)}}
    one.update(own.get(pattern, {}))
    return one


def _value(name: str, spec: typing.Any, chance: random.Random) -> typing.Any:
    if not isinstance(spec, dict):
        return spec
    try:
        [(kind, what)] = spec.items()
        if kind == 'choice':
            return chance.choices(list(what), [float(weight) for weight in what.values()])[0]
        if kind == 'uniform':
            low, high = map(float, what)
            return round(chance.uniform(low, high), 4)
        if kind == 'lognormal':
            return _lognormal(chance, **{key: float(one) for key, one in what.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise BadDistribution(f'generate: {name}: {spec!r} cannot be drawn from: {error}'
                              ) from error
    raise BadDistribution(f'generate: {name}: {kind!r} is none of choice, uniform, lognormal')


def _lognormal(chance: random.Random, median: float, sigma: float, low: float,
               high: float) -> float:
    if not low < high or median <= 0 or not low <= median <= high:
        raise ValueError('median must lie between low and high')
    while True:
        value = median * math.exp(sigma * chance.gauss(0, 1))
        if low <= value <= high:
            return round(value, 4)
