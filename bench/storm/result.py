# SPDX-License-Identifier: Apache-2.0
"""From what was seen of a storm to its figures. Pure; times are seconds from the first request."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import statistics
from typing import Any

from bench.storm import plan

WAITING, COPYING, SWITCHOVER, FINISHING = 'waiting', 'copying', 'switchover', 'finishing'


@dataclasses.dataclass(frozen=True)
class Move:
    """One migration as it was seen.

    :param flowed_s: libvirt's job began at the source; None if none was seen
    :param left_s: the guest's last beat at the source before it beat at the destination
    :param came_s: its first one there
    :param ended_s: libvirt's job was gone from the source
    :param settled_s: Nova had its last word for the migration
    :param sent_bytes: of memory, as QEMU counts them, pages and their headers
    :param outcome: Nova's last word
    :param overdue: the bench cancelled it, at its timeout
    :param homes: the hosts where libvirt runs the guest in the end
    :param why: what ours, or else Nova, said at last, where it has not arrived
    """

    name: str
    load: str
    source: str
    memory_mib: int
    ideal_bytes: int
    asked_s: float
    flowed_s: float | None = None
    left_s: float | None = None
    came_s: float | None = None
    blackout_ms: float | None = None
    least_blackout_ms: float | None = None
    ended_s: float | None = None
    settled_s: float | None = None
    sent_bytes: int = 0
    outcome: str = ''
    overdue: bool = False
    homes: tuple[str, ...] = ()
    why: str = ''

    @property
    def has_arrived(self) -> bool:
        """Whether Nova, libvirt and the guest say so."""
        return (self.outcome == 'completed' and self.homes == (plan.DESTINATION,)
                and self.came_s is not None)

    @property
    def over_s(self) -> float | None:
        """When it was over: for libvirt, or for Nova where libvirt had no part in it."""
        return self.ended_s if self.ended_s is not None else self.settled_s

    def spans(self) -> list[tuple[str, float, float]]:
        """Return what it did, each from and to, in order.

        It waits, being prepared included, until its data flows, copies until the guest's last
        beat at the source, is in the switchover until the first one at the destination, and
        finishes until libvirt is done. One that did not arrive waits and copies alone.
        """
        end_s = self.over_s
        if end_s is None:
            return []
        if self.flowed_s is None:
            return [(WAITING, self.asked_s, end_s)]
        if self.left_s is None or self.came_s is None:
            times = [self.asked_s, self.flowed_s, end_s]
        else:
            times = [self.asked_s, self.flowed_s, self.left_s, self.came_s,
                     max(end_s, self.came_s)]
        return [(what, times[number], times[number + 1]) for number, what in enumerate(
            (WAITING, COPYING, SWITCHOVER, FINISHING)[:len(times) - 1])]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {key: round(value, 3) if isinstance(value, float) else value
                 for key, value in dataclasses.asdict(self).items()}
        return {**found, 'homes': list(self.homes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Move:
        """The move of `to_dict`."""
        return cls(**{**values, 'homes': tuple(values['homes'])})


@dataclasses.dataclass(frozen=True)
class Storm:
    """All migrations under one configuration.

    :param incoming: when so many were coming to the destination from then on, by libvirt
    :param most_outgoing: the most jobs at once that each source's libvirt had
    :param timeout_s: after which the bench cancelled what was left
    """

    config: str
    set_to: str
    limit: int
    moves: tuple[Move, ...]
    incoming: tuple[tuple[float, int], ...]
    most_outgoing: dict[str, int]
    timeout_s: float
    ideal_s: float

    @property
    def arrived(self) -> list[Move]:
        """Those that have arrived."""
        return [one for one in self.moves if one.has_arrived]

    @property
    def most_incoming(self) -> int:
        """The most that came to the destination at once."""
        return max((count for _, count in self.incoming), default=0)

    @property
    def is_within(self) -> bool:
        """Whether the limit was never exceeded."""
        return self.most_incoming <= self.limit

    @property
    def makespan_s(self) -> float:
        """From the first request until the last one was over, whatever came of it."""
        return max((one.over_s or self.timeout_s for one in self.moves), default=0.0)

    @property
    def flowing_s(self) -> float:
        """The part of it from the moment on when the first one's data flowed."""
        first_s = min((one.flowed_s for one in self.moves if one.flowed_s is not None),
                      default=self.makespan_s)
        return self.makespan_s - first_s

    @property
    def share(self) -> float:
        """How many times longer that is than each filled page once over the link."""
        return self.makespan_s / self.ideal_s

    @property
    def is_overdue(self) -> bool:
        """Whether some were cancelled at the timeout: the makespan is then no less than that."""
        return any(one.overdue for one in self.moves)

    def blackouts_ms(self) -> list[float]:
        """Return those of the guests that have arrived, the shortest first."""
        return sorted(one.blackout_ms for one in self.arrived if one.blackout_ms is not None)

    @property
    def sent_bytes(self) -> int:
        """All that was sent of memory."""
        return sum(one.sent_bytes for one in self.moves)

    @property
    def resent_bytes(self) -> int:
        """What was sent beside one copy of each guest that has arrived: again, or in vain."""
        return self.sent_bytes - sum(one.ideal_bytes for one in self.arrived)

    def outcomes(self) -> dict[str, int]:
        """Return what came of those that have not arrived, and of how many."""
        found: dict[str, int] = {}
        for one in self.moves:
            if not one.has_arrived:
                word = 'at the timeout' if one.overdue else one.outcome or 'nothing'
                if one.outcome == 'completed':
                    word = f'completed, but runs on {" and ".join(one.homes) or "no host"}'
                found[word] = found.get(word, 0) + 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the figures."""
        blackouts = self.blackouts_ms()
        return {
            'config': self.config, 'set_to': self.set_to, 'limit': self.limit,
            'moves': [one.to_dict() for one in self.moves],
            'incoming': [[round(at_s, 3), count] for at_s, count in self.incoming],
            'most_outgoing': self.most_outgoing, 'timeout_s': self.timeout_s,
            'ideal_s': round(self.ideal_s, 3),
            'figures': {
                'arrived': len(self.arrived), 'of': len(self.moves),
                'others': self.outcomes(), 'makespan_s': round(self.makespan_s, 2),
                'flowing_s': round(self.flowing_s, 2),
                'makespan_by_ideal': round(self.share, 3), 'overdue': self.is_overdue,
                'blackout_p50_ms': _rounded(statistics.median(blackouts) if blackouts else None),
                'blackout_max_ms': _rounded(blackouts[-1] if blackouts else None),
                'most_incoming': self.most_incoming, 'within_limit': self.is_within,
                'sent_mib': _rounded(self.sent_bytes / plan.MIB),
                'resent_mib': _rounded(self.resent_bytes / plan.MIB)}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Storm:
        """The storm of `to_dict`."""
        return cls(**{
            **{key: value for key, value in values.items() if key != 'figures'},
            'moves': tuple(Move.from_dict(one) for one in values['moves']),
            'incoming': tuple((at_s, count) for at_s, count in values['incoming'])})


def counted(changes: Iterable[tuple[float, str, bool]]) -> tuple[tuple[float, int], ...]:
    """Return how many were coming, from when on.

    :param changes: when, which, and whether it began to come (or else came or went)
    """
    coming: set[str] = set()
    found = [(0.0, 0)]
    for at_s, which, begins in changes:
        if begins:
            coming.add(which)
        else:
            coming.discard(which)
        if len(coming) != found[-1][1]:
            found.append((at_s, len(coming)))
    return tuple(found)


HEAD = ('configuration', 'arrived', 'makespan s', '÷ ideal', 'flowing s', 'p50 ms', 'max ms',
        'at once', 'sent MiB', 'again MiB')


def cells(storm: Storm) -> tuple[str, ...]:
    """A row of the table, as HEAD names its columns."""
    blackouts = storm.blackouts_ms()
    least = '> ' if storm.is_overdue else ''
    mark = '' if storm.is_within else ' EXCEEDED'
    return (storm.config, f'{len(storm.arrived)} of {len(storm.moves)}',
            f'{least}{storm.makespan_s:.1f}', f'{least}{storm.share:.2f}',
            f'{storm.flowing_s:.1f}',
            f'{statistics.median(blackouts):.0f}' if blackouts else '-',
            f'{blackouts[-1]:.0f}' if blackouts else '-',
            f'{storm.most_incoming} of {storm.limit}{mark}',
            f'{storm.sent_bytes / plan.MIB:.0f}', f'{storm.resent_bytes / plan.MIB:.0f}')


def told(storms: Sequence[Storm]) -> list[str]:
    """What does not fit into the table: what was set, and who has not arrived."""
    found = []
    for one in storms:
        others = ', '.join(f'{count} {word}' for word, count in one.outcomes().items())
        found.append(f'{one.config}: {one.set_to}{"; not arrived: " if others else ""}{others}')
        found += [f'  {move.name}: {move.why}' for move in one.moves if move.why]
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
