# SPDX-License-Identifier: Apache-2.0
"""A real migration's journal as a guest to simulate, as the engine would have learnt to know it.

The samples go through the engine's own observer, so the guest is the curve that fits its passes
best. It is not a replay: the guest's behaviour between the passes, and the operators' orders, are
not in it. The format is that of `monitor.journal`; no value in it is trusted.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import math
import typing

from nova_migpolicy.cmd.simulate import guest_options
from nova_migpolicy.cmd.simulate import inputs
from nova_migpolicy.cmd.simulate import patterns
from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import state as state_mod
from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy import vocabulary

MIB = record.MIB
FIELD = '--journal'
Record = abc.Mapping[str, typing.Any]
# A counter of a real migration stays below this.
_MOST = 1 << 62


@dataclasses.dataclass(frozen=True)
class Recording:
    """The contents of a journal.

    :ivar guest: it writes like the recorded one.
    :ivar link_mib_s: the rate of the link; None where the journal does not tell.
    :ivar link_was_known: whether the engine knew it at the start.
    :ivar notes: the differences from the record, in sentences.
    """

    guest: guest_options.Guest
    policy: keys.Policy
    disk_mib: int
    link_mib_s: float | None
    link_was_known: bool
    notes: tuple[str, ...]


def read(path: str) -> Recording:
    """Read a journal.

    :raises inputs.BadInput: if it is none, or tells too little.
    """
    records = list(inputs.json_lines(FIELD, path))
    start = next((one for one in records if one.get('kind') == vocabulary.START), None)
    if start is None:
        raise inputs.BadInput(FIELD, path, (
            'it has no record of a start, so it is not a journal of a migration'))
    facts = start.get('facts')
    if not isinstance(facts, dict):
        raise inputs.BadInput(FIELD, path, (
            'its start has no facts: the migration was over before it was watched'))
    memory_mib = int(inputs.MEMORY_MIB.read(
        f'{FIELD} {path}, memory in MiB', (_count(facts.get('memory_bytes')) or 0) >> 20))
    notes: list[str] = []
    policy = _policy(path, start.get('policy'), notes)
    seen = _look(records, policy, facts)
    guest = dataclasses.replace(
        _guest(path, seen, memory_mib, policy, records, notes),
        measured=_count(facts.get('dirtied_bytes')) is not None)
    known = _rate(facts.get('link_mib_s')) or _rate(facts.get('switchover_mib_s'))
    rates = [_rate(one.get('seen_mib_s')) for one in records if one.get('kind') == vocabulary.LINK]
    if any(one.get('kind') == vocabulary.RETUNE for one in records):
        notes.append('The operator retuned this migration; that is not repeated here.')
    return Recording(
        guest, policy, min((_count(facts.get('disk_bytes')) or 0) >> 20,
                           int(inputs.DISK_MIB.maximum)),
        known or (rates[-1] if rates else None), known is not None, tuple(notes))


def _count(value: object) -> int | None:
    """Return a whole number of bytes or pages; None for anything else."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < _MOST else None  # type: ignore[operator,return-value]


def _rate(value: object) -> float | None:
    """Return a rate in MiB/s; None for anything else."""
    return None if inputs.LINK_MIB_S.trouble(value) else float(str(value))


def _policy(path: str, found: object, notes: list[str]) -> keys.Policy:
    """Read the recorded policy without keys of other releases and values that are junk."""
    if not isinstance(found, dict):
        raise inputs.BadInput(FIELD, path, 'its start has no policy')
    values: dict[str, typing.Any] = {}
    for name, given in found.items():
        try:
            values[name] = keys.find(name).parse(given)
        except exception.PolicyError as error:
            notes.append(f'One value of the recorded policy is not used: {error}.')
    return keys.Policy(**values)


def _look(records: abc.Iterable[Record], policy: keys.Policy,
          facts: abc.Mapping[str, typing.Any]) -> observer.Observation:
    """Show the engine's observer the samples, and the actions between them."""
    known = record.Facts(
        memory_bytes=_count(facts.get('memory_bytes')) or 0,
        disk_bytes=_count(facts.get('disk_bytes')) or 0, started_s=0.0,
        link_mib_s=_rate(facts.get('link_mib_s')),
        switchover_mib_s=_rate(facts.get('switchover_mib_s')),
        qemu_limit_ms=_count(facts.get('qemu_limit_ms')) or 300,
        bandwidth_mib_s=_count(facts.get('bandwidth_mib_s')) or 0)
    state, follower = state_mod.State(policy, known), observer.Observer(known)
    for one in records:
        at_s = one.get('at')
        if isinstance(at_s, bool) or not isinstance(at_s, (int, float)) or not (
                math.isfinite(at_s)):
            continue
        if one.get('kind') == vocabulary.SAMPLE:
            follower.observe(_sample(at_s, one), state)
        elif one.get('kind') == vocabulary.ACTION and one.get('done') is True:
            action = _action(one)
            if action is not None:
                state.applied(action, at_s)
    return follower.now


