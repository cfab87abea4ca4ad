# SPDX-License-Identifier: Apache-2.0
"""What QEMU counts of a migration, and when it refreshes what it tells of it.

The dirty rate is made anew at a sync that comes more than a second after the last time; what was
newly dirtied and sent since then is also what auto-converge goes by. Sizes are MiB.
"""

from __future__ import annotations

from nova_migpolicy.sim import guests

MIB = guests.MIB
PAGE = 4096
# A page on the wire: its header beside it; and a page of zeros is a mark only.
PAGE_COST = 1 + 8 / PAGE
ZERO_COST = 9 / PAGE
PERIOD_S = 1.0


class Counters:
    """The counters of one migration; pages_mib and zeros_mib are guest memory."""

    def __init__(self) -> None:
        self.pages_mib = self.zeros_mib = 0.0
        self.wire_mib = self.disk_wire_mib = 0.0
        self.dirty_pages_s = 0
        self._period_s = self._period_new = self._period_wire = 0.0

    @property
    def memory_mib(self) -> float:
        """Guest memory sent so far, each page as often as it was."""
        return self.pages_mib + self.zeros_mib

    def begin(self, at_s: float) -> None:
        """The memory begins."""
        self._period_s = at_s

    def sent(self, mib: float, zeros: bool = False) -> None:
        """Guest memory was sent."""
        if zeros:
            self.zeros_mib += mib
            self.wire_mib += mib * ZERO_COST
        else:
            self.pages_mib += mib
            self.wire_mib += mib * PAGE_COST

    def synced(self, at_s: float, new_mib: float) -> tuple[float, float] | None:
        """A sync; what was newly dirtied and sent in the period that it ends, if it ends one."""
        self._period_new += new_mib
        seconds = at_s - self._period_s
        if seconds <= PERIOD_S:
            return None
        found = self._period_new, self.wire_mib - self._period_wire
        self.dirty_pages_s = int(self._period_new * MIB / PAGE / seconds)
        self._period_s, self._period_wire, self._period_new = at_s, self.wire_mib, 0.0
        return found

    def stats(self) -> dict[str, int]:
        """The memory's part of the job statistics, by libvirt's names."""
        return {'memory_processed': int(self.wire_mib * MIB),
                'memory_dirty_rate': self.dirty_pages_s, 'memory_page_size': PAGE,
                'memory_constant': int(self.zeros_mib * MIB / PAGE),
                'memory_normal': int(self.pages_mib * MIB / PAGE)}
