# SPDX-License-Identifier: Apache-2.0
"""QEMU's live migration as far as the engine can see it: disks, pre-copy, post-copy.

The rules: sending is paced in windows of 100 ms under the cap; the threshold for the switchover
is the rate of the last window (or the stated rate of the link) times the limit; when what
remains falls below it, the dirty bitmap is synced, and if what remains is still below, the guest
is stopped and the rest goes at the rate of the link, which the cap does not bind. Auto-converge
acts at every second sync that finds much dirtied. Statistics that QEMU refreshes only at a sync
more than a second after the last one are refreshed only then here too.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import remedies
from nova_migpolicy.sim import guests

MIB = guests.MIB
WINDOW_S = 0.1
PAGE = 4096


@dataclasses.dataclass(frozen=True)
class Setup:
    """A migration about to start; rates in MiB/s.

    outages: times (from, to) in which the link moves nothing. overhead_s: of a switchover.
    counter: where the counter of syncs starts. sync_every_s: QEMU from 9.2 on syncs that often
    when auto-converge is armed.
    """

    load: guests.Workload
    link_mib_s: float = 1000.0
    cap_mib_s: int = 0
    limit_ms: int = 300
    disk_mib: int = 0
    outages: tuple[tuple[float, float], ...] = ()
    overhead_s: float = 0.015
    switchover_mib_s: float | None = None
    auto_converge: bool = False
    sync_every_s: float | None = None
    counter: int = 0
    cell_bytes: int = 0


class Migration:
    """One migration running; `step` lets time pass."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        total = setup.load.memory_mib * MIB
        self.cell = setup.cell_bytes or max(PAGE * 64, -(-total // 4096 // PAGE) * PAGE)
        self.cells = max(1, total // self.cell)
        self.state = 'disks' if setup.disk_mib else 'memory'
        self.now_s = 0.0
        self.syncs = setup.counter
        self.sent_bytes = 0.0
        self.blackout_s: float | None = None
        self.cap, self.limit_ms = setup.cap_mib_s, setup.limit_ms
        self.throttle, self.throttle_max, self.throttle_step = 0, 1, 1
        self.paused_s: float | None = None
        self._writers = guests.writers(setup.load, self.cell)
        self._zero = guests.mask(self.cells - min(self.cells, setup.load.zero_mib * MIB
                                                  // self.cell), self.cells)
        self._zero &= guests.mask(0, self.cells)
        self._dirty = 0
        self._written = 0
        self._at = 0
        self._part = self._over = 0.0
        self._constant = self._normal = 0
        self._disk_left = float(setup.disk_mib * MIB)
        self._window = self._window_sent = self._window_rated = 0.0
        self._part_sent = 0.0
        self._full = False
        self._rate = 0.0
        self._threshold = 0.0
        self._synced_s = self._period_s = 0.0
        self._period_new = self._high = 0
        self._period_sent = 0.0
        self._dirty_rate = 0

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in ('completed', 'aborted')

    @property
    def remaining(self) -> int:
        """Guest memory still to be sent, in bytes, as far as QEMU knows."""
        return self._dirty.bit_count() * self.cell

    def step(self) -> bool:
        """Let some time pass, 10 ms to a second; whether the dirty bitmap was synced in it."""
        if self.over:
            return False
        if self.state == 'disks':
            return self._copy_disks()
        if self.syncs == self.setup.counter:
            self._dirty = guests.mask(0, self.cells)
            self._synced_s = self._period_s = self.now_s
            self.syncs += 1
            return True
        far = self.remaining - self._threshold
        speed = self._link() if self.state == 'post-copy' else min(
            self._link(), self.cap * MIB or self._link())
        seconds = 0.01 if self._window or far < 3 * WINDOW_S * speed else (
            WINDOW_S if far < 30 * speed or self._link() <= 0 else 1.0)
        self._write(seconds)
        self._send(seconds)
        self.now_s += seconds
        self._windows(seconds)
        if self.state == 'post-copy':
            if not self._dirty:
                self.state = 'completed'
            return False
        every = self.setup.sync_every_s
        if self.remaining < self._threshold or not self._dirty or (
                every and self.setup.auto_converge and self.now_s - self._synced_s >= every):
            self._sync()
            if self.remaining < self._threshold or not self._dirty:
                self._switch_over()
            return True
        return False

    def _link(self) -> float:
        out = any(start <= self.now_s < end for start, end in self.setup.outages)
        return 0.0 if out else self.setup.link_mib_s * MIB

    def _copy_disks(self) -> bool:
        rate = min(self._link(), self.cap * MIB or self._link())
        self.now_s += WINDOW_S
        self._write(WINDOW_S)
        self._disk_left = max(0.0, self._disk_left - rate * WINDOW_S)
        if not self._disk_left:
            self.state = 'memory'
        return False

    def _write(self, seconds: float) -> None:
        if self.paused_s is None and self.state != 'post-copy':
            for writer in self._writers:
                self._written |= writer.write(seconds, 1 - self.throttle / 100)

    def _send(self, seconds: float) -> None:
        """Send cells in their order, paced by the window's budget and the link."""
        self._part += self._link() * seconds
        before = self.sent_bytes + self._part_sent
        paced = bool(self.cap) and self.state != 'post-copy'
        budget = self.cap * MIB * max(WINDOW_S, seconds) - self._over
        while self._dirty and self._part > 0:
            if paced and self._window_sent >= budget:
                break
            ahead = self._dirty >> self._at
            if not ahead:
                self._at = 0
                continue
            cell = self._at + (ahead & -ahead).bit_length() - 1
            bit = 1 << cell
            zero = bool(self._zero & bit)
            cost = self.cell // PAGE * 9 if zero else self.cell + self.cell // PAGE * 8
            if cost > self._part and not zero:
                break
            self._part -= cost
            self._dirty &= ~bit
            self._at = (cell + 1) % self.cells
            self.sent_bytes += cost
            self._window_sent += cost
            if zero:
                self._constant += self.cell // PAGE
            else:
                self._normal += self.cell // PAGE
        self._part = min(self._part, self.cell * 1.1)
        # Of the cell that comes next a part counts as sent already.
        self._part_sent = self._part if self._dirty else 0.0
        self._window_rated += self.sent_bytes + self._part_sent - before
        self._full = paced and self._window_sent >= budget
        if paced and self._window + seconds >= WINDOW_S - 1e-9:
            # A cell is coarse: what it was too much is taken off the next window.
            self._over = max(0.0, self._window_sent - budget)

    def _windows(self, seconds: float) -> None:
        """At the end of a window the rate is known, and with it the threshold."""
        self._window += seconds
        if self._window < WINDOW_S - 1e-9:
            return
        self._rate = self.cap * MIB if self._full else self._window_rated / self._window
        rate = (self.setup.switchover_mib_s or 0) * MIB or self._rate
        self._threshold = rate * self.limit_ms / 1000
        self._window = self._window_sent = self._window_rated = 0.0

    def _sync(self) -> None:
        before = self._dirty.bit_count()
        self._dirty |= self._written
        self._written = 0
        self._period_new += self._dirty.bit_count() - before
        self._zero &= ~self._dirty
        self.syncs += 1
        self._synced_s = self.now_s
        if self.now_s - self._period_s > 1.0:
            self._end_period()

    def _end_period(self) -> None:
        new = self._period_new * self.cell
        sent = self.sent_bytes - self._period_sent
        self._dirty_rate = int(new / PAGE / (self.now_s - self._period_s))
        if self.setup.auto_converge and new > sent / 2:
            self._high += 1
            if self._high >= 2:
                self._high = 0
                self.throttle = min(self.throttle + self.throttle_step, self.throttle_max)
        self._period_s, self._period_sent, self._period_new = self.now_s, self.sent_bytes, 0

    def _switch_over(self) -> None:
        """Stop the guest and send the rest, however long the link takes for it."""
        rest = float(self.remaining)
        stopped_s = self.now_s if self.paused_s is None else self.paused_s
        while rest > 0:
            rest -= self._link() * 0.001
            self.now_s += 0.001
        self.sent_bytes += self.remaining
        self.now_s += self.setup.overhead_s
        self.blackout_s = self.now_s - stopped_s
        self._dirty = 0
        self.state = 'completed'

    def apply(self, action: remedies.Action) -> str | None:
        """Do what the engine asks for; the error of one that is not possible."""
        if self.over:
            return 'the migration is over'
        if isinstance(action, remedies.SetBandwidth):
            self.cap = action.mib_s
        elif isinstance(action, remedies.SetMaxDowntime):
            self.limit_ms = action.limit_ms
        elif isinstance(action, remedies.SetThrottle):
            self.throttle_max = self.throttle_step = action.percent
        elif isinstance(action, remedies.StartPostCopy):
            if self.state == 'disks':
                return 'post-copy cannot start yet'
            self._start_post_copy()
        elif isinstance(action, remedies.Pause):
            self.paused_s = self.now_s
        else:
            self.state = 'aborted'
        return None

    def _start_post_copy(self) -> None:
        self._dirty |= self._written
        self._written = 0
        self.state = 'post-copy'
        self.now_s += self.setup.overhead_s
        self.blackout_s = self.setup.overhead_s

    def stats(self) -> dict[str, int]:
        """The job statistics, by libvirt's names."""
        if self.state == 'disks':
            left = int(self._disk_left)
            return {'disk_total': self.setup.disk_mib * MIB, 'disk_remaining': left,
                    'disk_processed': self.setup.disk_mib * MIB - left}
        disk = self.setup.disk_mib * MIB
        return {
            'memory_total': self.cells * self.cell, 'memory_remaining': self.remaining,
            'memory_processed': int(self.sent_bytes), 'memory_bps': int(self._rate),
            'memory_dirty_rate': self._dirty_rate, 'memory_page_size': PAGE,
            'memory_constant': self._constant, 'memory_normal': self._normal,
            'memory_iteration': self.syncs, 'disk_total': disk, 'disk_processed': disk,
            'disk_remaining': 0, 'auto_converge_throttle': self.throttle}
