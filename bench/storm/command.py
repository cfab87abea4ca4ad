# SPDX-License-Identifier: Apache-2.0
"""Small guests of differing load, from two hosts to one at once, over a link of 50 MiB/s.

On a real OpenStack with three hosts, under ours with 1, 2 and 4 slots at the destination, and
under stock Nova with as many as its limit of each source allows, the nearest to 1, 4 and 12. What
is not over after --timeout is cancelled by the bench, with stock Nova's and our own deadlines at
their defaults, which are longer.

arrived: Nova says completed, libvirt runs the guest at the destination alone, and it beats there.
makespan: from the first request until libvirt has ended the last migration. ideal: each page that
the guests have filled, once over the link. flowing: the part of the makespan since the first data
flowed. p50 and max: of the blackouts of those that arrived, ms, by the guests' beats. at once: the
most that came to the destination at the same time, as its libvirt told, of how many were allowed.
sent: of memory, as QEMU counts it. again: what of it was beside one copy of each guest that has
arrived.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import pathlib
import time
from typing import Any

from keystoneauth1 import exceptions

from bench.storm import plan
from bench.storm import play
from bench.storm import plot
from bench.storm import result
from lab import needs
from lab.openstack import layout
from lab import stack as lab_stack

_REFUSED = (needs.LabError, exceptions.ClientException)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--only', nargs='+', choices=plan.NAMES, metavar='CONFIG',
                        help=f'of {", ".join(plan.NAMES)} (default: all)')
    parser.add_argument('--guests', type=int, default=len(plan.LOADS), metavar='N',
                        help='the first N of the table (default: %(default)s)')
    parser.add_argument('--timeout', type=float, default=300.0, metavar='S',
                        help='after which what is left is cancelled (default: %(default)g s)')
    parser.add_argument('--nova', choices=layout.RELEASES, default=layout.NEWEST,
                        help=f'(default: {layout.NEWEST})')
    parser.add_argument('--png', type=pathlib.Path, metavar='FILE',
                        help='draw who waited, copied and switched over when')
    parser.add_argument('--work', type=pathlib.Path, metavar='DIR',
                        help='work folder of the stack (default: .lab-bench in the checkout)')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Play the storms on a new stack; the results as plain values."""
    loads = plan.loads(args.guests)
    if args.timeout <= 0:
        raise needs.LabError(f'--timeout: {args.timeout:g} is not above 0')
    began_s = time.monotonic()

    def told(line: str) -> None:
        say(f'{time.monotonic() - began_s:6.0f} s  {line}')

    storms, failed = _storms((args.work or work).resolve(), args, loads, told)
    if args.png and storms:
        plot.draw(storms, args.png)
    return {'storm': [one.to_dict() for one in storms], 'failed': failed, 'nova': args.nova,
            'guests': len(loads), 'link_mib_s': plan.LINK_MIB_S, 'timeout_s': args.timeout,
            'ideal_s': round(plan.ideal_s(loads), 2), 'png': args.png.name if args.png else ''}


def _storms(work: pathlib.Path, args: argparse.Namespace, loads: tuple[plan.Load, ...],
            say: Callable[[str], None]) -> tuple[list[result.Storm], dict[str, str]]:
    """Play all; a storm that breaks its stack does not take the others with it."""
    storms, failed = [], {}
    bench = _Bench(work, args.nova, say)
    try:
        for config in plan.configs(args.only):
            say(f'{config.name}: {config.told()}')
            try:
                storm = bench.play(config, loads, args.timeout)
            except _REFUSED as error:
                failed[config.name] = str(error)
                say(f'{config.name}: FAILED: {error}')
                bench.down()
                continue
            storms.append(storm)
            say('; '.join(f'{name} {cell}' for name, cell in zip(
                result.HEAD, result.cells(storm), strict=True)))
    finally:
        bench.down()
    return storms, failed


class _Bench:
    """A stack that is made when it is needed, and made anew when it is broken."""

    def __init__(self, work: pathlib.Path, nova: str, say: Callable[[str], None]) -> None:
        self._work = work
        self._nova = nova
        self._say = say
        self._site: play.Site | None = None

    def play(self, config: plan.Config, loads: tuple[plan.Load, ...], timeout_s: float
             ) -> result.Storm:
        """Play the storm of a configuration."""
        if self._site is None:
            stack = lab_stack.Stack(
                self._work, driver=config.driver, nova=self._nova, names=plan.HOSTS,
                nova_conf=config.nova_conf(), control_conf=plan.CONTROL_CONF, say=self._say)
            self._site = play.Site(stack.up())
        else:
            self._site.set(config)
        storm = play.play(self._site, config, loads, timeout_s,
                          lambda line: self._say(f'{config.name}: {line}'))
        try:
            self._site.remove()
        except _REFUSED as error:
            self._say(f'{config.name}: {error}; the next one has a new stack')
            self.down()
        return storm

    def down(self) -> None:
        """Stop the stack, if there is one."""
        if self._site is not None:
            self._site.stack.down()
            self._site = None


def lines(found: dict[str, Any]) -> list[str]:
    """The results as a table."""
    storms = [result.Storm.from_dict(one) for one in found['storm']]
    rows = [result.HEAD, *map(result.cells, storms)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(result.HEAD))]
    table = ['  '.join(cell.ljust(width) if not column else cell.rjust(width)
                       for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
             for row in rows]
    return [
        (f'{found["guests"]} guests from {" and ".join(plan.SOURCES)} to {plan.DESTINATION} over '
         f'{found["link_mib_s"]:g} MiB/s, Nova {found["nova"]}; ideal {found["ideal_s"]:.1f} s'),
        '', *table, '', *result.told(storms),
        *(f'{name}: FAILED: {why}' for name, why in found['failed'].items())]
