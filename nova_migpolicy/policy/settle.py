# SPDX-License-Identifier: Apache-2.0
"""Settle contradictions between the values of different keys, after all sources are merged.

The promise to the server wins over where to start, and the ceiling wins over the start rate.
Contradictions between sources for the same key do not exist: the stronger source has won
already, in ``policy.resolve``. The limits of a certain libvirt or QEMU are not known here.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.policy import keys


@dataclasses.dataclass(frozen=True)
class Field:
    """The value of one key while sources are merged.

    :ivar level: the strength of its source.
    :ivar explicit: whether the source named this very key, not a profile that has it.
    :ivar before: of a value from an image, the field as it was without the image.
    :ivar asked: of a settled value, the one that the source had asked for.
    """

    value: keys.Value
    origin: str
    level: int
    explicit: bool
    before: Field | None = None
    asked: keys.Value | None = None


Fields = dict[str, Field]
Complaint = tuple[str, int, str]


def settle(fields: Fields) -> list[Complaint]:
    """Change ``fields`` until they fit together.

    Return key, level and reason of each change that a source would not expect: where it named
    the key itself and was not overruled by a stronger source.
    """
    complaints: list[Complaint] = []
    for rule in (_initial_downtime, _start_rate):
        complaints.extend(rule(fields))
    return complaints


def _number(fields: Fields, name: str) -> int:
    value = fields[name].value
    return value if isinstance(value, int) else 0


def _yield_to(fields: Fields, name: str, value: keys.Value, winner: str,
              reason: str) -> abc.Iterator[Complaint]:
    loser = fields[name]
    fields[name] = dataclasses.replace(
        loser, value=value, asked=loser.value, origin=f'{loser.origin}, limited by {winner}')
    if loser.explicit and loser.level >= fields[winner].level:
        yield name, loser.level, reason


def _initial_downtime(fields: Fields) -> abc.Iterator[Complaint]:
    promise = _number(fields, 'max_downtime_ms')
    if _number(fields, 'initial_downtime_ms') > promise:
        yield from _yield_to(
            fields, 'initial_downtime_ms', promise, 'max_downtime_ms',
            f'above max_downtime_ms, which is {promise} ({fields["max_downtime_ms"].origin})')


def _start_rate(fields: Fields) -> abc.Iterator[Complaint]:
    ceiling, rate = _number(fields, 'max_bandwidth_mib_s'), _number(fields, 'bandwidth_mib_s')
    if ceiling and (rate > ceiling or not rate):
        yield from _yield_to(
            fields, 'bandwidth_mib_s', ceiling, 'max_bandwidth_mib_s',
            f'{"above" if rate else "no cap is above"} max_bandwidth_mib_s, which is {ceiling} '
            f'({fields["max_bandwidth_mib_s"].origin})')
