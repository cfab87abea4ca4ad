# SPDX-License-Identifier: Apache-2.0
"""Plays recorded migrations again on the model.

The model is told what was known of a recording before it began: the guest, how long it had been at
work, the settings, and the link. Three figures are the lab's own, from fits over all recordings:
the rate of a link that is not shaped, for pages that the destination has and for those that it has
to make, and what a switchover takes besides.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

from nova_migpolicy.engine import remedies
from nova_migpolicy.sim import disks
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy

TRACES = pathlib.Path(__file__).with_name('traces')
MIB = 1 << 20
KINDS = {kind.name: kind for kind in (
    remedies.SetBandwidth, remedies.SetMaxDowntime, remedies.SetThrottle, remedies.StartPostCopy,
    remedies.Pause, remedies.Abort)}
# Of a shaped link that is payload (see doc/source/lab.rst).
PAYLOAD = 0.96
UNSHAPED_MIB_S = 1066.0
FIRST_MIB_S = 340.0
OVERHEAD_S = 0.025
POST_COPY_OVERHEAD_S = 0.075
# By how many disks are mirrored: with one, a switchover took no longer than with none.
DISK_OVERHEAD_S = {0: 0.0, 1: 0.0, 2: 0.05}
# From an event to what follows it.
REACTION_S = 0.008
# The lab's guest is woken each 10 ms and makes up for 14 ms at most.
BUSY = 0.73
SYNC_EVERY_S = {'bookworm': None, 'trixie': 5.0}


@dataclasses.dataclass(frozen=True)
class Sync:
    """A sync of the dirty bitmap; at_s: seconds from the first one."""

    number: int
    at_s: float
    remaining_mib: float
    throttle_percent: int


@dataclasses.dataclass(frozen=True)
class Played:
    """A migration, real or on the model. seconds: until QEMU was done, from the first sync.

    The real one's last sync, with the guest stopped, is left out: the model has none.
    """

    end: str
    seconds: float
    sent_mib: float
    blackout_ms: float | None
    syncs: list[Sync]


def load_of(guest):
    """The model's guest for one of the lab's."""
    size, rate, memory = guest['set_mib'], guest['rate_mib_s'], guest['memory_mib']
    kind = guest['kind']
    if kind == 'idle':
        load = guests.idle(memory)
    elif kind == 'sweep':
        load = guests.sweep(memory, size, rate)
    elif kind == 'random':
        load = guests.uniform(memory, size, rate)
    elif kind == 'hotcold':
        load = guests.hot_cold(memory, guest['hot_mib'], size - guest['hot_mib'], rate,
                               guest['hot_share'])
    elif kind == 'bursts':
        load = guests.bursts(memory, size, rate, guest['on_ms'] / 1000, guest['off_ms'] / 1000)
    else:
        load = guests.phases(
            memory, guests.Stretch(guest['change_after_s'], rate, size),
            guests.Stretch(guests.FOR_EVER, guest['then_rate_mib_s'], guest['then_set_mib']))
    return dataclasses.replace(load, busy=BUSY, zero_mib=guest.get('untouched_mib', 0))


def names():
    """All recordings."""
    return sorted(path.stem for path in TRACES.glob('*.json'))


def read(name):
    """A recording as it is in its file."""
    return json.loads((TRACES / f'{name}.json').read_text())


def setup_of(trace):
    """The model's setup for a recording."""
    start = trace['start']
    link_mib_s = (start['link_mib_s'] or 0) * PAYLOAD or UNSHAPED_MIB_S
    silent, beside = (met_by(trace, name) for name in ('silent', 'beside'))
    return precopy.Setup(
        load_of(trace['guest']), cap_mib_s=start['bandwidth_mib_s'], link_mib_s=link_mib_s,
        outages=(silent,) if silent else (),
        link_steps=((0.0, link_mib_s / 2), (beside[1], link_mib_s)) if beside else (),
        disk_write_mib_s=start.get('written_mib_s', 0.0),
        first_mib_s=FIRST_MIB_S, limit_ms=start['limit_ms'],
        more_disks_mib=tuple(start['disks_mib']), disk_cap_shared=False,
        switchover_mib_s=start['switchover_mib_s'], auto_converge=start['auto_converge'],
        throttle_initial=start['throttle_initial'],
        throttle_increment=start['throttle_increment'],
        sync_every_s=SYNC_EVERY_S[trace['versions']['flavour']], overhead_s=OVERHEAD_S,
        post_copy_overhead_s=POST_COPY_OVERHEAD_S,
        disk_overhead_s=DISK_OVERHEAD_S[len(start['disks_mib'])],
        age_s=start['guest_age_s'] + trace['syncs'][0]['at_s'])


