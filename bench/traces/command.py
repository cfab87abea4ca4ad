# SPDX-License-Identifier: Apache-2.0
"""Record real migrations as JSON, one file for each scenario of bench.traces.scenarios.

Each is recorded more than once, the last is kept, and the table says how well they agree: passes
that differ by more than 10 % were disturbed, or the scenario depends on chance. Actions are
applied straight through libvirt as soon as the event has come that they follow; no engine is at
work. What the files hold is told in bench.traces.trace.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import contextlib
import dataclasses
import importlib.metadata
import itertools
import pathlib
from typing import Any

import libvirt

from bench.traces import recorder
from bench.traces import scenarios
from bench.traces import trace
from lab import disk_writer
from lab import domain as lab_domain
from lab import heartbeat
from lab import hosts
from lab import needs
from nova_migpolicy.engine import remedies

OUT = pathlib.Path('tests/simulation/traces')
# A migration starts when the guest has beaten that often: at the same point of what it does.
_FIRST_BEATS = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said on the command line."""
    parser.add_argument('--out', type=pathlib.Path, default=OUT, metavar='DIR',
                        help=f'where the files go (default: {OUT})')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='these scenarios, not all')
    parser.add_argument('--runs', type=int, default=2, help='of each (default: 2)')
    parser.add_argument('--list', action='store_true', help='tell the scenarios, record nothing')


def measure(work: pathlib.Path, args: argparse.Namespace, say: Callable[[str], None]
            ) -> dict[str, Any]:
    """Record the scenarios that were asked for, on hosts of their own."""
    try:
        wanted = scenarios.by_name(args.only)
    except ValueError as error:
        raise needs.LabError(f'{error}; see --list') from error
    needs.require(problem for scenario in wanted for problem in scenario.problems())
    if args.list:
        return {'scenarios': {scenario.name: scenario.about for scenario in wanted}}
    args.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for flavour in sorted({scenario.flavour for scenario in wanted}):
        with hosts.Hosts(work.with_name(f'{work.name}-record'), flavour=flavour) as lab:
            # The first migration between new hosts starts a second later than any other.
            record(lab, scenarios.SCENARIOS[0])
            for scenario in (one for one in wanted if one.flavour == flavour):
                found[scenario.name] = _record_all(lab, scenario, args)
                say(f'{scenario.name}: {found[scenario.name]}')
    return {'recorded': found}


def _record_all(lab: hosts.Hosts, scenario: scenarios.Scenario,
                args: argparse.Namespace) -> dict[str, Any]:
    """Record a scenario as often as it was asked for, keep the last, and compare them."""
    traces = [record(lab, scenario) for _ in range(args.runs)]
    (args.out / f'{scenario.name}.json').write_text(trace.dumps(traces[-1]))
    return _compare(traces)


def lines(found: dict[str, Any]) -> list[str]:
    """The recordings as a table, or the list of scenarios."""
    if 'scenarios' in found:
        return [f'{name:27}{about}' for name, about in found['scenarios'].items()]
    table = [f'{"":27}' + ''.join(f'{name:>16}' for name in (
        'seconds', 'passes', 'MiB', 'blackout ms', 'passes differ'))]
    for name, one in found['recorded'].items():
        columns = [' '.join(str('-' if run[key] is None else run[key]) for run in one['runs'])
                   for key in ('total_s', 'passes', 'mib', 'blackout_ms')]
        columns.append(f'{one["difference_percent"]} %')
        table.append(f'{name:27}' + ''.join(f'{column:>16}' for column in columns))
    return table


