# SPDX-License-Identifier: Apache-2.0
"""Runs an engine's migration on real hosts: libvirt and QEMU of the lab, without OpenStack.

The pilot is shown the same samples as on the model, at the ends of passes where it listens to
them and at its own ticks, and its actions go through `monitor.guest` as in nova-compute. What is
measured comes from the guest's heartbeat and from libvirt's last statistics. Each run boots a new
guest, so that none begins where another one ended.
"""

from __future__ import annotations

from collections import abc
import contextlib
import dataclasses
import pathlib
import subprocess
import time
import typing

import libvirt
import libvirt_qemu

from bench.contest import engines
from bench.contest import oracle
from bench.contest import result
from bench.contest import workloads
from lab import domain as lab_domain
from lab import guests as lab_guests
from lab import heartbeat
from lab import hosts
from lab import needs
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.sim import run as run_module

MIB = 1 << 20
# A migration starts when the guest has beaten that often: at the same point of what it does.
FIRST_BEATS = 100
LOOK_S = 0.01
# QEMU takes no samples of less memory.
LEAST_MEASURED_MIB = 128
# Who ends nothing by itself is stopped that long after its deadline.
PATIENCE_S = 4.0
FOREVER_S = 600.0
_KINDS: abc.Mapping[str, lab_guests.Kind] = {
    'idle': 'idle', 'sweep': 'sweep', 'uniform': 'random', 'hot_cold': 'hotcold',
    'bursts': 'bursts', 'phases': 'phases'}


def guest_for(given: abc.Mapping[str, typing.Any]) -> lab_guests.Guest:
    """The lab's guest for a workload.

    :raises LabError: for a pattern that the lab's guest cannot do
    """
    pattern = given['pattern']
    if pattern not in _KINDS:
        raise needs.LabError(f'{given["name"]}: pattern: {pattern} is none of those that the '
                             f'lab has: {", ".join(_KINDS)}')
    return lab_guests.Guest(
        _KINDS[pattern], given['memory_mib'], given.get('writable_set_mib', 8),
        given.get('dirty_mib_s', 0), hot_mib=given.get('hot_mib', 8),
        hot_share=given.get('hot_share', 0.9), on_ms=int(1000 * given.get('on_seconds', 2)),
        off_ms=int(1000 * given.get('off_seconds', 2)),
        change_after_s=given.get('seconds', 10),
        then_set_mib=given.get('then_set_mib', 8), then_rate_mib_s=given.get('then_mib_s', 0))


def _qmp(domain: typing.Any, command: str) -> str:
    return str(libvirt_qemu.qemuMonitorCommand(domain, command, 0))


@dataclasses.dataclass
class _Seen:
    """What one run saw."""

    decisions: list[record.Decision] = dataclasses.field(default_factory=list)
    applied: list[tuple[float, remedies.Action]] = dataclasses.field(default_factory=list)
    etas: list[run_module.Eta] = dataclasses.field(default_factory=list)
    slowed_s: float = 0.0
    last: samples.Sample | None = None
    post_copy_s: float | None = None