def met_by(trace, name):
    """From when and until when it met something, from its first sync; None for not at all."""
    found, first_s = trace['start'].get(name), trace['syncs'][0]['at_s']
    return (found['from_s'] - first_s, found['to_s'] - first_s) if found else None


def disks_left(trace):
    """What was left to copy of the disks at each look, and what the model has then, in MiB.

    From the first look on: libvirt prepares for a while before QEMU begins.
    """
    setup = setup_of(trace)
    looks = [(one['at_s'], one['disk_remaining'] / MIB) for one in trace['ticks']
             if one.get('disk_remaining')]
    mirrors = disks.Mirrors(setup.more_disks_mib, setup.disk_write_mib_s)
    pairs, (since_s, left) = [], looks[0]
    while mirrors.left_mib > left:
        _copy(mirrors, 0.01, setup)
    for at_s, left in looks[1:]:
        _copy(mirrors, at_s - since_s, setup)
        since_s = at_s
        pairs.append((left, mirrors.left_mib))
    return pairs


def _copy(mirrors, seconds, setup):
    while seconds > 0 and not mirrors.in_sync:
        step = min(seconds, mirrors.next_change_s(setup.link_mib_s, setup.cap_mib_s))
        mirrors.go_on(step, setup.link_mib_s, setup.cap_mib_s)
        seconds -= step


def on_model(trace):
    """Play a recording again, with its actions after the same syncs."""
    plant = precopy.Migration(setup_of(trace))
    due = [(one['iteration'], action_of(one)) for one in trace['actions']]
    syncs = []
    while not plant.over and plant.now_s < 300:
        # The sync that ends it is seen before the switchover that follows.
        if plant.advance(300) or plant.over:
            syncs.append(Sync(plant.syncs, plant.synced_s, plant.remaining / MIB,
                              plant.throttle))
        if due and due[0][0] <= plant.syncs and not plant.over:
            # QEMU has gone on before what follows an event reaches it.
            plant.advance(plant.now_s + REACTION_S)
        while due and due[0][0] <= plant.syncs and not plant.over:
            plant.apply(due.pop(0)[1])
    first = syncs[0].at_s
    return Played(plant.state, plant.now_s - first, plant.sent_bytes / MIB,
                  None if plant.blackout_s is None else 1000 * plant.blackout_s,
                  [dataclasses.replace(one, at_s=one.at_s - first) for one in syncs])


def action_of(one):
    """An action of a recording."""
    return KINDS[one['action']](**{key: value for key, value in one.items()
                                   if key not in ('iteration', 'at_s', 'action')})


def as_recorded(trace):
    """A recording as what it says happened."""
    first = trace['syncs'][0]['at_s']
    syncs = [Sync(one['iteration'], one['at_s'] - first, one['remaining'] / MIB,
                  one['throttle_percent'] or 0) for one in trace['syncs']]
    end = trace['end']
    seconds = end['total_s'] - first
    if end['outcome'] == 'completed' and not trace['start']['post_copy']:
        paused = any(one['action'] == 'pause' for one in trace['actions'])
        # What libvirt does after QEMU is done is not the model's.
        seconds = syncs[-1].at_s + (0 if paused else end['downtime_ms'] / 1000)
        syncs = syncs[:-1]
    return Played(end['outcome'], seconds, end['memory_processed'] / MIB, end['blackout_ms'],
                  syncs)
