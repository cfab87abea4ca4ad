# SPDX-License-Identifier: Apache-2.0
"""Detect by the counters that nothing moves any more, and for how long.

Under any cap QEMU's counters of bytes on the wire move ten times a second; on a link that has died
they stop as soon as the socket's buffer is full, and nothing else shows it: a pass just does not
end. A link that lets a packet through now and then is as good as dead. Where QEMU scans pages that
need not be sent, or new passes begin, something moves although the wire does not. What is done
about it is not decided here.
"""

from __future__ import annotations

import collections
import dataclasses

from nova_migpolicy.engine import figures
from nova_migpolicy.engine import record
from nova_migpolicy.engine import samples

MIB = record.MIB
Phase = samples.Phase

# TCP tries again after as long as it has waited so far: over a link that was gone for 15 s it
# moves again within 30 s, and within two minutes where that was gone for one.
SAID_S = 30.0
ACTED_S = 120.0
# A disk that the destination has to fill with zeros first moves no counter in the meantime.
ACTED_DISKS_S = 600.0
# Less than this share of the recent rate on the wire, and of the cap, is a trickle. This many
# bytes/s are never a trickle, however high the recent rate.
TRICKLE = 0.05
NO_TRICKLE = float(MIB)
# Movement is looked for over this many seconds at least; the recent rate is that of this many such
# steps.
STEP_S = 4.0
STEPS = 12


@dataclasses.dataclass(frozen=True)
class _Mark:
    """The counters at a time, in bytes; None for what the statistics do not have."""

    at_s: float
    phase: Phase
    wire: int
    pages: int | None
    left: int


@dataclasses.dataclass(frozen=True)
class Standstill:
    """The time for which nothing has moved, as of a sample.

    moved: bytes on the wire in that time, a trickle. to_end_s: the seconds after which nothing is
    to be expected any more.
    """

    seconds: float = 0.0
    moved: int = 0
    to_end_s: float = ACTED_S

    @property
    def lasts(self) -> bool:
        """Whether it is long enough to be reported."""
        return self.seconds >= SAID_S

    @property
    def is_to_end(self) -> bool:
        """Whether it is long enough that nothing is to be expected any more."""
        return self.seconds >= self.to_end_s

    @property
    def sentence(self) -> str:
        """A sentence on what has not moved, and for how long; it begins in lower case."""
        what = f'only {figures.size(self.moved)} have' if self.moved else 'nothing has'
        return (f'{what} moved over the link to the destination for '
                f'{figures.span(self.seconds)}')


class Movement:
    """The movement of one migration, from sample to sample."""

    def __init__(self) -> None:
        self._now = Standstill()
        self._mark: _Mark | None = None
        self._still: _Mark | None = None    # since when it stands still
        # The pass that runs, and when it began.
        self._iteration: int | None = None
        self._began_s = 0.0
        self._rates: collections.deque[float] = collections.deque(maxlen=STEPS)

    def observe(self, sample: samples.Sample, phase: Phase, left: int | None,
                cap_mib_s: int) -> Standstill:
        """Take in a sample; returns the standstill as of then.

        :param left: bytes still to be sent; None when not known
        :param cap_mib_s: in force; 0 for none
        """
        now = _mark(sample, phase, left)
        if now is None:
            return self._now
        old = self._mark
        if self._goes_round(sample) or old is None or not now.left or _is_new(old, now):
            self._moves(now)
        elif now.at_s - old.at_s >= STEP_S:
            if self._has_moved(old, now, cap_mib_s):
                self._rates.append((now.wire - old.wire) / (now.at_s - old.at_s))
                self._moves(now)
            self._mark = now
        still = self._still or now
        self._now = Standstill(
            now.at_s - still.at_s, max(0, now.wire - still.wire),
            ACTED_DISKS_S if still.phase is Phase.DISKS else ACTED_S)
        return self._now

    def _moves(self, now: _Mark) -> None:
        self._mark = self._still = now

    def _goes_round(self, sample: samples.Sample) -> bool:
        """Whether a pass that took little time is over: then the link does not stand still."""
        if sample.iteration == self._iteration:
            return False
        took_s, self._began_s = sample.at_s - self._began_s, sample.at_s
        self._iteration = sample.iteration
        return took_s < SAID_S

    def _has_moved(self, old: _Mark, now: _Mark, cap_mib_s: int) -> bool:
        """Whether more than a trickle has moved from one to the other."""
        moved = max(now.wire - old.wire, (now.pages or 0) - (old.pages or 0),
                    old.left - now.left)
        lately = sum(self._rates) / len(self._rates) if self._rates else 0.0
        expected = min(lately, cap_mib_s * MIB) if cap_mib_s else lately
        return moved > min(TRICKLE * expected, NO_TRICKLE) * (now.at_s - old.at_s)


def _mark(sample: samples.Sample, phase: Phase, left: int | None) -> _Mark | None:
    """The counters of a sample; None where it has none, or nothing has begun."""
    wire = (sample.memory_processed_bytes or 0) + (sample.disk_processed_bytes or 0)
    known = (sample.memory_processed_bytes, sample.disk_processed_bytes) != (None, None)
    if not known or left is None or phase is Phase.SETUP or (phase is Phase.DISKS and not wire):
        return None
    return _Mark(sample.at_s, phase, wire, sample.memory_sent_bytes, left)


def _is_new(old: _Mark, now: _Mark) -> bool:
    """Whether another phase has begun, or the counters cannot be compared with the old ones."""
    return (old.phase is not now.phase or now.wire < old.wire
            or (old.pages is None) != (now.pages is None))


def forecast(last: record.Forecast) -> record.Forecast:
    """The forecast while nothing moves: no end in sight."""
    return dataclasses.replace(
        last, converges=False, eta_low_s=None, eta_s=None, eta_high_s=None, blackout_ms=None,
        plateau_bytes=None, makes_deadline=None if last.deadline_in_s is None else False)
