# SPDX-License-Identifier: Apache-2.0
"""QEMU's live migration as seen from outside: disks, pre-copy, post-copy.

The rules. Sending is paced in windows of 100 ms: under a cap each window's worth is sent at once,
at the rate of the link, and then QEMU waits for the next window. When that begins, or every 50 ms
where no cap holds it, it looks whether what remains is below the threshold: the rate of the last
window (or the rate of the link that it was told) times the limit. If so, it syncs the dirty
bitmap, and if what remains is still below, it stops the guest and sends the rest at the rate of
the link. The cap binds neither that nor post-copy. A changed setting makes a new threshold when
the window ends. Statistics are refreshed at a sync more than a second after the last refresh.

Time passes from event to event, so an hour costs as much as its passes. The one source of chance
is the seed, for rates of the link and the guest that vary from pass to pass.
"""

from __future__ import annotations

import math

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.sim import counters
from nova_migpolicy.sim import disks
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import link as link_module
from nova_migpolicy.sim import memory
from nova_migpolicy.sim import pacing
from nova_migpolicy.sim import setup as setup_module
from nova_migpolicy import vocabulary

Setup = setup_module.Setup
MIB = guests.MIB
PAGE_COST = counters.PAGE_COST
# The time that a sync takes; nothing is sent in the meantime.
SYNC_S = 0.001
_TINY = 1e-9


