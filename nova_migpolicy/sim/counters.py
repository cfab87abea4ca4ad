# SPDX-License-Identifier: Apache-2.0
"""QEMU's counters of a migration, and its auto-converge, which goes by them.

The dirty rate is counted again at a sync that comes more than a second after the last count; the
memory newly dirtied and sent since then is also compared by auto-converge. Sizes are MiB.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.sim import guests

MIB = guests.MIB
PAGE = 4096
# A page on the wire: its header beside it; and a page of zeros is a mark only.
PAGE_COST = 1 + 8 / PAGE
ZERO_COST = 9 / PAGE
PERIOD_S = 1.0
# Auto-converge acts once more than this share of what was sent was dirtied, this many times.
TRIGGER_SHARE = 0.5
TRIGGER_TIMES = 2


class Counters:
    """The counters of one migration; pages_mib and zeros_mib are guest memory."""

    def __init__(self) -> None:
        self.pages_mib = self.zeros_mib = 0.0
        self.wire_mib = self.disk_wire_mib = 0.0
        self.dirty_pages_s = 0
        self._period_s = self._period_new = self._period_wire = 0.0

    @property
    def memory_mib(self) -> float:
        """Guest memory sent so far, each page as often as it was sent."""
        return self.pages_mib + self.zeros_mib

    def begin(self, at_s: float) -> None:
        """Begin the memory."""
        self._period_s = at_s

    def sent(self, mib: float, zeros: bool = False) -> None:
        """Count guest memory as sent."""
        if zeros:
            self.zeros_mib += mib
            self.wire_mib += mib * ZERO_COST
        else:
            self.pages_mib += mib
            self.wire_mib += mib * PAGE_COST

    def synced(self, at_s: float, new_mib: float) -> tuple[float, float] | None:
        """Count a sync; return MiB newly dirtied and sent in the period that it ends, if any."""
        self._period_new += new_mib
        seconds = at_s - self._period_s
        if seconds <= PERIOD_S:
            return None
        found = self._period_new, self.wire_mib - self._period_wire
        self.dirty_pages_s = int(self._period_new * MIB / PAGE / seconds)
        self._period_s, self._period_wire, self._period_new = at_s, self.wire_mib, 0.0
        return found

    def stats(self) -> dict[str, int]:
        """Return the memory's part of the job statistics, by libvirt's names."""
        return {'memory_processed': int(self.wire_mib * MIB),
                'memory_dirty_rate': self.dirty_pages_s, 'memory_page_size': PAGE,
                'memory_constant': int(self.zeros_mib * MIB / PAGE),
                'memory_normal': int(self.pages_mib * MIB / PAGE)}


@dataclasses.dataclass
class AutoConverge:
    """The throttle of one migration in percent; armed: it may act at all.

    The second time that more was dirtied than half of the memory sent it sets the initial
    throttle, and each second time after that one step more, up to a ceiling.
    """

    armed: bool
    initial: int = 20
    increment: int = 10
    highest: int = 99
    percent: int = 0
    _times: int = 0

    def set(self, percent: int) -> None:
        """Go to a throttle in one step when it acts next, and no further."""
        self.initial = self.increment = self.highest = percent

    def count(self, dirtied_mib: float, sent_mib: float) -> bool:
        """Take in a period that is over; return whether the throttle changed."""
        if not self.armed or dirtied_mib <= TRIGGER_SHARE * sent_mib:
            return False
        self._times += 1
        if self._times < TRIGGER_TIMES:
            return False
        self._times = 0
        before = self.percent
        self.percent = min(self.percent + self.increment, self.highest) if self.percent else (
            min(self.initial, self.highest))
        return self.percent != before