def record(lab: hosts.Hosts, scenario: scenarios.Scenario) -> trace.Trace:
    """Boot the guest of a scenario, migrate it from n1 to n2, and return the trace.

    :raises LabError: if the migration fails, or the guest does not live where it should
    """
    guest = lab_domain.LabDomain(lab, 'guest', scenario.guest, disks_mib=scenario.disks_mib)
    with contextlib.ExitStack() as undo:
        undo.callback(lab.shape, 'n1')
        undo.callback(guest.destroy)
        if scenario.link_mib_s:
            lab.shape('n1', rate_mib_s=scenario.link_mib_s)
        guest.boot()
        with guest.recorder() as beats:
            [mark] = lab_domain.wait_until(
                lambda: [one for one in beats.marks() if one.beats >= _FIRST_BEATS][:1],
                what='the guest to be old enough')
            guest.domain.migrateSetMaxDowntime(scenario.limit_ms)
            seen = recorder.Watch(guest, scenario)
            undo.callback(seen.close)
            if scenario.silent:
                undo.callback(lab.deliver, 'n1')
            met = _Met(seen)
            if scenario.written_mib_s:
                met.writer = disk_writer.DiskWriter(
                    guest, scenario.disks_mib[0], scenario.written_mib_s)
                undo.callback(met.writer.stop)
            if scenario.beside is not None:
                other = lab_domain.LabDomain(lab, 'beside', scenario.beside)
                undo.callback(other.destroy)
                other.boot()
                met.beside = other.migrate('n2')
            migration = seen.run()
            return _trace(met, migration, beats, mark)


@dataclasses.dataclass
class _Met:
    """A migration that was watched, and what it met."""

    seen: recorder.Watch
    writer: disk_writer.DiskWriter | None = None
    beside: lab_domain.Migration | None = None

    def start(self, began_s: float) -> dict[str, Any]:
        """Return it as the trace's start takes it."""
        silent, beside = self.seen.silent, self.beside
        if silent is not None and 'to_s' not in silent:
            raise needs.LabError(f'{self.seen.scenario.name} ended while its link was silent')
        if beside is not None:
            beside.wait()
            assert beside.ended_s is not None
        return {
            'written_mib_s': self.writer.rate_mib_s if self.writer is not None else 0.0,
            'silent': None if silent is None else {
                name: round(silent[name] - began_s, 3) for name in ('from_s', 'to_s')},
            'beside': None if beside is None or beside.ended_s is None else {
                'from_s': round(beside.began_s - began_s, 3),
                'to_s': round(beside.ended_s - began_s, 3)}}


def _trace(met: _Met, migration: lab_domain.Migration, beats: heartbeat.Recorder,
           first: heartbeat.Mark) -> trace.Trace:
    seen = met.seen
    scenario, began_s = seen.scenario, migration.began_s
    aborts = any(isinstance(action, remedies.Abort) for _, action in scenario.then)
    if migration.error and not (aborts and migration.error.get_error_code()
                                == libvirt.VIR_ERR_OPERATION_ABORTED):
        raise needs.LabError(f'{scenario.name} failed: {migration.error}')
    if len(seen.actions) != len(scenario.then):
        raise needs.LabError(f'{scenario.name} was over before all was done: {seen.actions}')
    log = 0 if migration.error else 1
    if not beats.wait_for_beats(10, log):
        raise needs.LabError(f'{scenario.name}: no beat on {seen.guest.host.name}')
    assert migration.ended_s is not None
    host = seen.guest.host.connect()
    return {
        'about': scenario.about,
        'versions': {'qemu': trace.version(host.getVersion()),
                     'libvirt': trace.version(host.getLibVersion()), 'flavour': scenario.flavour,
                     'nova_migpolicy': importlib.metadata.version('nova_migpolicy')
                     .partition('.dev')[0]},
        'guest': trace.guest(scenario),
        'start': trace.start(
            scenario, first.beats * heartbeat.BEAT_S + began_s - first.at_s,
            **met.start(began_s)),
        'actions': _from(began_s, seen.actions), 'syncs': _from(began_s, seen.syncs),
        'ticks': _from(began_s, seen.ticks),
        'marks': [{'at_s': round(mark.at_s - began_s, 3), 'beats': mark.beats,
                   'pages': mark.pages} for mark in beats.marks() if mark.at_s >= first.at_s],
        'end': trace.end(
            migration.completed or seen.last, 'aborted' if migration.error else 'completed',
            migration.ended_s - began_s, beats.blackout_ms, seen.syncs)}


def _from(began_s: float, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose times are from the start of the migration."""
    return [{key: round(value - began_s, 3) if key.endswith('at_s') else value
             for key, value in row.items()} for row in rows]


def _compare(traces: list[trace.Trace]) -> dict[str, Any]:
    return {'runs': [trace.summary(one) for one in traces],
            'difference_percent': max((trace.difference_percent(one, other) for one, other
                                       in itertools.pairwise(traces)), default=0.0)}
