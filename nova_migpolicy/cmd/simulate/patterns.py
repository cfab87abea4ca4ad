# SPDX-License-Identifier: Apache-2.0
"""The ways of writing to memory that can be asked for, with their options and words for them.

The models themselves are in `sim.guests`; the options' values are checked in `guest_options`.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import types

from nova_migpolicy.cmd.simulate import inputs
from nova_migpolicy.engine import figures
from nova_migpolicy.sim import guests

MIB = guests.MIB
Values = abc.Mapping[str, float]
Phases = abc.Sequence[guests.Stretch]


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A way of writing.

    make: the workload of a guest with this many MiB. says: the behaviour of such a guest.
    """

    help: str
    make: abc.Callable[[int, Values, Phases], guests.Workload]
    says: abc.Callable[[Values, Phases], str]


@dataclasses.dataclass(frozen=True)
class Option:
    """An option and the patterns that use it; without a default they cannot do without it."""

    name: str
    kind: inputs.Number
    help: str
    patterns: tuple[str, ...]
    default: float | None = None

    @property
    def flag(self) -> str:
        """The option as the user types it."""
        return '--' + self.name.replace('_', '-')


def size(mib: float) -> str:
    """Write MiB in words."""
    return figures.size(mib * MIB)


def rate(mib_s: float) -> str:
    """Write MiB/s in words."""
    return figures.rate(mib_s * MIB)


def writes(set_mib: float, mib_s: float, sweep: bool) -> str:
    """Describe a guest that writes like this for ever."""
    if not mib_s:
        return 'writes nothing'
    return f'writes {size(set_mib)} at {rate(mib_s)} {"in order" if sweep else "at random"}'


def _share(value: float) -> str:
    return f'{value * 100:.3g} %'


def _phases_say(_values: Values, phases: Phases) -> str:
    steps = [f'{writes(one.set_mib, one.rate_mib_s, one.sweep)} for {one.seconds:g} s'
             for one in phases[:-1]]
    last = phases[-1]
    return ', then '.join([*steps, writes(last.set_mib, last.rate_mib_s, last.sweep)])


def _ramp_says(v: Values, _phases: Phases) -> str:
    way = 'rising' if v['to_mib_s'] >= v['dirty_mib_s'] else 'falling'
    return (f'writes {size(v["writable_set_mib"])} at random, at {rate(v["dirty_mib_s"])} '
            f'{way} to {rate(v["to_mib_s"])} within {v["seconds"]:g} s')


PATTERNS: abc.Mapping[str, Pattern] = types.MappingProxyType({
    'idle': Pattern(
        'writes nothing', lambda memory, _v, _p: guests.idle(memory),
        lambda _v, _p: 'writes nothing'),
    'sweep': Pattern(
        'writes its set in order, again and again',
        lambda memory, v, _p: guests.sweep(memory, v['writable_set_mib'], v['dirty_mib_s']),
        lambda v, _p: writes(v['writable_set_mib'], v['dirty_mib_s'], True)),
    'uniform': Pattern(
        'writes to its set at random',
        lambda memory, v, _p: guests.uniform(memory, v['writable_set_mib'], v['dirty_mib_s']),
        lambda v, _p: writes(v['writable_set_mib'], v['dirty_mib_s'], False)),
    'hot_cold': Pattern(
        'writes at random, most of it to a small part',
        lambda memory, v, _p: guests.hot_cold(
            memory, v['hot_mib'], v['writable_set_mib'] - v['hot_mib'], v['dirty_mib_s'],
            v['hot_share']),
        lambda v, _p: (f'{writes(v["writable_set_mib"], v["dirty_mib_s"], False)}, '
                       f'{_share(v["hot_share"])} of it to {size(v["hot_mib"])}')),
    'zipf': Pattern(
        'writes at random, to few pages often and to most pages rarely',
        lambda memory, v, _p: guests.zipf(
            memory, v['writable_set_mib'], v['dirty_mib_s'], v['skew']),
        lambda v, _p: (f'{writes(v["writable_set_mib"], v["dirty_mib_s"], False)}, to few '
                       f'pages most (Zipf, skew {v["skew"]:g})')),
    'bursts': Pattern(
        'writes in order for a time, then nothing for a time, in turn',
        lambda memory, v, _p: guests.bursts(
            memory, v['writable_set_mib'], v['dirty_mib_s'], v['on_seconds'],
            v['off_seconds']),
        lambda v, _p: (f'{writes(v["writable_set_mib"], v["dirty_mib_s"], True)} for '
                       f'{v["on_seconds"]:g} s, then nothing for {v["off_seconds"]:g} s, '
                       'in turn')),
    'ramp': Pattern(
        'writes at random, at a rate that changes steadily and then stays',
        lambda memory, v, _p: guests.ramp(
            memory, v['writable_set_mib'], v['dirty_mib_s'], v['to_mib_s'], v['seconds']),
        _ramp_says),
    'phases': Pattern(
        'does one --phase after the other and stays with the last',
        lambda memory, _v, phases: guests.phases(memory, *phases), _phases_say),
})

_WRITING = tuple(name for name in PATTERNS if name not in ('idle', 'phases'))
OPTIONS = (
    Option('writable_set_mib', inputs.SET_MIB, 'how much of its memory it writes to', _WRITING),
    Option('dirty_mib_s', inputs.WRITE_MIB_S,
           'how much it writes in a second; a page that is written twice counts twice',
           _WRITING),
    Option('hot_mib', inputs.SET_MIB, 'the small part of the set', ('hot_cold',)),
    Option('hot_share', inputs.SHARE, 'the share of the writes that goes there, 0 to 1',
           ('hot_cold',), 0.9),
    Option('skew', inputs.SKEW, 'the exponent of the law: 0 is evenly, 1 is usual',
           ('zipf',), 1.0),
    Option('on_seconds', inputs.SECONDS, 'how long it writes', ('bursts',), 30.0),
    Option('off_seconds', inputs.SECONDS, 'how long it does not', ('bursts',), 30.0),
    Option('to_mib_s', inputs.WRITE_MIB_S, 'the rate at the end', ('ramp',)),
    Option('seconds', inputs.SECONDS, 'how long the rate takes to get there', ('ramp',)),
)