class Migration:
    """One migration running; `advance` lets time pass."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.now_s = 0.0
        self.syncs = setup.counter
        self.synced_s = 0.0             # the time of the last sync
        self.cap, self.limit_ms = setup.cap_mib_s, settings_mod.QEMU_LIMIT_MS
        if setup.limit_ms <= settings_mod.HIGHEST_LIMIT_MS and not setup.limit_is_refused:
            self.limit_ms = setup.limit_ms
        self.blackout_s: float | None = None
        # Lost work of the guest, in seconds of one of its processors.
        self.lost_s = 0.0
        self.paused_s: float | None = None
        self.auto_converge = counters.AutoConverge(
            setup.auto_converge, setup.throttle_initial, setup.throttle_increment,
            setup.throttle_highest)
        sizes = tuple(size for size in (setup.disk_mib, *setup.more_disks_mib) if size)
        self._mirrors = disks.Mirrors(sizes, setup.disk_write_mib_s, setup.disk_cap_shared)
        self._disks = len(sizes)
        self.state = vocabulary.DISKS if sizes else 'memory'
        self._link = link_module.Link(setup.link_mib_s, setup.link_steps, setup.outages)
        self._memory = memory.Memory(setup.load)
        self._memory.write(0.0, setup.age_s, 1.0)
        self._memory.sync()
        self._jitter = link_module.Jitter(setup.seed, setup.link_jitter, setup.guest_jitter)
        self._written_s = 0.0           # until when the guest's writes are known
        self._pass_sent = 0.0           # MiB of guest memory sent since the last sync
        self._counters = counters.Counters()
        self._pacer = pacing.Pacer(0.0)
        self._threshold = pacing.Threshold()
        self._timer = pacing.Timer()

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in ('completed', 'aborted')

    @property
    def throttle(self) -> int:
        """The throttle of auto-converge, in percent."""
        return self.auto_converge.percent

    @property
    def remaining(self) -> int:
        """Guest memory still to be sent, in bytes, as QEMU knows it."""
        return int(self._left() * MIB)

    @property
    def sent_bytes(self) -> float:
        """Bytes that went over the wire for the memory."""
        return self._counters.wire_mib * MIB

    @property
    def wire_bytes(self) -> float:
        """Bytes that went over the wire, disks included."""
        return (self._counters.wire_mib + self._counters.disk_wire_mib) * MIB

    @property
    def wants_mib_s(self) -> float:
        """The rate that it would take of an unlimited link."""
        if self.over:
            return 0.0
        free = self.state == vocabulary.POST_COPY or not self.cap
        return math.inf if free else float(self.cap)

    def share_link(self, mib_s: float) -> None:
        """Give it this much of a link that others use as well, from now on."""
        if mib_s != self._link.rate(self.now_s):
            self._link = link_module.Link(mib_s)
            self._rate_soon()

    def advance(self, until_s: float) -> bool:
        """Let time pass to a moment, a sync or the end; return whether it ended with a sync."""
        while not self.over and self.now_s < until_s:
            if self.state == vocabulary.DISKS:
                self._copy_disks(until_s)
            elif self.state == vocabulary.POST_COPY:
                self._fetch(until_s)
            elif self.syncs == self.setup.counter:
                self._begin_memory()
                return True
            elif self._send(until_s):
                return True
        return False

    def _copy_disks(self, until_s: float) -> None:
        rate = self._link.rate(self.now_s)
        step = min(until_s, self._link.changes_at(self.now_s),
                   self.now_s + self._mirrors.next_change_s(rate, self.cap)) - self.now_s
        self._counters.disk_wire_mib += self._mirrors.go_on(step, rate, self.cap)
        self.now_s += step
        if self._mirrors.in_sync:
            self.state = 'memory'

    def _begin_memory(self) -> None:
        self.syncs += 1
        self._write()
        self._memory.sync()
        self._pacer = pacing.Pacer(self.now_s)
        self._counters.begin(self.now_s)
        self.synced_s = self.now_s
        self._threshold.begin(self.now_s)
        if self.auto_converge.armed:
            self._timer = pacing.Timer(self.now_s, self.setup.sync_every_s)
        self._jitter.next()

    def _write(self) -> None:
        """Let the guest write until now."""
        if self.paused_s is None and self.state != vocabulary.POST_COPY:
            awake, age_s = self.setup.load.speed(self.throttle), self.setup.age_s
            self._memory.write(self._written_s + age_s, self.now_s + age_s,
                               awake * self._jitter.guest_factor)
            self.lost_s += (self.now_s - self._written_s) * (1 - awake)
        self._written_s = self.now_s

    def _left(self) -> float:
        return max(0.0, self._memory.dirty_mib - self._pass_sent)

    def _first_left(self) -> float:
        """Return the MiB that were never sent yet."""
        return max(0.0, self.setup.load.memory_mib - self._counters.memory_mib)

    def _rates(self) -> pacing.Rates:
        """Return the present rates of guest memory."""
        wire = self._link.rate(self.now_s) * self._jitter.link_factor
        if self._memory.zeros_ahead():
            return pacing.zero_rates(wire)
        slow = min(wire, self.setup.first_mib_s or wire) if self._first_left() > 0 else wire
        # Under a cap, a window's worth goes into buffers on the way at once.
        return pacing.rates(wire if self.cap and self.cap < slow else slow, self.cap)

    def _send(self, until_s: float) -> bool:
        """Send until the next event; return whether that was a sync."""
        rates, left, now = self._rates(), self._left(), self.now_s
        to_zeros = self._memory.until_zeros() - self._pass_sent
        look_s = self._pacer.next_look(now, left, self._threshold.mib, rates)
        event_s = min(until_s, self._link.changes_at(now), look_s, self._timer.due_s,
                      self._threshold.due_s)
        if to_zeros < left and rates.average > 0:
            event_s = min(event_s, self._pacer.when(now, to_zeros, rates))
        event_s = max(now, event_s)
        self._move(event_s, min(left, max(to_zeros, 0.0)), rates)
        if event_s >= look_s - _TINY or (
                event_s >= self._timer.due_s - _TINY
                and self._timer.forces(self.syncs - self.setup.counter)):
            self._sync()
            return True
        if event_s >= self._threshold.due_s - _TINY:
            self._rate_window()
            if self._left() < self._threshold.mib:
                self._sync()
                return True
        if to_zeros < left and self._pass_sent >= self._memory.until_zeros() - 1e-6:
            self._flush()
        return False

    def _move(self, to_s: float, most: float, rates: pacing.Rates) -> None:
        """Send from now to a time, but no more than that."""
        sent = min(self._pacer.send(self.now_s, to_s, rates), most)
        self._counters.sent(sent, zeros=self._memory.zeros_ahead())
        self._pass_sent += sent
        self.now_s = to_s

    def _rate_window(self) -> None:
        """End a window: the amount sent in it makes the threshold."""
        rate = self.setup.switchover_mib_s or self._rates().wire
        self._threshold.make(rate, self.limit_ms, self._link.changes_at(self.now_s),
                             self.setup.device_mib)

    def _rate_soon(self) -> None:
        self._threshold.soon(self._pacer.window_ends(self.now_s))

    def _flush(self) -> None:
        """Remove the memory sent from the memory to be sent."""
        zeros = self._memory.zeros_ahead()
        self._memory.send(self._pass_sent)
        self._pass_sent = 0.0
        if zeros != self._memory.zeros_ahead():
            self._rate_soon()

    def _sync(self) -> None:
        self._flush()
        self._write()
        new = self._memory.sync()
        self.syncs += 1
        self.synced_s = self.now_s
        self.now_s += SYNC_S
        self._pacer.looked_s = self.now_s
        period = self._counters.synced(self.now_s, new)
        if period is not None:
            self.auto_converge.count(*period)
        if self._jitter.next():
            self._rate_soon()
        left = self._left()
        if left < self._threshold.mib or (left <= 0 and not self.setup.device_mib):
            self._switch_over(left)

    def _switch_over(self, left: float) -> None:
        """Stop the guest and send the rest, however long the link takes for it."""
        stopped_s = self.now_s if self.paused_s is None else self.paused_s
        new = min(left, self._first_left())
        self.now_s = self._link.arrival(self.now_s, (
            left * PAGE_COST + self.setup.device_mib) / self._jitter.link_factor)
        self.now_s = self.setup.overhead_s + max(self.now_s, stopped_s + (
            new / self.setup.first_mib_s if self.setup.first_mib_s else 0.0))
        if self._disks:
            self.now_s += self.setup.disk_overhead_s
        self._counters.sent(left)
        self.blackout_s = self.now_s - stopped_s
        self.lost_s += self.blackout_s
        self._memory.send(left)
        self._pass_sent = 0.0
        self.state = 'completed'

    def apply(self, action: remedies.Action) -> str | None:
        """Carry out an action of the engine; return the error of one that is not possible."""
        if self.over:
            return 'the migration is over'
        if isinstance(action, remedies.SetBandwidth):
            self.cap = action.mib_s
            self._pacer.looked_s = self.now_s
            self._rate_soon()
        elif isinstance(action, remedies.SetMaxDowntime):
            if action.limit_ms > settings_mod.HIGHEST_LIMIT_MS:
                return f'a limit is 0 to {settings_mod.HIGHEST_LIMIT_MS} ms, not {action.limit_ms}'
            self.limit_ms = action.limit_ms
            self._rate_soon()
        elif isinstance(action, remedies.SetThrottle):
            self.auto_converge.set(action.percent)
        elif isinstance(action, remedies.StartPostCopy):
            if self.state == vocabulary.DISKS or self.syncs == self.setup.counter:
                return 'post-copy cannot start yet'
            self._start_post_copy()
        elif isinstance(action, remedies.Pause):
            self._write()
            self.paused_s = self.now_s
        else:
            self.state = 'aborted'
        return None

    def _start_post_copy(self) -> None:
        self._flush()
        self._write()
        self._memory.sync()
        self.state = vocabulary.POST_COPY
        self.now_s += self.setup.post_copy_overhead_s
        self.blackout_s = self.setup.post_copy_overhead_s
        self.lost_s += self.setup.post_copy_overhead_s

    def _fetch(self, until_s: float) -> None:
        """Run post-copy: the link brings the rest, and the guest waits for missing pages."""
        left = self._left()
        end_s = min(until_s, self._link.changes_at(self.now_s),
                    self._link.arrival(self.now_s, left * PAGE_COST))
        seconds = end_s - self.now_s
        rate = self._link.rate(self.now_s)
        sent = min(left, rate * seconds / PAGE_COST)
        # All that it writes to was dirty; it no longer waits for pages that have come by then.
        missing = (left + left - sent) / 2 / max(self._memory.dirty_mib, _TINY)
        self.lost_s += seconds * missing
        self._pass_sent += sent
        self._counters.sent(sent)
        self.now_s = end_s
        if self._left() <= 1e-6:
            self.state = 'completed'

    def stats(self) -> dict[str, int]:
        """Return the job statistics, by libvirt's names."""
        total, left = (round(mib * MIB) for mib in (
            self._mirrors.total_mib, self._mirrors.left_mib))
        # libvirt knows only how much of the disks there is to copy, and how much is done.
        disk = {'disk_total': total, 'disk_remaining': left, 'disk_processed': total - left}
        if self.state == vocabulary.DISKS:
            return disk
        return {
            **disk, **self._counters.stats(), 'memory_remaining': self.remaining,
            'memory_total': self.setup.load.memory_mib * MIB,
            'memory_bps': int(self._rates().average * PAGE_COST * MIB),
            'memory_iteration': self.syncs, 'auto_converge_throttle': self.throttle}
