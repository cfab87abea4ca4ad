# SPDX-License-Identifier: Apache-2.0
"""Recovery on the model of a cluster: each seed is a migration with faults, played twice.

In safety faults go on all the time, and what must never happen must not: a second running copy by
our doing, a copy removed that was the last, a record gone while something needs it. In liveness
they end, and a minute later everything has to agree: hosts, task state, the migration's status,
allocations, port bindings, attachments and libvirt, with no record and no lock left. A server may
be held where only an operator can decide; why is counted.

A seed that fails is printed. `--seed S` plays it again and tells its story.
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable, Iterable
import pathlib
import time
from typing import Any

from lab import needs
from nova_migpolicy.sim.cluster import faults
from nova_migpolicy.sim.cluster import play

SHOWN = 20
PROGRESS_S = 10.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--seeds', type=int, metavar='N', help='how many (default: 2000)')
    parser.add_argument('--seed', type=int, metavar='S',
                        help='the first seed; without --seeds this one alone, with its story')
    parser.add_argument('--mode', choices=[one.value for one in play.Mode],
                        help='(default: both, one after the other)')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Play the seeds; the figures as plain values."""
    modes = [play.Mode(args.mode)] if args.mode else list(play.Mode)
    if args.seeds is None and args.seed is not None:
        return {'stories': [_story(args.seed, mode) for mode in modes]}
    count = 2000 if args.seeds is None else args.seeds
    if count < 1:
        raise needs.LabError(f'--seeds: {count} is not above 0')
    first = args.seed or 0
    tally = _Tally()
    began_s = told_s = time.monotonic()
    for seed in range(first, first + count):
        for mode in modes:
            tally.add(play.play(seed, mode), say)
        if time.monotonic() - told_s > PROGRESS_S:
            told_s = time.monotonic()
            say(f'{seed - first + 1} of {count} seeds, {len(tally.failed)} failed')
    return {'first_seed': first, 'seeds': count, 'modes': [one.value for one in modes],
            'seconds': round(time.monotonic() - began_s, 1), **tally.told()}


def _story(seed: int, mode: play.Mode) -> dict[str, Any]:
    lines: list[str] = []
    played = play.play(seed, mode, lines)
    return {'seed': seed, 'mode': mode.value, 'broken': played.broken, 'end': played.end,
            'lines': lines}


class _Tally:
    """What has been seen of all seeds."""

    def __init__(self) -> None:
        self.failed: list[dict[str, Any]] = []
        self._plays = 0
        self._faults: collections.Counter[str] = collections.Counter()
        self._by_fault: collections.Counter[str] = collections.Counter()
        self._steps: collections.Counter[str] = collections.Counter()
        self._ends: collections.Counter[str] = collections.Counter()

    def add(self, played: play.Played, say: Callable[[str], None]) -> None:
        """Count one, and tell of it where it failed."""
        self._plays += 1
        self._faults.update(set(played.faults))
        self._steps.update(f'{step.kind.value}: {step.reason}' for step in played.steps)
        self._ends[played.end] += 1
        if played.broken:
            self._by_fault.update(set(played.faults))
            self.failed.append({'seed': played.seed, 'mode': played.mode.value,
                                'broken': played.broken, 'faults': list(played.faults)})
            if len(self.failed) <= SHOWN:
                say(f'seed {played.seed}, {played.mode.value}: {played.broken}; its story: '
                    f'python -m bench recovery --seed {played.seed} --mode {played.mode.value}')

    def told(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {'plays': self._plays, 'failed': self.failed,
                'faults': {name: {'plays': self._faults[name], 'failed': self._by_fault[name]}
                           for name in faults.KINDS},
                'steps': dict(self._steps.most_common()), 'ends': dict(self._ends.most_common())}


def lines(found: dict[str, Any]) -> list[str]:
    """The stories, or the figures as tables."""
    if 'stories' in found:
        return [line for story in found['stories'] for line in (
            f'seed {story["seed"]}, {story["mode"]}: {story["broken"] or "all holds"}',
            *story['lines'], f'the end: {story["end"]}', '')]
    last = found['first_seed'] + found['seeds'] - 1
    return [
        (f'seeds {found["first_seed"]} to {last}, {" and ".join(found["modes"])}: '
         f'{found["plays"]} plays in {found["seconds"]} s, {len(found["failed"])} failed'), '',
        f'{"fault":40}{"plays":>8}{"failed":>8}',
        *(f'{name:40}{one["plays"]:8}{one["failed"]:8}'
          for name, one in found['faults'].items()), '',
        *_counted('where it ends', found['ends']), '',
        *_counted('steps', found['steps']), '',
        *(f'seed {one["seed"]}, {one["mode"]}: {one["broken"]}'
          for one in found['failed'][:SHOWN])]


def _counted(title: str, counts: dict[str, int]) -> Iterable[str]:
    yield f'{"times":>8}  {title}'
    for name, count in counts.items():
        yield f'{count:8}  {name}'
