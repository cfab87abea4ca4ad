# SPDX-License-Identifier: Apache-2.0
"""Slots on the model of a fleet: each seed is a storm of migrations with faults, and then a calm.

In the storm migrations begin, end and are cancelled, messages are lost, doubled and late,
nova-computes die and start again, hosts go off, limits change. After each event has to hold: no
more at once than a limit allows, both slots or none, priority and turns in the queue. In the calm
nothing begins any more: all that waits has to go, and nothing may be left.

A seed that fails is printed. `--seed S` plays it again, with the same --events and --hosts, and
tells its story. Times are of the processor, so that a busy machine does not count.

At the end one destination is measured with growing queues.
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable
import itertools
import pathlib
import random
import time
from typing import Any

from lab import needs
from nova_migpolicy.capacity import incoming
from nova_migpolicy.capacity import limits
from nova_migpolicy.capacity import messages
from nova_migpolicy.sim.slots import storm

SHOWN = 20
#: how many wait at the one destination, of how many sources each, and how many events are timed
QUEUES = (100, 1000, 10_000, 100_000)
SOURCES = 1000
TIMED = 5000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--seeds', type=int, metavar='N', help='how many (default: 20)')
    parser.add_argument('--seed', type=int, metavar='S',
                        help='the first seed; without --seeds this one alone, with its story')
    parser.add_argument('--events', type=int, default=20_000, metavar='N',
                        help='how many things happen before the calm (default: %(default)s)')
    parser.add_argument('--hosts', type=int, default=20, metavar='N',
                        help='(default: %(default)s)')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Play the seeds; the figures as plain values."""
    for name, least in (('events', 1), ('hosts', 2)):
        if getattr(args, name) < least:
            raise needs.LabError(f'--{name}: {getattr(args, name)} is not at least {least}')
    if args.seeds is None and args.seed is not None:
        lines: list[str] = []
        played = storm.play(args.seed, args.events, args.hosts, lines)
        return {'seed': args.seed, 'broken': played.broken, 'lines': lines}
    count = 20 if args.seeds is None else args.seeds
    if count < 1:
        raise needs.LabError(f'--seeds: {count} is not above 0')
    first = args.seed or 0
    plays = []
    counts: collections.Counter[str] = collections.Counter()
    for seed in range(first, first + count):
        one = _play(seed, args.events, args.hosts)
        counts.update(one.pop('counts'))
        plays.append(one)
        if one['broken']:
            say(f'seed {seed}: {one["broken"]}; its story: python -m bench slots --seed {seed} '
                f'--events {args.events} --hosts {args.hosts}')
        else:
            say(f'seed {seed}: {one["events"]} events in {one["seconds"]} s')
    return {'first_seed': first, 'seeds': count, 'events': args.events, 'hosts': args.hosts,
            'plays': plays, 'failed': [one['seed'] for one in plays if one['broken']],
            'counts': dict(counts), 'queues': [_queue(waiting) for waiting in QUEUES]}


def _play(seed: int, events: int, hosts: int) -> dict[str, Any]:
    began_s = time.process_time()
    played = storm.play(seed, events, hosts, timer=time.process_time)
    seconds = time.process_time() - began_s
    return {'seed': seed, 'broken': played.broken, 'events': played.events,
            'seconds': round(seconds, 2), 'events_per_s': round(played.events / seconds),
            'machine_us': round(1e6 * played.took_s / max(1, played.calls), 1),
            'waiting': played.waiting, 'fleet_s': round(played.seconds),
            'longest_wait_s': round(played.longest_wait_s), 'counts': played.counts}


