# SPDX-License-Identifier: Apache-2.0
"""Workload files: which guests an engine has to move, over which link, under which policy.

A file is a YAML list of workloads, or a mapping with the key `generate` that describes how to draw
them from a seed (see `bench.contest.generate`). Sizes are MiB, rates MiB/s, times s. The keys of a
workload:

name, memory_mib, pattern, writable_set_mib, dirty_mib_s (pages written per second, each write
counted), and of the pattern: hot_mib and hot_share (hot_cold), skew (zipf), on_seconds and
off_seconds (bursts), to_mib_s and seconds (ramp), seconds, then_set_mib and then_mib_s (phases);
zero_mib (never touched), bandwidth_mib_s (the rate it starts at, 0 for no cap), link_mib_s,
link_known (whether the operator said how fast the link is), disk_mib, link_jitter and guest_jitter
(how far their rates waver from pass to pass, as a share), qemu (7.2 or 10.0), and policy: the name
of a profile or policy keys, or both ({profile: ..., max_downtime_ms: ...}).
"""

from __future__ import annotations

import collections
from collections import abc
import dataclasses
import pathlib
import random
import typing

import jsonschema
import yaml

from bench.contest import engines
from bench.contest import generate
from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import resolve
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy

SUITES = pathlib.Path(__file__).parents[1] / 'suites'
PATTERNS: abc.Mapping[str, tuple[str, ...]] = {
    'idle': (), 'sweep': (), 'uniform': (), 'hot_cold': ('hot_mib', 'hot_share'),
    'zipf': ('skew',), 'bursts': ('on_seconds', 'off_seconds'), 'ramp': ('to_mib_s', 'seconds'),
    'phases': ('seconds', 'then_set_mib', 'then_mib_s')}
_POSITIVE = {'type': 'number', 'exclusiveMinimum': 0, 'maximum': 1e9}
_NOT_NEGATIVE = {'type': 'number', 'minimum': 0, 'maximum': 1e9}
_SHARE = {'type': 'number', 'minimum': 0, 'maximum': 1}
_SCHEMA: dict[str, typing.Any] = {
    'type': 'object', 'additionalProperties': False,
    'required': ['name', 'memory_mib', 'pattern', 'link_mib_s'],
    'properties': {
        'name': {'type': 'string', 'pattern': '^[A-Za-z0-9_.-]{1,60}$'},
        'memory_mib': {'type': 'integer', 'minimum': 8, 'maximum': 1 << 24},
        'pattern': {'enum': list(PATTERNS)},
        'writable_set_mib': _NOT_NEGATIVE, 'dirty_mib_s': _NOT_NEGATIVE,
        'zero_mib': {'type': 'integer', 'minimum': 0, 'maximum': 1 << 24},
        'hot_mib': _POSITIVE, 'hot_share': _SHARE,
        'skew': {'type': 'number', 'minimum': 0, 'maximum': 5},
        'on_seconds': _POSITIVE, 'off_seconds': _POSITIVE,
        'seconds': _POSITIVE, 'to_mib_s': _NOT_NEGATIVE,
        'then_set_mib': _POSITIVE, 'then_mib_s': _NOT_NEGATIVE,
        'bandwidth_mib_s': {'type': 'integer', 'minimum': 0, 'maximum': 1_000_000},
        'link_mib_s': _POSITIVE, 'link_known': {'type': 'boolean'},
        'disk_mib': {'type': 'integer', 'minimum': 0, 'maximum': 1 << 28},
        'link_jitter': _SHARE, 'guest_jitter': _SHARE, 'qemu': {'enum': ['7.2', '10.0']},
        'policy': {'type': ['object', 'string']},
    },
}
LISTED = {'type': 'array', 'minItems': 1, 'items': _SCHEMA}
KNOWN_LOW = 0.95                # what operators say of a link is on the safe side
SAMPLES_PER_GIB = 512           # as QEMU takes them
SYNC_EVERY_S = {'7.2': None, '10.0': 5.0}


class BadWorkload(Exception):
    """A workload file cannot be used; the sentence names the entry, the field and the reason."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """One guest to be moved: the model's setup and the task that every engine is given."""

    name: str
    pattern: str
    load: guests.Workload
    setup: precopy.Setup
    task: engines.Task
    given: abc.Mapping[str, typing.Any]


