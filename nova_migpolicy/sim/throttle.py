# SPDX-License-Identifier: Apache-2.0
"""QEMU's auto-converge: what it counts, and when it slows a guest's processors further.

At a sync more than a second after the last count (see `counters`) it compares what was newly
dirtied with half of what was sent. The second time that more was dirtied it sets the initial
throttle, and each second time after that one step more, up to a ceiling.
"""

from __future__ import annotations

import dataclasses

TRIGGER = 0.5
TIMES = 2


@dataclasses.dataclass
class AutoConverge:
    """The throttle of one migration in percent; armed: it may act at all."""

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
        """Take in a period that is over; whether the throttle changed."""
        if not self.armed or dirtied_mib <= TRIGGER * sent_mib:
            return False
        self._times += 1
        if self._times < TIMES:
            return False
        self._times = 0
        before = self.percent
        self.percent = min(self.percent + self.increment, self.highest) if self.percent else (
            min(self.initial, self.highest))
        return self.percent != before
