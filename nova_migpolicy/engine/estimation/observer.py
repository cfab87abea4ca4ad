# SPDX-License-Identifier: Apache-2.0
"""Derive everything that is known of a migration from its samples: one frozen observation each.

The `Observer` follows the samples and decides nothing; beside itself it changes the state only by
`State.sampled` and `State.resized`. The rates and costs of an `Observation` also depend on the
settings in force, which may have changed since the sample; so those methods take the state.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import math
from typing import Any

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import disk_sync
from nova_migpolicy.engine.estimation import end_cost
from nova_migpolicy.engine.estimation import link_rate
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine.estimation import standstill
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import state as state_mod

MIB = record.MIB
Phase = samples.Phase
# Assumed as long as nothing is known of the rate.
GUESS_MIB_S = 100.0
# A rate below this share of the cap is limited by something other than the cap.
LINK_BOUND = 0.8
# The progress of the disks is kept for this long.
DISKS_KEPT_S = 60.0
# A name that leave_out takes besides remedies: QEMU was told the rate of the link.
SWITCHOVER = 'switchover'
# The knowledge before the first sample.
NO_DISKS = disk_sync.Mirroring()
MOVES = standstill.Standstill()


@dataclasses.dataclass(frozen=True)
class Observation:
    """The knowledge of a migration as of its last sample.

    sample: None before the first one. facts: those known at the start, without what was left out.
    passes: those that are over, the bulk copy first. ended_pass: the one that this sample ended.
    pass_number: of the running one. mark_s: the time of the last sync of the dirty bitmap.
    estimate: the curves by which the guest dirties its memory; None before a pass is over. pace:
    the rate in bytes/s at which the remaining data shrinks; None where not known. shown_mib_s: the
    rate of the link as this migration showed it without being limited by a cap. switched_s: since
    when the guest is stopped for its switchover, as far as known.
    """

    facts: record.Facts
    known_link: settings_mod.Link
    phase: Phase = Phase.SETUP
    sample: samples.Sample | None = None
    passes: tuple[passes_mod.Pass, ...] = ()
    ended_pass: passes_mod.Pass | None = None
    pass_number: int = 0
    mark_s: float | None = None
    estimate: dirtying.Estimate | None = None
    forecast: record.Forecast | None = None
    verdict: outlook.Verdict = outlook.Verdict.FINE
    throttle_percent: int | None = None
    pace: float | None = None
    shown_mib_s: float | None = None
    mirroring: disk_sync.Mirroring = NO_DISKS
    disk_bytes: int = 0
    standstill: standstill.Standstill = MOVES
    switched_s: float | None = None

    @property
    def at_s(self) -> float:
        """The time of the sample; that of the start before the first one."""
        return self.facts.started_s if self.sample is None else self.sample.at_s

    @property
    def ended_a_pass(self) -> bool:
        """Whether it ended a pass after the bulk copy, so that the passes may be judged."""
        return self.ended_pass is not None and self.ended_pass.number > 0

    @property
    def measured_before(self) -> dirtying.Point | None:
        """The measurement of the guest before the start."""
        facts = self.facts
        if facts.dirtied_bytes is None or facts.dirtied_seconds <= 0:
            return None
        return dirtying.Point(facts.dirtied_seconds, float(facts.dirtied_bytes))

    @property
    def link(self) -> settings_mod.Link:
        """The known rates of the link; those that the passes show beat those believed before."""
        known, shown, seen = self.known_link, self.shown_mib_s, self.estimate
        if shown is not None:
            return dataclasses.replace(known, mib_s=shown, reach_mib_s=shown)
        if not known.mib_s or seen is None or not seen.measured:
            return known
        return dataclasses.replace(known, mib_s=max(known.mib_s, seen.wire_rate / MIB))

    @property
    def left_bytes(self) -> int | None:
        """The bytes still to be sent, disks included; None when not known."""
        if self.sample is None:
            return None
        disk, memory = self.sample.disk_remaining_bytes, self.sample.memory_remaining_bytes
        if self.phase is Phase.SETUP:
            disk, memory = disk or self.disk_bytes, self.facts.memory_bytes
        elif self.phase is Phase.DISKS:
            memory = self.facts.memory_bytes
            if disk is None:
                return None
        return None if memory is None else memory + (disk or 0)

    def is_link_bound(self, state: state_mod.State) -> bool:
        """Whether the passes show that something slower than the cap limits the rate."""
        seen, cap = self.estimate, state.settings.cap_mib_s
        return (seen is not None and seen.measured and cap > 0
                and seen.wire_rate < LINK_BOUND * cap * MIB)

    def others(self, state: state_mod.State) -> int:
        """The number of others of this host sending at full rate, where the link is the limit."""
        last, seen, cap = self.sample, self.estimate, state.settings.cap_mib_s
        if last is None or not last.others:
            return 0
        if cap and seen is not None and seen.measured and not self.is_link_bound(state):
            return 0
        return last.others

    def rate(self, state: state_mod.State) -> float:
        """Bytes/s sent, as observed in the passes or else as expected."""
        return self.estimate.wire_rate if self.estimate else self.expected_rate(state)

    def rate_at(self, state: state_mod.State, cap_mib_s: int) -> float | None:
        """Bytes/s expected under a cap; None for no cap on a link of unknown rate."""
        if cap_mib_s == state.settings.cap_mib_s or self.is_link_bound(state):
            return self.rate(state)
        known = [mib for mib in (cap_mib_s, self.link.mib_s) if mib]
        return min(known) * MIB if known else None

    def expected_rate(self, state: state_mod.State) -> float:
        """Bytes/s to assume where no pass was long enough to show the rate."""
        cap, known = state.settings.cap_mib_s, self.permitted_rate(state)
        lately = [one for one in self.passes[-3:] if one.wire_bytes]
        # Zero pages make a pass short, and its rate is not that of the link.
        shown = [one.wire_rate for one in lately if one.cap_mib_s == cap
                 and one.wire_bytes >= link_rate.AS_IT_IS * one.sent_bytes]
        if shown and known:
            return min(max(known, *shown), cap * MIB) if cap else max(shown)
        if known:
            return known
        rates = shown or [one.wire_rate for one in lately]
        return max(rates) if rates else (self.pace or GUESS_MIB_S * MIB)

    def permitted_rate(self, state: state_mod.State) -> float | None:
        """Bytes/s that the cap and the link permit; None where neither is known."""
        known = [mib for mib in (state.settings.cap_mib_s, self.link.mib_s) if mib]
        return min(known) * MIB if known else None

    def threshold_bytes(self, state: state_mod.State) -> float:
        """The bytes that may remain at a switchover now."""
        return settings_mod.threshold_bytes(
            state.settings.limit_ms, self.rate(state), self.link)

    def cost(self, state: state_mod.State, at_s: float, cap_mib_s: int) -> end_cost.Cost | None:
        """The cost of sending all under a cap with the guest stopped; None when not known."""
        left, rate = self.left_bytes, self.rate_at(state, cap_mib_s)
        if left is None:
            return None
        passing = self.phase is Phase.PASSES and self.mark_s is not None
        return end_cost.of(
            left, self.estimate if passing else None, at_s - (self.mark_s or at_s),
            self.throttle_percent or 0, rate or self.rate(state),
            sends_again=self.facts.sends_again,
            # Others give way to a guest that stands still, except older ones.
            rate_is_known=rate is not None and not self.others(state))

    def left_in_all(self, state: state_mod.State, at_s: float) -> float | None:
        """The bytes still to be sent of a running guest, with those dirtied since the last sync.

        None when not known.
        """
        cost = self.cost(state, at_s, state.settings.cap_mib_s)
        return None if cost is None else cost.left

    def disk_rates(self, state: state_mod.State,
                   window_s: float = disk_sync.WINDOW_S) -> disk_sync.Rates | None:
        """The rates of the disks under the present settings; None where too little was seen."""
        return self.mirroring.rates(state.changed_s, self.disk_bytes, window_s)

    def disks_need_s(self, state: state_mod.State) -> float | None:
        """Seconds until the disks are in sync and the memory was sent once; infinity for never.

        None where not known yet. Just after a change of the cap, the write rate from before it is
        assumed.
        """
        left = self.sample.disk_remaining_bytes if self.sample is not None else None
        seen = self.disk_rates(state)
        if left is None:
            return None
        if seen is not None:
            gross, written = seen.gross, math.inf if seen.level else seen.written
        else:
            before = self.mirroring.rates(-math.inf, self.disk_bytes)
            gross = self.permitted_rate(state) or 0.0
            written = before.written if before else 0.0
        if gross <= 0:
            return None if seen is None else math.inf
        return (disk_sync.in_sync_s(left, self.disk_bytes, gross, written)
                + self.facts.memory_bytes / gross)

    def settled_passes(self, state: state_mod.State) -> int:
        """The number of whole passes under the present settings."""
        count = 0
        for one in reversed(self.passes):
            if one.number < 1 or state.changed_s > one.start_s + 0.2 * one.duration_s:
                break
            count += 1
        return count


class Observer:
    """The observer of one migration.

    :ivar now: the latest observation; replaced as a whole, for other threads read it
    """

    def __init__(self, facts: record.Facts) -> None:
        # What is known so far while a sample is taken in.
        self._draft = self.now = Observation(
            facts, settings_mod.Link(facts.link_mib_s, facts.switchover_mib_s, facts.reach_mib_s),
            disk_bytes=facts.disk_bytes)
        self._tracker = passes_mod.Tracker()
        self._pace = progress_mod.Pace()
        self._movement = standstill.Movement()
        self._disks_seen = False
        # The predicted ends, and the estimate and settings that they are for.
        self._ends: outlook.Ends | None = None
        self._ends_of: tuple[object, ...] = ()

    def observe(self, sample: samples.Sample, state: state_mod.State) -> Observation | None:
        """Take in a sample, and enter its changes in the state.

        None for a sample older than the last one, which is ignored.
        """
        last = self._draft.sample
        if last is not None and sample.at_s < last.at_s:
            return None
        state.sampled(sample.at_s, throttle_moved=self._throttle_moved(sample))
        self._set(sample=sample, throttle_percent=self._draft.throttle_percent if (
            sample.throttle_percent is None) else sample.throttle_percent)
        self._follow_passes(sample, state)
        if self._draft.phase is Phase.DISKS:
            state.resized(self._size_disks(sample))
            self._set(mirroring=self._draft.mirroring.add(sample, DISKS_KEPT_S))
        if state.ended_by is not None or self._draft.phase in (
                Phase.DISKS, Phase.BULK, Phase.POST_COPY):
            # A guest that is paused, or runs at the destination, writes nothing here any more.
            self._forecast_copy(state)
        elif self._draft.phase is Phase.PASSES and self._draft.passes:
            self._forecast_passes(state)
        self._follow_movement(state.settings.cap_mib_s)
        self.now = self._draft
        return self.now

    def leave_out(self, names: abc.Collection[str]) -> None:
        """Record that the migration was started without these remedies, or SWITCHOVER.

        Without SWITCHOVER, QEMU's limit refers to the cap. Unknown names are ignored, and so are
        those left out before.
        """
        facts = self._draft.facts
        self._set(facts=dataclasses.replace(
            facts, can_post_copy=facts.can_post_copy and remedies.POST_COPY not in names,
            can_throttle=facts.can_throttle and remedies.AUTO_CONVERGE not in names))
        if SWITCHOVER in names:
            self._set(known_link=dataclasses.replace(
                self._draft.known_link, switchover_mib_s=None))
        self.now = self._draft

    def update_link(self, mib_s: float | None) -> None:
        """Replace the known rate of the link; None where it is no longer known."""
        self._set(known_link=dataclasses.replace(self._draft.known_link, mib_s=mib_s))
        self.now = self._draft

    def switched_over(self, at_s: float) -> None:
        """Record that the guest was stopped, for its switchover or by a pause for it."""
        self._set(switched_s=at_s)
        self.now = self._draft

    def entered_post_copy(self) -> None:
        """Record that post-copy was started, without waiting for a sample to show it."""
        self._tracker.enter_post_copy()
        self._set(phase=Phase.POST_COPY)
        self.now = self._draft

    def _set(self, **known: Any) -> None:
        self._draft = dataclasses.replace(self._draft, **known)

    def _throttle_moved(self, sample: samples.Sample) -> bool:
        throttle, before = sample.throttle_percent, self._draft.throttle_percent
        # An auto-converge that is armed but not wanted yet slows the guest by 1 %.
        return throttle is not None and abs(throttle - (before or 0)) > 1

    def _follow_passes(self, sample: samples.Sample, state: state_mod.State) -> None:
        ended = self._tracker.observe(
            sample, threshold_bytes=self._draft.threshold_bytes(state),
            cap_mib_s=state.settings.cap_mib_s, changed_s=state.changed_s)
        self._set(phase=self._tracker.phase, passes=tuple(self._tracker.passes),
                  ended_pass=ended, pass_number=self._tracker.number, mark_s=self._tracker.mark_s)

    def _size_disks(self, sample: samples.Sample) -> int:
        """Learn the bytes to be copied of the disks, once QEMU knows; returns their growth.

        QEMU's total grows with the guest's writes, which earn no more time: the remaining data
        does not grow beyond the disks.
        """
        total, left, known = sample.disk_total_bytes, sample.disk_remaining_bytes, (
            self._draft.disk_bytes)
        if not total or left is None:
            return 0
        size = max(known, left) if self._disks_seen else total
        self._disks_seen = True
        self._set(disk_bytes=size)
        return size - known

    def _forecast_copy(self, state: state_mod.State) -> None:
        left, at_s = self._draft.left_bytes, self._draft.at_s
        self._pace.add(at_s, left)
        self._set(pace=self._pace.rate())
        if self._draft.phase is Phase.DISKS:
            rates = self._draft.disk_rates(state)
            self._set(forecast=outlook.mirroring(
                self._draft.disks_need_s(state), rates.gross if rates else None,
                state.time_left_s(at_s)))
        elif left is not None:
            self._set(forecast=dataclasses.replace(
                outlook.copying(left, self._draft.pace or self._draft.permitted_rate(state),
                                state.time_left_s(at_s)),
                pass_number=self._draft.pass_number))

    def _forecast_passes(self, state: state_mod.State) -> None:
        now = self._draft
        if now.ended_pass is not None or now.estimate is None:
            self._set(estimate=dirtying.estimate(
                now.passes, state.settings.cap_mib_s, now.expected_rate(state),
                now.measured_before))
            self._note_link(state)
        now = self._draft
        if now.estimate is None:
            return
        known = (now.estimate, state.settings, now.link, now.throttle_percent or 0)
        if self._ends is None or known != self._ends_of:
            self._ends, self._ends_of = outlook.ends(*known), known
        forecast, verdict = outlook.passing(
            now.estimate, self._ends, now.link, now.pass_number,
            now.at_s - now.passes[-1].end_s, state.time_left_s(now.at_s))
        self._set(forecast=forecast, verdict=verdict)

    def _note_link(self, state: state_mod.State) -> None:
        """Note the rate of the link where nothing else limits the transfer."""
        seen = self._draft.estimate
        if seen is not None and seen.measured and (
                self._draft.is_link_bound(state) or not state.settings.cap_mib_s):
            self._set(shown_mib_s=seen.wire_rate / MIB)

    def _follow_movement(self, cap_mib_s: int) -> None:
        left, sample = self._draft.left_bytes, self._draft.sample
        if left is not None and self._draft.switched_s is not None:
            # Data that QEMU has handed to the kernel need not have arrived at the destination.
            left = max(left, 1)
        if sample is not None:
            self._set(standstill=self._movement.observe(
                sample, self._draft.phase, left, cap_mib_s))
        if self._draft.standstill.lasts and self._draft.forecast is not None:
            self._set(forecast=standstill.forecast(self._draft.forecast))