class Ride:
    """One migration under a pilot."""

    def __init__(self, guest: lab_domain.LabDomain, start: engines.Start) -> None:
        self._guest = guest
        self._start = start
        self._hands = guest_mod.MigratingGuest(lambda: guest.domain, _qmp)
        self._seen = _Seen()

    def run(self, until_s: float) -> tuple[lab_domain.Migration, _Seen]:
        """Migrate from n1 to n2; who ends nothing is stopped after that many seconds."""
        start = self._start
        flags = 0
        params: dict[str, typing.Any] = {}
        if start.bandwidth_mib_s:
            shared = max(1, len(self._guest.disks_mib)) if start.disk_cap_shared else 1
            params['bandwidth'] = max(1, start.bandwidth_mib_s // shared)
        if start.auto_converge:
            flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
            params['auto_converge.initial'] = start.throttle_initial
            params['auto_converge.increment'] = start.throttle_increment
            if start.throttle_highest == 1:
                self._hands.hold_throttle()
            elif start.throttle_highest == start.throttle_initial:
                self._hands.set_throttle(start.throttle_initial)
        if start.post_copy:
            flags |= libvirt.VIR_MIGRATE_POSTCOPY
        self._hands.set_max_downtime(start.limit_ms)
        migration = self._guest.migrate('n2', flags=flags, params=params)
        self._watch(migration, until_s)
        migration.wait()
        return migration, self._seen

    def _watch(self, migration: lab_domain.Migration, until_s: float) -> None:
        next_s, seen_passes, whole = 0.0, 0, not self._guest.disks_mib
        while migration.running:
            now_s = time.monotonic() - migration.began_s
            passes = len(migration.iterations)
            synced = self._start.boundaries and passes > seen_passes
            if not synced and now_s < next_s:
                # The pilots' own ticks are what is waited for here.
                time.sleep(LOOK_S)
                continue
            seen_passes, next_s = passes, now_s + self._start.tick_s
            sample = self._sample(migration, synced)
            if sample is None:
                continue
            if not whole and sample.memory_total_bytes and self._start.disk_cap_shared:
                whole = True
                self._hands.set_bandwidth(self._start.bandwidth_mib_s)
            self._look(sample, synced, migration)
            if now_s > until_s and self._seen.post_copy_s is None:
                with contextlib.suppress(exception.GuestError):
                    self._hands.abort()
                return

    def _sample(self, migration: lab_domain.Migration, synced: bool) -> samples.Sample | None:
        try:
            stats = self._hands.job_stats()
        except exception.GuestError:
            return None
        if not stats:
            return None
        sample = samples.Sample.from_stats(
            time.monotonic() - migration.began_s, stats, boundary=synced,
            post_copy=self._seen.post_copy_s is not None)
        last = self._seen.last
        if last is not None:
            self._seen.slowed_s += (sample.at_s - last.at_s) * (last.throttle_percent or 0) / 100
        self._seen.last = sample
        return sample

    def _look(self, sample: samples.Sample, synced: bool,
              migration: lab_domain.Migration) -> None:
        pilot, seen = self._start.pilot, self._seen
        decision = pilot.observe(sample)
        forecast = pilot.forecast
        number = len(migration.iterations) - 2
        if synced and forecast is not None and number >= 0:
            seen.etas.append(run_module.Eta(
                sample.at_s, number, forecast.eta_s if forecast.converges else None,
                len(seen.applied)))
        if decision is None:
            return
        seen.decisions.append(decision)
        for action in decision.actions:
            now_s = time.monotonic() - migration.began_s
            try:
                if isinstance(action, remedies.SetBandwidth) and not sample.memory_total_bytes:
                    self._hands.set_disk_bandwidth(action.mib_s)
                self._hands.apply(action)
            except exception.GuestError as error:
                pilot.failed(action, now_s, str(error))
                return
            seen.applied.append((now_s, action))
            if isinstance(action, remedies.StartPostCopy):
                seen.post_copy_s = now_s
            pilot.applied(action, now_s)


def _measured(guest: lab_domain.LabDomain) -> float | None:
    """What the guest dirties in a second, as nova-compute has it measured before it starts."""
    hands = guest_mod.MigratingGuest(lambda: guest.domain)
    if guest.guest.memory_mib < LEAST_MEASURED_MIB:
        return None
    hands.start_measuring()
    [found] = lab_domain.wait_until(
        lambda: [value for value in [hands.measured()] if value is not None],
        what='QEMU to have measured')
    return float(found / MIB)


def ride(lab: hosts.Hosts, workload: workloads.Workload,
         begin: abc.Callable[[engines.Task], engines.Start]) -> run_module.Run:
    """Boot the guest, migrate it under a pilot, and tell how it went as the model does.

    :param begin: the engine, which is told what was measured of the guest
    :raises LabError: if the guest does not live where it should
    """
    guest = lab_domain.LabDomain(
        lab, 'guest', guest_for(workload.given),
        disks_mib=(workload.task.disk_mib,) if workload.task.disk_mib else ())
    lab.shape('n1', rate_mib_s=workload.setup.link_mib_s)
    try:
        guest.boot()
        with guest.recorder() as beats:
            beats.wait_for_beats(FIRST_BEATS)
            start = begin(dataclasses.replace(
                workload.task, dirtied_mib=_measured(guest)))
            deadline_s = workload.task.deadline_s
            migration, seen = Ride(guest, start).run(
                PATIENCE_S + (FOREVER_S if deadline_s is None else deadline_s))
            log = 0 if migration.error else 1
            if not beats.wait_for_beats(10, log):
                raise needs.LabError(f'{workload.name}: no beat on {guest.host.name}')
            return _outcome(migration, seen, beats)
    finally:
        guest.destroy()
        lab.shape('n1')


def _outcome(migration: lab_domain.Migration, seen: _Seen, beats: heartbeat.Recorder
             ) -> run_module.Run:
    assert migration.ended_s is not None
    seconds = migration.ended_s - migration.began_s
    arrived = migration.error is None
    blackout_ms = beats.blackout_ms if arrived else None
    if any(isinstance(one, remedies.Pause) for _, one in seen.applied) and arrived:
        # The last beat on the source was before the pause.
        blackout_ms = max(blackout_ms or 0.0, beats.longest_gap_ms(migration.began_s))
    # Nobody sees what a guest waits for in post-copy; the model takes half of that time.
    waited_s = (seconds - seen.post_copy_s) / 2 if seen.post_copy_s and arrived else 0.0
    stats = migration.completed or {}
    last = seen.last
    memory = stats.get('memory_processed') or (last.memory_processed_bytes if last else 0) or 0
    disk = stats.get('disk_processed') or (last.disk_processed_bytes if last else 0) or 0
    return run_module.Run(
        'completed' if arrived else 'aborted', seconds, blackout_ms, memory,
        tuple(seen.decisions), tuple(seen.applied), len(migration.iterations), None,
        memory + disk, seen.slowed_s + (blackout_ms or 0) / 1000 + waited_s, tuple(seen.etas))


def engine_of(name: str, workload: workloads.Workload, known: abc.Mapping[str, engines.Engine]
              ) -> tuple[engines.Engine, str] | None:
    """An engine, and what the oracle takes; its plan is found on the model, if there is one."""
    if name != oracle.NAME:
        return known[name], ''
    best = oracle.best(workload)
    if best is None:
        return None
    plan = best[0]
    return (lambda task: oracle.start(task, plan)), oracle.took(plan, workload.task.policy)


def play(work: pathlib.Path, cases: abc.Sequence[workloads.Workload], names: abc.Sequence[str],
         seed: int, known: abc.Mapping[str, engines.Engine],
         say: abc.Callable[[str], None]) -> list[result.Result]:
    """Run all engines on all guests, one migration at a time."""
    results = []
    for one in cases:
        guest_for(one.given)        # what cannot be done is said before anything starts
    with hosts.Hosts(work) as lab:
        # The first migration between new hosts starts a second later than any other.
        ride(lab, cases[0], engines.ours)
        for case in cases:
            for name in names:
                begun = engine_of(name, case, known)
                if begun is None:
                    continue
                found = dataclasses.replace(result.result(
                    case.name, name, seed, case.task, ride(lab, case, begun[0])), plan=begun[1])
                results.append(found)
                say(f'{case.name:20} {name:15} {found.end:9} {found.way:13} '
                    f'{found.seconds:6.1f} s')
    return results


def versions() -> dict[str, str]:
    """What the hosts run: this machine's own QEMU and libvirt."""
    connection = libvirt.open('test:///default')
    try:
        number = connection.getLibVersion()
    finally:
        connection.close()
    qemu = subprocess.run(('qemu-system-x86_64', '--version'), capture_output=True, text=True,
                          check=True, timeout=10).stdout.split()[3]
    return {'libvirt': f'{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}',
            'qemu': qemu}
