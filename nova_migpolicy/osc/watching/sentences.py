# SPDX-License-Identifier: Apache-2.0
"""Describes a view of a migration, or a record of its timeline, in words.

Unknown facts are left out; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova_migpolicy.osc.watching import status as status_mod
from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

View = status_mod.View

#: Seconds from which on figures are old: watching makes the monitor look each second, and it
#: looks every five seconds in any case.
OLD_S = 5.0
# The fields that every record has, or that the sentence has already.
_FRAME = frozenset({'number', 'at', 'time', 'kind'})
# The figures of an action, with their units.
_UNITS = {'mib_s': 'MiB/s', 'limit_ms': "ms for QEMU's limit", 'promised_ms': 'ms promised',
          'percent': 'percent'}


def where(now: View) -> str:
    """Describe a migration's status in a line; unknown facts are left out."""
    parts = [f'{words.figure(now.percent)} %' if now.percent is not None else '',
             words.figure(now.bandwidth_mib_s, 'MiB/s'),
             f'pass {words.figure(now.pass_number)}' if now.pass_number else '',
             f'{words.figure(words.mib(now.remaining_bytes), "MiB")} left'
             if now.remaining_bytes is not None else '',
             eta(now), _blackout_in_short(now), deadline(now), news(now)]
    return ', '.join(part for part in parts if part)


def eta(now: View) -> str:
    """Describe the time of its end."""
    if now.converges is False:
        return 'does not converge as it is'
    latest_s = now.eta_low_s if now.eta_high_s is None else now.eta_high_s
    if latest_s is not None and latest_s < 1:
        return 'ends at any moment'
    if latest_s is None and now.converges and now.phase == vocabulary.PASSES:
        # In the passes there was one, which has gone by.
        return 'takes longer than expected'
    seconds = words.span(now.eta_low_s, now.eta_high_s)
    return f'ends in {seconds}' if seconds else ''


def news(now: View) -> str:
    """Describe the age of the figures, if they are old."""
    if now.phase not in vocabulary.MOVING or now.remaining_bytes is None:
        return ''
    if now.age_s is None:
        return 'figures of unknown age'
    return f'no news for {words.figure(now.age_s, "s")}' if now.age_s >= OLD_S else ''


def blackout(now: View) -> str:
    """Describe the expected and the promised blackout."""
    expected, promised = (words.figure(one, 'ms') for one in (now.blackout_ms, now.promised_ms))
    if not expected:
        return f'blackout {promised} at most' if promised else ''
    return f'blackout {expected} expected' + (f', {promised} promised' if promised else '')


def _blackout_in_short(now: View) -> str:
    if now.blackout_ms is None or now.promised_ms is None:
        return blackout(now)
    return f'blackout {words.figure(now.blackout_ms)} of {words.figure(now.promised_ms, "ms")}'


def deadline(now: View) -> str:
    """Describe the time to the deadline."""
    if now.deadline_in_s is None:
        return ''
    if now.deadline_in_s <= 0:
        return f'deadline passed {words.figure(-now.deadline_in_s, "s")} ago'
    missed = ', will miss it' if now.makes_deadline is False else ''
    return f'deadline in {words.figure(now.deadline_in_s, "s")}{missed}'


def ending(now: View) -> str:
    """Describe a migration's end in a line, with its final figures."""
    final = now.final
    took, down = (words.figure(final.get('total_seconds'), 's'),
                  words.figure(final.get('downtime_ms'), 'ms'))
    parts = [(now.outcome or now.status) + (f' after {took}' if took else ''),
             f'blackout {down}' if down else '',
             f'{words.figure(words.mib(sent(now)), "MiB")} sent' if sent(now) is not None else '']
    text = ', '.join(part for part in parts if part)
    return f'{text}: {now.reason}' if now.reason and now.outcome != vocabulary.COMPLETED else text


def sent(now: View) -> float | None:
    """Return the bytes that were sent, disks and memory, None if they are not known."""
    known = [amount for what in ('memory', 'disk')
             if (amount := words.number(now.final.get(f'{what}_sent_bytes'))) is not None]
    return sum(known) if known else None


def sentence(record: Mapping[str, Any]) -> str:
    """Write a record of the timeline as a sentence."""
    kind, get = record.get('kind'), record.get
    if kind == vocabulary.DECISION:
        return f'{words.text(get("rule"))}: {words.text(get("reason"))}'
    if kind == vocabulary.ACTION:
        done = 'done' if get('done') else f'refused: {words.text(get("error"))}'
        return f'{_action(record)}: {done}'
    if kind == vocabulary.RETUNE:
        released = words.text(get('released'))
        parts = [words.text(get('values')), f'released {released}' if released else '']
        return f'by the operator: {", ".join(part for part in parts if part)}'
    if kind == vocabulary.SAMPLE:
        return _sample(record)
    if kind == 'start':
        policy = get('policy')
        profile = policy.get('profile') if isinstance(policy, Mapping) else ''
        return f'to {words.text(get("destination"))}, profile {words.text(profile)}'
    said = get('text') or get('reason')
    if kind == 'end':
        return f'{words.text(get("outcome"))}: {words.text(said)}'
    return words.text(said or _rest(record))


def _rest(record: Mapping[str, Any], *skip: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in _FRAME | set(skip)}


def _action(record: Mapping[str, Any]) -> str:
    name = words.text(record.get('action')).replace('_', ' ')
    figures = [words.figure(value, _UNITS.get(figure, figure))
               for figure, value in _rest(record, 'action', 'done', 'error').items()]
    return f'{name} {", ".join(one for one in figures if one)}'.strip()


def _sample(record: Mapping[str, Any]) -> str:
    found = record.get('forecast')
    forecast = found if isinstance(found, Mapping) else {}
    left = [f'{words.figure(words.mib(amount), "MiB")} of {what} left'
            for what in ('disk', 'memory')
            if (amount := words.number(record.get(f'{what}_remaining_bytes'))) is not None]
    span = words.span(forecast.get('eta_low_s'), forecast.get('eta_high_s'))
    parts = [f'pass {words.figure(forecast.get("pass_number"))}'
             if forecast.get('pass_number') else '', *left,
             words.figure(words.mib(record.get('memory_rate_bytes_s')), 'MiB/s'),
             f'ends in {span}' if span else '']
    return ', '.join(part for part in parts if part)