class _Crowd:
    """Those that wait at one destination, and what they say: each a list of messages."""

    def __init__(self, waiting: int) -> None:
        self.chance = random.Random(waiting)
        self.machine = incoming.Incoming(0.0, 'n0', 1, limits.Limits())
        self._number = 0
        self._alive: list[tuple[str, str]] = []

    def _to(self, source: str, migration: str) -> dict[str, Any]:
        self._number += 1
        return {'source': source, 'destination': 'n0', 'migration': migration, 'epoch': 1,
                'number': self._number, 'to_epoch': 1}

    def _any(self) -> tuple[str, str]:
        place = self.chance.randrange(len(self._alive))
        self._alive[place], self._alive[-1] = self._alive[-1], self._alive[place]
        return self._alive[-1]

    def _ask(self, source: str, migration: str) -> messages.Ask:
        # The same one each time, or else it goes to another level.
        priority = (20, 50, 100)[int(migration[1:]) % 3]
        return messages.Ask(server=migration, priority=priority, cost_mib=1.0, waited_s=0.0,
                            room=1, **self._to(source, migration))

    def comes(self) -> list[messages.FromSource]:
        """Return what another one says first."""
        self._alive.append((f's{self.chance.randrange(SOURCES)}', f'm{self._number}'))
        return [self._ask(*self._alive[-1])]

    def polls(self) -> list[messages.FromSource]:
        """Return what one of them says again."""
        return [self._ask(*self._any())]

    def is_cancelled(self) -> list[messages.FromSource]:
        """Return what ends the waiting of one of them, or its holding a place."""
        gone = messages.Release(**self._to(*self._any()))
        self._alive.pop()
        return [gone]

    def take(self) -> list[messages.FromSource]:
        """Return what takes all that is offered."""
        return [messages.Take(server=one.server, priority=one.priority, cost_mib=1.0, waited_s=0.0,
                              offer=one.offer, **self._to(one.source, one.migration))
                for one in self.machine.offered()]

    def ends(self) -> list[messages.FromSource]:
        """Return what gives a slot back."""
        return [messages.Release(**self._to(one.source, one.migration))
                for one in self.machine.holders()[:1]]


def _queue(waiting: int) -> dict[str, Any]:
    """Time one destination at which so many wait."""
    crowd = _Crowd(waiting)
    now_s = limits.LEASE_S + 1.0
    for _ in range(waiting):
        for message in crowd.comes():
            crowd.machine.receive(now_s, message)
    took_s, worst_s, count = 0.0, 0.0, 0
    kinds = itertools.cycle((crowd.comes, crowd.polls, crowd.take, crowd.ends, crowd.polls,
                             crowd.is_cancelled))
    while count < TIMED:
        now_s += limits.POLL_S / waiting
        for message in next(kinds)():
            began_s = time.process_time()
            crowd.machine.receive(now_s, message)
            one_s = time.process_time() - began_s
            took_s, worst_s, count = took_s + one_s, max(worst_s, one_s), count + 1
    return {'waiting': waiting, 'us': round(1e6 * took_s / count, 1),
            'worst_ms': round(1e3 * worst_s, 2)}


def lines(found: dict[str, Any]) -> list[str]:
    """The story, or the figures as tables."""
    if 'lines' in found:
        return [f'seed {found["seed"]}: {found["broken"] or "all holds"}', *found['lines']]
    last = found['first_seed'] + found['seeds'] - 1
    return [
        (f'seeds {found["first_seed"]} to {last}, {found["hosts"]} hosts: '
         f'{len(found["failed"])} failed'), '',
        (f'{"seed":>8}{"events":>10}{"s":>8}{"events/s":>10}{"us/call":>9}{"waiting":>9}'
         f'{"fleet s":>9}{"longest wait s":>16}'),
        *(f'{one["seed"]:8}{one["events"]:10}{one["seconds"]:8}{one["events_per_s"]:10}'
          f'{one["machine_us"]:9}{one["waiting"]:9}{one["fleet_s"]:9}{one["longest_wait_s"]:16}'
          for one in found['plays'][:SHOWN]), '',
        *(f'{count:10}  {name}' for name, count in found['counts'].items()), '',
        f'{"waiting at one":>16}{"us/event":>10}{"worst ms":>10}',
        *(f'{one["waiting"]:16}{one["us"]:10}{one["worst_ms"]:10}' for one in found['queues']),
        *(f'seed {one["seed"]}: {one["broken"]}' for one in found['plays'] if one['broken'])]
