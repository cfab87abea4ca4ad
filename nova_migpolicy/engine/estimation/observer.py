# SPDX-License-Identifier: Apache-2.0
"""What the engine knows of a migration so far: phase, passes, estimate and forecast.

It only looks. What it sees is kept up to date from sample to sample for the controller, which
decides by it.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import disk_sync
from nova_migpolicy.engine.estimation import end_cost
from nova_migpolicy.engine.estimation import link_rate
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine.estimation import standstill
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import terms as terms_mod

MIB = record.MIB
Phase = samples.Phase
# Reckoned with as long as nothing at all is known of the rate.
GUESS_MIB_S = 100.0
# Less than this share of the cap is not what the cap makes of it.
LINK_BOUND = 0.8
# For so long it is kept how the disks came on.
DISKS_KEPT_S = 60.0


class Watch:
    """The eyes of one migration's controller."""

    def __init__(self, facts: record.Facts, books: ledger.Ledger,
                 terms: terms_mod.Terms) -> None:
        self.facts = facts
        self.known_link = settings_mod.Link(
            facts.link_mib_s, facts.switchover_mib_s, facts.reach_mib_s)
        # What the link gave this migration where no cap held it down, in MiB/s.
        self._shown_mib_s: float | None = None
        self.tracker = passes_mod.Tracker()
        self.pace = progress_mod.Pace()
        self.standstill = standstill.Standstill()
        self.mirroring = disk_sync.Mirroring()
        # Since when the guest is stopped for its switchover, as far as it is known.
        self.switched_s: float | None = None
        self.disk_bytes = facts.disk_bytes
        self._disks_seen = False
        self.last: samples.Sample | None = None
        self.seen: dirtying.Estimate | None = None
        self.forecast: record.Forecast | None = None
        self.verdict = outlook.Verdict.FINE
        self.throttle_percent: int | None = None
        self._ends: outlook.Ends | None = None
        self._ends_of: tuple[object, ...] = ()
        self._books = books
        self._terms = terms

    def observe(self, sample: samples.Sample) -> passes_mod.Pass | None:
        """Take in a sample; the pass that it ended, if it did.

        A sample from before the last one is ignored.
        """
        if self.last is not None and sample.at_s < self.last.at_s:
            return None
        self.last = sample
        throttle = sample.throttle_percent
        if throttle is not None:
            # An auto-converge that is armed but not wanted yet slows the guest by 1 %.
            if abs(throttle - (self.throttle_percent or 0)) > 1:
                self._books.changed_s = max(self._books.changed_s, sample.at_s)
            self.throttle_percent = throttle
        ended = self.tracker.observe(
            sample, threshold_bytes=self.threshold(), cap_mib_s=self._books.now.cap_mib_s,
            changed_s=self._books.changed_s)
        if self.tracker.phase is Phase.DISKS:
            self._size_disks(sample)
            self.mirroring.add(sample, DISKS_KEPT_S)
        if self._books.ended_by is not None or self.tracker.phase in (
                Phase.DISKS, Phase.BULK, Phase.POST_COPY):
            # A guest that is paused, or runs at the destination, writes nothing here any more.
            self._look_at_copy(sample)
        elif self.tracker.phase is Phase.PASSES and self.tracker.passes:
            self._look_at_passes(sample.at_s, ended is not None)
        left = self.left()
        if left is not None and self.switched_s is not None:
            # What QEMU has handed to the kernel is not at the destination for that.
            left = max(left, 1)
        self.standstill.observe(sample, self.tracker.phase, left, self._books.now.cap_mib_s)
        if self.standstill.lasts and self.forecast is not None:
            self.forecast = standstill.forecast(self.forecast)
        return ended

    def _size_disks(self, sample: samples.Sample) -> None:
        """Learn how much there is to copy of the disks, once QEMU knows.

        Its total grows with what the guest writes, for which nobody gets more time: what is left
        does not grow beyond the disks.
        """
        total, left = sample.disk_total_bytes, sample.disk_remaining_bytes
        if not total or left is None:
            return
        size = max(self.disk_bytes, left) if self._disks_seen else total
        self._disks_seen = True
        self._terms.resize(size - self.disk_bytes)
        self.disk_bytes = size

    @property
    def before(self) -> dirtying.Point | None:
        """What was measured of the guest before the start."""
        facts = self.facts
        if facts.dirtied_bytes is None or facts.dirtied_seconds <= 0:
            return None
        return dirtying.Point(facts.dirtied_seconds, float(facts.dirtied_bytes))

    @property
    def link(self) -> settings_mod.Link:
        """What is known of the link; what the passes show beats what was believed before."""
        known, shown = self.known_link, self._shown_mib_s
        if shown is not None:
            return dataclasses.replace(known, mib_s=shown, reach_mib_s=shown)
        if not known.mib_s or self.seen is None or not self.seen.measured:
            return known
        return dataclasses.replace(known, mib_s=max(known.mib_s, self.seen.wire_rate / MIB))

    @property
    def link_bound(self) -> bool:
        """Whether the passes show that something slower than the cap holds the rate down."""
        seen, cap = self.seen, self._books.now.cap_mib_s
        return (seen is not None and seen.measured and cap > 0
                and seen.wire_rate < LINK_BOUND * cap * MIB)

    @property
    def others(self) -> int:
        """How many others of this host send at their full rate, where the link is what binds."""
        last, seen, cap = self.last, self.seen, self._books.now.cap_mib_s
        if last is None or not last.others:
            return 0
        if cap and seen is not None and seen.measured and not self.link_bound:
            return 0
        return last.others

    def time_left(self, at_s: float) -> float | None:
        """Seconds to the deadline; None when there is none."""
        deadline_s = self._terms.deadline_s
        return None if deadline_s is None else deadline_s - at_s

    def rate(self) -> float:
        """Bytes/s sent, as seen in the passes or else as expected."""
        return self.seen.wire_rate if self.seen else self._expected()

    def rate_at(self, cap_mib_s: int) -> float | None:
        """Bytes/s expected under a cap; None where there is to be none and the link is unknown."""
        if cap_mib_s == self._books.now.cap_mib_s or self.link_bound:
            return self.rate()
        known = [mib for mib in (cap_mib_s, self.link.mib_s) if mib]
        return min(known) * MIB if known else None

    def cost(self, at_s: float, cap_mib_s: int) -> end_cost.Cost | None:
        """What it costs to send all under a cap with the guest stopped; None when not known."""
        left, mark_s, rate = self.left(), self.tracker.mark_s, self.rate_at(cap_mib_s)
        if left is None:
            return None
        passing = self.tracker.phase is Phase.PASSES and mark_s is not None
        return end_cost.of(
            left, self.seen if passing else None, at_s - (mark_s or at_s),
            self.throttle_percent or 0, rate or self.rate(),
            sends_again=self.facts.sends_again,
            # Others give way to a guest that stands still, but for older ones.
            rate_is_known=rate is not None and not self.others)

    def left_in_all(self, at_s: float) -> float | None:
        """What is still to be sent of a guest that runs, with what it dirtied since the last sync.

        In bytes; None when not known.
        """
        cost = self.cost(at_s, self._books.now.cap_mib_s)
        return None if cost is None else cost.left

    def threshold(self) -> float:
        """What may remain at a switchover now, in bytes."""
        return settings_mod.threshold_bytes(self._books.now.limit_ms, self.rate(), self.link)

    def left(self) -> int | None:
        """What is still to be sent, disks included, in bytes; None when not known."""
        if self.last is None:
            return None
        disk, memory = self.last.disk_remaining_bytes, self.last.memory_remaining_bytes
        if self.tracker.phase is Phase.SETUP:
            disk, memory = disk or self.disk_bytes, self.facts.memory_bytes
        elif self.tracker.phase is Phase.DISKS:
            memory = self.facts.memory_bytes
            if disk is None:
                return None
        return None if memory is None else memory + (disk or 0)

    def disk_rates(self, window_s: float = disk_sync.WINDOW_S) -> disk_sync.Rates | None:
        """How the disks come on under the present settings; None where too little was seen."""
        return self.mirroring.rates(self._books.changed_s, self.disk_bytes, window_s)

    def disks_need_s(self) -> float | None:
        """Seconds until the disks are in sync and the memory was sent once; infinity for never.

        None where that is not known yet. Just after a change of the cap it is reckoned with what
        was written before.
        """
        left = self.last.disk_remaining_bytes if self.last is not None else None
        seen = self.disk_rates()
        if left is None:
            return None
        if seen is not None:
            gross, written = seen.gross, math.inf if seen.level else seen.written
        else:
            before = self.mirroring.rates(-math.inf, self.disk_bytes)
            gross, written = self._known_rate() or 0.0, before.written if before else 0.0
        if gross <= 0:
            return None if seen is None else math.inf
        return (disk_sync.in_sync_s(left, self.disk_bytes, gross, written)
                + self.facts.memory_bytes / gross)

    def settled(self) -> int:
        """Whole passes under the present settings."""
        count = 0
        for one in reversed(self.tracker.passes):
            if one.number < 1 or self._books.changed_s > one.start_s + 0.2 * one.duration_s:
                break
            count += 1
        return count

    def _look_at_link(self) -> None:
        """Note what the link gives where nothing else holds the transfer down."""
        seen = self.seen
        if seen is not None and seen.measured and (
                self.link_bound or not self._books.now.cap_mib_s):
            self._shown_mib_s = seen.wire_rate / MIB

    def _known_rate(self) -> float | None:
        """Bytes/s that the cap and the link permit; None where neither is known."""
        known = [mib for mib in (self._books.now.cap_mib_s, self.link.mib_s) if mib]
        return min(known) * MIB if known else None

    def _expected(self) -> float:
        """Bytes/s to reckon with where no pass was long enough to show it."""
        cap, known = self._books.now.cap_mib_s, self._known_rate()
        lately = [one for one in self.tracker.passes[-3:] if one.wire_bytes]
        # Pages of zeros make a pass short, and its rate is none of the link's.
        shown = [one.wire_rate for one in lately if one.cap_mib_s == cap
                 and one.wire_bytes >= link_rate.AS_IT_IS * one.sent_bytes]
        if shown and known:
            return min(max(known, *shown), cap * MIB) if cap else max(shown)
        if known:
            return known
        rates = shown or [one.wire_rate for one in lately]
        return max(rates) if rates else (self.pace.rate() or GUESS_MIB_S * MIB)

    def _look_at_passes(self, at_s: float, fresh: bool) -> None:
        if fresh or self.seen is None:
            self.seen = dirtying.estimate(
                self.tracker.passes, self._books.now.cap_mib_s, self._expected(), self.before)
            self._look_at_link()
        if self.seen is not None:
            known = (self.seen, self._books.now, self.link, self.throttle_percent or 0)
            if self._ends is None or known != self._ends_of:
                self._ends, self._ends_of = outlook.ends(*known), known
            self.forecast, self.verdict = outlook.passing(
                self.seen, self._ends, self.link, self.tracker.number,
                at_s - self.tracker.passes[-1].end_s,
                self.time_left(at_s))

    def _look_at_copy(self, sample: samples.Sample) -> None:
        left = self.left()
        self.pace.add(sample.at_s, left)
        if self.tracker.phase is Phase.DISKS:
            rates = self.disk_rates()
            self.forecast = outlook.mirroring(
                self.disks_need_s(), rates.gross if rates else None,
                self.time_left(sample.at_s))
        elif left is not None:
            self.forecast = dataclasses.replace(
                outlook.copying(left, self.pace.rate() or self._known_rate(),
                                self.time_left(sample.at_s)),
                pass_number=self.tracker.number)