def _sample(at_s: float, found: Record) -> samples.Sample:
    counts = {field.name: _count(found.get(field.name))
              for field in dataclasses.fields(samples.Sample)
              if field.name not in ('at_s', 'took_s', 'moved_s', 'moved_bytes', 'boundary',
                                    'post_copy', 'xbzrle')}
    xbzrle = found.get('xbzrle')
    return samples.Sample(at_s=at_s, took_s=_rate(found.get('took_s')) or 0.0,
                          moved_s=_rate(found.get('moved_s')) or 0.0,
                          moved_bytes=_count(found.get('moved_bytes')) or 0,
                          boundary=found.get('boundary') is True,
                          post_copy=found.get('post_copy') is True,
                          xbzrle=xbzrle if isinstance(xbzrle, bool) else None, **counts)


def _action(found: Record) -> remedies.Action | None:
    """Return the action, if the observer has to know it."""
    name = found.get('action')
    mib_s, limit_ms = _count(found.get('mib_s')), _count(found.get('limit_ms'))
    if name == remedies.SetBandwidth.name and mib_s is not None:
        return remedies.SetBandwidth(mib_s)
    if name == remedies.SetMaxDowntime.name and limit_ms is not None:
        return remedies.SetMaxDowntime(limit_ms, _count(found.get('promised_ms')) or limit_ms)
    ends = (remedies.StartPostCopy(), remedies.Pause(), remedies.Abort())
    return next((one for one in ends if one.name == name), None)


def _guest(path: str, seen: observer.Observation, memory_mib: int, policy: keys.Policy,
           records: abc.Iterable[Record], notes: list[str]) -> guest_options.Guest:
    """Make a guest that writes like the recorded one."""
    found = _curve(seen.passes)
    if found is None:
        done = any(one.get('kind') == vocabulary.END and one.get('outcome') == 'completed'
                   for one in records)
        if not done or seen.sample is None:
            raise inputs.BadInput(FIELD, path, (
                'it has no complete copy of the memory, so it does not show how the guest '
                'writes; describe the guest with --memory-mib and the options beside it'))
        notes.append('It was over with the first copy of the memory, so the guest counts as '
                     'one that writes nothing.')
        curve = dirtying.Curve(0.0, 0.0)
    else:
        curve, saturated = found
        if saturated:
            notes.append('Each pass saw the whole set dirty again, so the rate at which the '
                         'guest writes is a guess.')
    set_mib = min(curve.set_bytes / MIB, float(memory_mib))
    rate_mib_s = min(curve.rate / MIB, inputs.WRITE_MIB_S.maximum)
    load = guests.Workload(memory_mib, zero_mib=_untouched_mib(seen, policy, memory_mib, set_mib))
    pattern = 'idle'
    if set_mib > 0 and rate_mib_s > 0:
        pattern = 'sweep' if curve.sweep else 'uniform'
        load = dataclasses.replace(load, writers=(
            (guests.Stretch(guests.FOR_EVER, rate_mib_s, set_mib, sweep=curve.sweep),),))
    return guest_options.Guest(pattern, load, patterns.writes(
        set_mib, rate_mib_s if set_mib > 0 else 0.0, curve.sweep))


def _curve(seen: abc.Sequence[passes_mod.Pass]) -> tuple[dirtying.Curve, bool] | None:
    """Return the engine's best curve, and whether its rate is a guess; None before a pass is over.

    The engine goes by the last few passes, since it steers by the present. Here passes of each
    length count alike, the newest of each, so that many short ones do not hide the size of the
    set that the long ones saw.
    """
    if not seen:
        return None
    size = max(1, seen[0].dirtied_bytes, *(one.end_bytes for one in seen if one.number > 0))
    newest: dict[int, dirtying.Point] = {}
    for one in seen:
        point = dirtying.point(one, size)
        if point is not None:
            length = round(2 * math.log2(point.seconds))
            newest.pop(length, None)
            newest[length] = point
    points = list(newest.values()) or [
        dirtying.Point(max(seen[-1].duration_s, 0.02), seen[-1].end_bytes)]
    curve, guess = dirtying.fit(points)
    return curve.holding(seen[-1].end_bytes), guess


def _untouched_mib(seen: observer.Observation, policy: keys.Policy, memory_mib: int,
                   set_mib: float) -> int:
    """Return the memory that cost nothing to send in the first copy, as pages of zeros do."""
    bulk = next((one for one in seen.passes if one.number == 0), None)
    if bulk is None or policy.compression != 'none':
        return 0
    free_mib = max(0, bulk.sent_bytes - bulk.wire_bytes) // MIB
    return max(0, min(free_mib, memory_mib - math.ceil(set_mib)))