def read(path: pathlib.Path | str, seed: int = 0) -> list[Workload]:
    """The workloads of a file, or of a suite by its name.

    :param seed: for what is drawn and for what wavers
    :raises BadWorkload: if the file cannot be used
    """
    where = SUITES / f'{path}.yaml' if (SUITES / f'{path}.yaml').is_file() else pathlib.Path(path)
    try:
        document = yaml.safe_load(where.read_text(encoding='utf-8'))
    except FileNotFoundError:
        known = ', '.join(sorted(one.stem for one in SUITES.glob('*.yaml')))
        raise BadWorkload(f'{path}: no such file, and no such suite (there are {known})'
                          ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadWorkload(f'{path}: cannot be read: {error}') from error
    if isinstance(document, dict) and set(document) == {'generate'}:
        try:
            document = generate.draw(document['generate'], seed)
        except generate.BadDistribution as error:
            raise BadWorkload(f'{path}: {error}') from error
    return parse(document, str(path), seed)


def parse(document: object, path: str, seed: int = 0) -> list[Workload]:
    """Like `read`, for a document that has been read already."""
    found = sorted(jsonschema.Draft202012Validator(LISTED).iter_errors(document),
                   key=lambda one: list(map(str, one.absolute_path)))
    if found:
        raise BadWorkload(f'{path}: {_place(document, list(found[0].absolute_path))}'
                          f'{found[0].message}')
    assert isinstance(document, list)
    counts = collections.Counter(one['name'] for one in document)
    twice = min((name for name, count in counts.items() if count > 1), default=None)
    if twice is not None:
        raise BadWorkload(f'{path}: name: {twice} is there twice')
    return [_workload(one, path, seed, number) for number, one in enumerate(document)]


def _place(document: object, place: list[typing.Any]) -> str:
    """Where an error is: the workload and the field, with a colon after each."""
    if not place:
        return ''
    entry = document[place[0]] if isinstance(document, list) else None
    name = entry.get('name') if isinstance(entry, dict) else None
    parts = [f'workload {place[0]}{f" ({name})" if name else ""}', *(
        ['.'.join(str(part) for part in place[1:])] if place[1:] else [])]
    return ''.join(f'{part}: ' for part in parts)


def _workload(given: dict[str, typing.Any], path: str, seed: int, number: int) -> Workload:
    where = f'{path}: workload {number} ({given["name"]})'
    pattern, memory = given['pattern'], given['memory_mib']
    _check_fields(given, where)
    load = _load(given)
    if load.writable_set_mib + load.zero_mib > memory:
        raise BadWorkload(f'{where}: zero_mib: {load.zero_mib} and what is written to are more '
                          f'than memory_mib, {memory}')
    policy = _policy(given, where)
    link = float(given['link_mib_s'])
    qemu = given.get('qemu', '7.2')
    setup = precopy.Setup(
        load, link_mib_s=link, cap_mib_s=policy.bandwidth_mib_s,
        disk_mib=given.get('disk_mib', 0), sync_every_s=SYNC_EVERY_S[qemu],
        seed=seed * 1_000_003 + number, link_jitter=given.get('link_jitter', 0.0),
        guest_jitter=given.get('guest_jitter', 0.0), age_s=1.0)
    task = engines.Task(policy, memory, given.get('disk_mib', 0),
                        link * KNOWN_LOW if given.get('link_known') else None,
                        _measured(load, setup.seed))
    return Workload(given['name'], pattern, load, setup, task, given)


def _check_fields(given: dict[str, typing.Any], where: str) -> None:
    """See that the fields are those of the pattern.

    :raises BadWorkload: one is missing, or belongs to another
    """
    pattern, memory = given['pattern'], given['memory_mib']
    for field in given:
        owners = [name for name, own in PATTERNS.items() if field in own]
        if owners and pattern not in owners:
            raise BadWorkload(f'{where}: {field}: belongs to {" and ".join(owners)}, not to '
                              f'{pattern}')
    if pattern == 'idle':
        return
    needed = {'writable_set_mib', 'dirty_mib_s', *PATTERNS[pattern]} - {'hot_share', 'skew'}
    missing = [field for field in ('writable_set_mib', 'dirty_mib_s', *PATTERNS[pattern])
               if field in needed and field not in given]
    if missing:
        raise BadWorkload(f'{where}: {missing[0]}: is missing, and {pattern} needs it')
    if not 0 < given['writable_set_mib'] <= memory:
        raise BadWorkload(f'{where}: writable_set_mib: {given["writable_set_mib"]} is not '
                          f'above 0 and within memory_mib, {memory}')


def _measured(load: guests.Workload, seed: int) -> float:
    """What QEMU's own measurement in the second before the start says, from samples of pages."""
    samples = max(1, load.memory_mib * SAMPLES_PER_GIB // 1024)
    share = min(1.0, load.unique_mib(1.0) / load.memory_mib)
    error = random.Random(seed).gauss(0, (share * (1 - share) / samples) ** 0.5)
    return min(1.0, max(0.0, share + error)) * load.memory_mib


def _load(given: dict[str, typing.Any]) -> guests.Workload:
    memory, pattern = given['memory_mib'], given['pattern']
    size, rate = given.get('writable_set_mib', 0), given.get('dirty_mib_s', 0)
    if pattern == 'idle':
        load = guests.idle(memory)
    elif pattern == 'hot_cold':
        hot = min(given['hot_mib'], size)
        load = guests.hot_cold(memory, hot, max(size - hot, 1 / 256), rate,
                               given.get('hot_share', 0.9))
    elif pattern == 'zipf':
        load = guests.zipf(memory, size, rate, given.get('skew', 1.0))
    elif pattern == 'bursts':
        load = guests.bursts(memory, size, rate, given['on_seconds'], given['off_seconds'])
    elif pattern == 'ramp':
        load = guests.ramp(memory, size, rate, given['to_mib_s'], given['seconds'])
    elif pattern == 'phases':
        load = guests.phases(
            memory, guests.Stretch(given['seconds'], rate, size),
            guests.Stretch(guests.FOR_EVER, given['then_mib_s'], given['then_set_mib']))
    else:
        load = getattr(guests, pattern)(memory, size, rate)
    return dataclasses.replace(load, zero_mib=given.get('zero_mib', 0))


def _policy(given: dict[str, typing.Any], where: str) -> keys.Policy:
    wanted = given.get('policy', {})
    if isinstance(wanted, str):
        wanted = {'profile': wanted}
    name = wanted.get('profile', keys.DEFAULT_PROFILE)
    if name not in profiles.BUILT_IN:
        known = ', '.join(profiles.BUILT_IN)
        raise BadWorkload(f'{where}: policy.profile: {name!r} is none of {known}')
    try:
        return resolve.resolve(resolve.Sources(request={
            'bandwidth_mib_s': given.get('bandwidth_mib_s', 0), **wanted})).policy
    except exception.PolicyError as error:
        raise BadWorkload(f'{where}: policy: {error}') from error
