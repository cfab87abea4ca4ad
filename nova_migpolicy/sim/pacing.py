# SPDX-License-Identifier: Apache-2.0
"""QEMU's pacing of what it sends, and the times at which it checks its threshold.

Under a cap each window of 100 ms begins with that window's worth, sent as fast as the link takes
it; then QEMU waits for the next window, and checks when that begins. Without a cap that binds it
sends on and on, and checks every 50 ms. The threshold is made when a window is over. Arithmetic
only: the memory, and the result of a check, are not known here. Sizes are MiB of guest memory,
rates MiB/s of that.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.sim import counters

WINDOW_S = 0.1
# The longest time that QEMU sends before it checks its threshold.
LOOK_S = 0.05
# The rate at which untouched memory is scanned, in MiB/s.
ZERO_MIB_S = 4000.0
_TINY = 1e-9


@dataclasses.dataclass(frozen=True)
class Rates:
    """The present rates: while it sends, and on average; paced: a cap makes them differ.

    cost: MiB on the wire for each MiB of guest memory.
    """

    fast: float
    average: float
    paced: bool
    cost: float = counters.PAGE_COST

    @property
    def worth(self) -> float:
        """MiB sent in a window."""
        return self.average * WINDOW_S

    @property
    def wire(self) -> float:
        """MiB/s on the wire, on average."""
        return self.average * self.cost


def rates(wire_mib_s: float, cap_mib_s: float) -> Rates:
    """Return the rates of guest memory over a link of that rate under a cap (0: none)."""
    fast = wire_mib_s / counters.PAGE_COST
    if cap_mib_s and cap_mib_s < wire_mib_s:
        return Rates(fast, cap_mib_s / counters.PAGE_COST, True)
    return Rates(fast, fast, False)


def zero_rates(wire_mib_s: float) -> Rates:
    """Return the rates of pages that were never touched."""
    speed = min(wire_mib_s / counters.ZERO_COST, ZERO_MIB_S)
    return Rates(speed, speed, False, counters.ZERO_COST)


class Timer:
    """QEMU's timer of forced syncs (from 9.2 on); due_s: the time of its next check."""

    def __init__(self, begin_s: float = 0.0, every_s: float | None = None) -> None:
        self._every_s = every_s or math.inf
        self.due_s = begin_s + self._every_s
        self._syncs = 0

    def forces(self, syncs: int) -> bool:
        """Check whether a sync is due: there was none since the last check, but not at once.

        The bulk copy is left alone.
        """
        forces = syncs > 1 and syncs == self._syncs
        self._syncs = syncs + forces
        self.due_s += self._every_s
        return forces


class Pacer:
    """The windows of one migration.

    looked_s: the time of QEMU's last check, or of its last change of rate.
    """

    def __init__(self, begin_s: float) -> None:
        self.looked_s = begin_s
        self._window_s = begin_s
        self._sent = 0.0

    def window_ends(self, now_s: float) -> float:
        """Return the end of the present window."""
        windows = math.floor((now_s - self._window_s) / WINDOW_S + _TINY) + 1
        return self._window_s + windows * WINDOW_S

    def next_look(self, now_s: float, left: float, threshold: float, rates: Rates) -> float:
        """Return the time when QEMU finds the rest below the threshold, if nothing changes."""
        if rates.average <= 0:
            return math.inf
        whole_s = self.when(now_s, left, rates)
        need = max(0.0, left - threshold)
        if not rates.paced:
            looks = math.floor((now_s - self.looked_s + need / rates.average) / LOOK_S) + 1
            return min(whole_s, max(self.looked_s + looks * LOOK_S, now_s))
        room = max(0.0, rates.worth - self._sent)
        more = 0 if need < room else math.floor((need - room) / rates.worth) + 1
        return min(whole_s, self._window_s + (more + 1) * WINDOW_S)

    def when(self, now_s: float, mib: float, rates: Rates) -> float:
        """Return the time when that much more will have been sent."""
        if not rates.paced:
            return now_s + mib / rates.average
        worth = rates.worth
        room = max(0.0, worth - self._sent)
        if mib <= room:
            return now_s + mib / rates.fast
        windows = max(1, math.ceil((mib - room) / worth - _TINY))
        return self._window_s + windows * WINDOW_S + (
            mib - room - (windows - 1) * worth) / rates.fast

    def send(self, now_s: float, to_s: float, rates: Rates) -> float:
        """Let time pass; return the MiB that can be sent in it."""
        windows = max(0, math.floor((to_s - self._window_s) / WINDOW_S + _TINY))
        if not rates.paced:
            sent = rates.average * (to_s - now_s)
            self._window_s += windows * WINDOW_S
            self._sent = 0.0 if windows else self._sent + sent
            return sent
        worth = rates.worth
        room = max(0.0, worth - self._sent)
        if not windows:
            sent = min(room, rates.fast * (to_s - now_s))
            self._sent += sent
            return sent
        end_s = self._window_s + windows * WINDOW_S
        first = min(room, rates.fast * max(0.0, self._window_s + WINDOW_S - now_s))
        self._window_s = end_s
        self._sent = min(worth, rates.fast * max(0.0, to_s - end_s))
        return first + (windows - 1) * worth + self._sent


class Threshold:
    """The threshold of one migration: the size that may remain when it switches over.

    mib: the size now. due_s: the time of the next one; infinite as long as nothing changes.
    """

    def __init__(self) -> None:
        self.mib = 0.0
        self.due_s = math.inf

    def begin(self, at_s: float) -> None:
        """Begin the memory: there is no threshold before the first window is over."""
        self.due_s = at_s + WINDOW_S

    def soon(self, window_ends_s: float) -> None:
        """Note that a setting has changed: it counts when this window is over."""
        self.due_s = min(window_ends_s, self.due_s)

    def make(self, rate_mib_s: float, limit_ms: int, link_changes_s: float,
             device_mib: float = 0.0) -> None:
        """Make the threshold at the end of a window with this rate, seen or told, on the wire.

        :param link_changes_s: the time of the link's next rate, which a window later will show
        :param device_mib: the state of devices, to be sent beside the memory
        """
        self.mib = rate_mib_s * limit_ms / 1000 - device_mib
        self.due_s = link_changes_s + WINDOW_S
