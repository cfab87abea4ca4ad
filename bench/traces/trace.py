# SPDX-License-Identifier: Apache-2.0
"""The form of a recorded migration, and how two recordings of one scenario differ; pure.

A trace is one JSON object. Times (`..._s`) are seconds from the first moment of the call that
migrates; libvirt prepares for 0.5 s and more before QEMU starts, which is the first sync. Sizes
without a unit are bytes, `bps` bytes per second, `normal` and `constant` pages of 4 KiB,
`dirty_pages_s` pages per second. What libvirt did not tell is null.

    about, versions
    guest       the fields of lab.guests.Guest
    start       settings; guest_age_s: what the guest's own clock says then; written_mib_s: to the
                disk while it was mirrored, as it was in fact. from_s, to_s of silent: from when
                the link lost all, until something moved again; of beside: when another guest was
                sent over the same link
    actions     what was done, after which event, and when that call had returned
    syncs       one for each MIGRATION_ITERATION event: at_s when it came, read_at_s when the
                statistics had been read. The event comes some ms after the sync, and QEMU sends a
                burst of up to 0.1 s of the cap at once: `remaining` may be that much too low. The
                last sync of a pre-copy is the one with the guest stopped. QEMU does not answer
                during the switchover: read_at_s of the last sync, at times of the one before as
                well, and the statistics there, are those of its end (more than LATE_S later)
    ticks       the same at each second, and the disks' counters if there are disks
    marks       the guest's counters, once a second by its own clock: beats of 10 ms (a throttled
                guest loses some) and pages written (a page twice counts twice), modulo 2^32
    end         from libvirt's last statistics, or of an abort from the last that were seen; but
                blackout_ms is from the guest's heartbeat. switchover_bytes: sent after the last
                sync but one, at which QEMU decided to stop the guest; divided by downtime_ms,
                which has other things in it too, they tell the least that the link can do; null
                where that sync's statistics came too late. In post-copy: sent since the sync
                before the guest went
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import itertools
import json
from typing import Any

from bench.traces import scenarios

Trace = dict[str, Any]
_SAMPLE = {'remaining': 'memory_remaining', 'processed': 'memory_processed',
           'normal': 'memory_normal', 'constant': 'memory_constant',
           'dirty_pages_s': 'memory_dirty_rate', 'throttle_percent': 'auto_converge_throttle',
           'bps': 'memory_bps'}
_DISKS = {name: name for name in ('disk_total', 'disk_remaining', 'disk_processed')}
_END = {'memory_total': 'memory_total', 'memory_processed': 'memory_processed',
        'normal': 'memory_normal', 'constant': 'memory_constant', 'downtime_ms': 'downtime',
        'setup_ms': 'setup_time', 'iteration': 'memory_iteration',
        'throttle_percent': 'auto_converge_throttle'}
#: statistics that were read later than this after their event, in seconds, tell of a later moment
LATE_S = 0.05
KEYS = ('about', 'versions', 'guest', 'start', 'actions', 'syncs', 'ticks', 'marks', 'end')


def version(number: int) -> str:
    """Return a version in libvirt's way of counting, 7002000, as people write it."""
    return f'{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}'


def sample(stats: Mapping[str, Any], disks: bool = False) -> dict[str, Any]:
    """Return what a trace keeps of job statistics."""
    return {name: stats.get(key) for name, key in (_SAMPLE | (_DISKS if disks else {})).items()}


def start(scenario: scenarios.Scenario, guest_age_s: float, *, written_mib_s: float = 0.0,
          silent: Mapping[str, float] | None = None, beside: Mapping[str, float] | None = None
          ) -> dict[str, Any]:
    """Return how a scenario's migration is started, and what it meets."""
    return {'bandwidth_mib_s': scenario.cap_mib_s, 'limit_ms': scenario.limit_ms,
            'auto_converge': scenario.auto_converge,
            'throttle_initial': scenario.throttle_initial,
            'throttle_increment': scenario.throttle_increment, 'post_copy': scenario.post_copy,
            'switchover_mib_s': scenario.switchover_mib_s, 'link_mib_s': scenario.link_mib_s,
            'disks_mib': list(scenario.disks_mib), 'guest_age_s': round(guest_age_s, 3),
            'written_mib_s': round(written_mib_s, 1), 'silent': silent, 'beside': beside}


def end(stats: Mapping[str, Any], outcome: str, total_s: float, blackout_ms: float | None,
        syncs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how a migration ended.

    :param stats: libvirt's last
    :param syncs: QEMU tells no throttle at the end, so it is the highest at one of these
    """
    found = {name: stats.get(key) for name, key in _END.items()}
    if found['throttle_percent'] is None:
        found['throttle_percent'] = max((one['throttle_percent'] or 0 for one in syncs),
                                        default=0)
    switchover = None
    if outcome == 'aborted':
        found['downtime_ms'] = None     # what libvirt tells before the end is a forecast
    if outcome == 'completed' and len(syncs) > 1 and found['memory_processed'] is not None:
        decided = syncs[-2]
        if decided['processed'] is not None and decided['read_at_s'] - decided['at_s'] < LATE_S:
            switchover = found['memory_processed'] - decided['processed']
    return {'outcome': outcome, 'total_s': round(total_s, 3),
            'blackout_ms': None if blackout_ms is None else round(blackout_ms),
            'switchover_bytes': switchover, **found}


def guest(scenario: scenarios.Scenario) -> dict[str, Any]:
    """Return a scenario's guest as plain values."""
    return dataclasses.asdict(scenario.guest)


def dumps(trace: Trace) -> str:
    """Return a trace as JSON, a line for each sample."""
    def text(value: Any) -> str:
        if not isinstance(value, list) or not value:
            return json.dumps(value)
        return '[\n' + ',\n'.join(map(json.dumps, value)) + ']'

    return '{' + ',\n'.join(f'"{key}": {text(trace[key])}' for key in KEYS) + '}\n'


def passes(trace: Trace) -> list[float]:
    """Return how long each pass took, in seconds."""
    times = [one['at_s'] for one in trace['syncs']]
    return [after - before for before, after in itertools.pairwise(times)]


def summary(trace: Trace) -> dict[str, Any]:
    """Return the figures by which recordings of a scenario are compared."""
    last = trace['end']
    return {'outcome': last['outcome'], 'total_s': last['total_s'],
            'passes': len(passes(trace)), 'mib': round((last['memory_processed'] or 0) / 2**20, 1),
            'blackout_ms': last['blackout_ms'], 'throttle_percent': last['throttle_percent']}


def difference_percent(one: Trace, other: Trace) -> float:
    """Return by which share of their time the passes of two recordings differ in length."""
    first, second = passes(one), passes(other)
    if not first and not second:
        return 0.0
    apart = sum(abs(a - b) for a, b in itertools.zip_longest(first, second, fillvalue=0.0))
    return round(100 * apart / max(sum(first), sum(second)), 1)
