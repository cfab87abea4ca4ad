# SPDX-License-Identifier: Apache-2.0
"""Cut the stream of samples into phases and passes.

A pass runs from one sync of the dirty bitmap to the next. Between two syncs the remaining memory
falls by exactly what is sent, so the newly dirtied memory is known from both, however late after
the sync the sample was taken. Samples that contradict that (counters that run backwards, missing
statistics) never make a pass; the next good one starts afresh. No rate is judged here.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import samples

Phase = samples.Phase
_SLACK_BYTES = 64 << 20
# Shorter passes are joined: QEMU paces itself in windows of 0.1 s.
SHORT_S = 0.3
KEPT_PASSES = 200
# A sync that follows a sampled one sooner than this need not be sampled: passes are derived from
# counters, which miss nothing.
LEAST_GAP_S = 0.1


@dataclasses.dataclass(frozen=True)
class Told:
    """Figures of a pass as libvirt reported them, without guesses.

    wire_bytes: bytes on the wire. longest_s: the longest time that they may have taken.
    """

    wire_bytes: int
    longest_s: float


@dataclasses.dataclass(frozen=True)
class Pass:
    """One pass that is over. number 0 is the bulk copy; sizes are in bytes.

    leftover: the part of what the pass began with that was not yet sent when it ended.
    dirtied: newly dirtied during the pass, not counting pages that were to be sent anyway.
    wire_bytes: bytes on the wire, which compression and zero pages reduce.
    sent_bytes: of guest memory, each page in full, with those that xbzrle found unchanged.
    steady: the cap did not change in the middle of it.
    count: the number of passes that it stands for: short ones are joined.
    shared: other migrations of this host used the link during it.
    told: the same bytes and time without guesses; both ends may lie a little later.
    """

    number: int
    start_s: float
    end_s: float
    start_bytes: int
    end_bytes: int
    leftover_bytes: int
    dirtied_bytes: int
    sent_bytes: int
    wire_bytes: int
    throttle_percent: int
    cap_mib_s: int
    steady: bool = True
    count: int = 1
    shared: bool = False
    told: Told = Told(0, 0.0)

    @property
    def duration_s(self) -> float:
        """The duration in seconds, above 0."""
        return self.end_s - self.start_s

    @property
    def wire_rate(self) -> float:
        """Bytes sent per second."""
        return self.wire_bytes / self.duration_s

    @property
    def drain_rate(self) -> float:
        """Bytes of guest memory covered per second."""
        return self.sent_bytes / self.duration_s


@dataclasses.dataclass(frozen=True)
class _Mark:
    """The counters when a pass began; asked_s, told_s, told_wire: see Sample."""

    at_s: float
    asked_s: float
    told_s: float
    remaining: int
    sent: int
    wire: int
    told_wire: int
    throttle: int


def _mark(sample: samples.Sample) -> _Mark | None:
    wire, remaining = sample.memory_processed_bytes, sample.memory_remaining_bytes
    if remaining is None or wire is None:
        return None
    sent = sample.memory_sent_bytes
    return _Mark(sample.at_s, sample.told_s - sample.took_s, sample.told_s, remaining,
                 wire if sent is None else sent, wire, wire + sample.moved_bytes,
                 sample.throttle_percent or 0)


def _belong_together(one: Pass, after: Pass) -> bool:
    """Whether two passes are too short to be told apart from chance."""
    return (one.number > 0 and one.end_s == after.start_s and one.duration_s < SHORT_S
            and (one.cap_mib_s, one.steady, one.throttle_percent)
            == (after.cap_mib_s, after.steady, after.throttle_percent))


def _joined(one: Pass, after: Pass) -> Pass:
    return dataclasses.replace(
        after, start_s=one.start_s, start_bytes=one.start_bytes, count=one.count + after.count,
        shared=one.shared or after.shared,
        told=Told(one.told.wire_bytes + after.told.wire_bytes,
                  one.told.longest_s + after.told.longest_s),
        dirtied_bytes=one.dirtied_bytes + after.dirtied_bytes,
        sent_bytes=one.sent_bytes + after.sent_bytes,
        wire_bytes=one.wire_bytes + after.wire_bytes)


def _between(old: _Mark, now: _Mark, number: int, sample: samples.Sample,
             threshold_bytes: float, skipped: int) -> Pass | None:
    """The pass from one sync to another; None when the counters contradict each other.

    :param sample: taken at the later one
    :param skipped: how many passes lie between the two, 1 or more
    """
    sent, wire = now.sent - old.sent, now.wire - old.wire
    if sample.xbzrle and number and skipped == 1 and 0 <= sent <= old.remaining:
        # QEMU syncs when the remaining data is below the threshold: the rest was unchanged.
        sent = max(sent, int(old.remaining - threshold_bytes))
    dirtied = now.remaining + sent - old.remaining
    duration = now.at_s - old.at_s
    # Of several passes, only the first is known to have begun with that much.
    most = old.remaining if skipped == 1 else max(old.remaining, sample.memory_total_bytes or 0)
    if sent < 0 or wire < 0 or duration <= 0 or sent > skipped * (1.1 * most + _SLACK_BYTES):
        return None
    if sample.memory_sent_bytes is not None and dirtied < -sent // 8 - _SLACK_BYTES:
        return None
    return Pass(number, old.at_s, now.at_s, old.remaining, now.remaining,
                max(0, old.remaining - sent), max(0, dirtied), sent,
                wire, old.throttle, 0, count=max(1, skipped if number else 1),
                told=Told(now.told_wire - old.told_wire, now.told_s - old.asked_s))


class Tracker:
    """The tracker of one migration's phases and passes, from sample to sample."""

    def __init__(self) -> None:
        self.phase = Phase.SETUP
        self.passes: list[Pass] = []
        self.number = 0
        self.mark_s: float | None = None
        self._mark: _Mark | None = None
        self._first: _Mark | None = None
        self._iteration: int | None = None
        self._last_s: float | None = None
        self._was_shared = False

    def enter_post_copy(self) -> None:
        """Record that the guest runs at the destination; no pass ends any more."""
        self.phase = Phase.POST_COPY

    def observe(self, sample: samples.Sample, *, threshold_bytes: float, cap_mib_s: int,
                changed_s: float) -> Pass | None:
        """Take in a sample; returns the pass that it ended, if that is long enough to judge.

        threshold_bytes: the bytes that may remain at a switchover now. changed_s: the time of the
        last change of the cap or the limit.
        """
        if self._last_s is not None and sample.at_s < self._last_s:
            return None
        self._last_s = sample.at_s
        self._was_shared |= bool(sample.others)
        if sample.post_copy or self.phase is Phase.POST_COPY:
            self.phase = Phase.POST_COPY
            return None
        self._enter(sample)
        skipped = self._count(sample)
        if self.phase in (Phase.SETUP, Phase.DISKS):
            return None
        now = _mark(sample)
        if self._mark is None and self.phase is Phase.BULK and skipped is None:
            self._begin(now)
        if skipped is None:
            return None
        old, self._mark = self._mark, now
        self._first = self._first or now
        self.mark_s = sample.at_s
        ended = self._end(old, now, sample, threshold_bytes, skipped)
        if ended is None:
            return None
        steady = changed_s <= ended.start_s + 0.2 * ended.duration_s
        ended = dataclasses.replace(ended, cap_mib_s=cap_mib_s, steady=steady,
                                    shared=self._was_shared)
        self._was_shared = bool(sample.others)
        return self._keep(ended)

    def _keep(self, ended: Pass) -> Pass | None:
        """Keep a pass, joined to the one before where both are short; None while too short."""
        before = self.passes[-1] if self.passes else None
        if before is not None and _belong_together(before, ended):
            ended = _joined(before, ended)
            self.passes[-1] = ended
        else:
            self.passes.append(ended)
            # Keep the bulk copy and recent passes: a migration may iterate for days.
            del self.passes[1:-KEPT_PASSES]
        return ended if ended.number == 0 or ended.duration_s >= SHORT_S else None

    def _begin(self, mark: _Mark | None) -> None:
        self._mark = mark
        self._first = self._first or mark
        self.mark_s = mark.at_s if mark else None

    def _enter(self, sample: samples.Sample) -> None:
        """Move on to the disks or to the memory when the sample shows them."""
        if self.phase not in (Phase.SETUP, Phase.DISKS):
            return
        memory = bool(sample.memory_total_bytes) and bool(sample.memory_processed_bytes)
        if memory or (sample.boundary and sample.memory_remaining_bytes is not None):
            self.phase = Phase.BULK
        elif sample.disk_remaining_bytes or sample.disk_total_bytes:
            self.phase = Phase.DISKS

    def _count(self, sample: samples.Sample) -> int | None:
        """The number of syncs between the last sample and this one; None for no sync."""
        known, seen = self._iteration, sample.iteration
        if seen is None:
            return 1 if sample.boundary else None
        if known is None:
            self._iteration = seen
            return 1 if sample.boundary else None
        if seen == known:
            return None
        if seen < known:
            if not sample.boundary:
                return None
            # The counter has started again: believe it, but make no pass of the jump.
            self._iteration = seen
            self._mark = None
            return 1
        self._iteration = seen
        return seen - known

    def _end(self, old: _Mark | None, now: _Mark | None, sample: samples.Sample,
             threshold_bytes: float, skipped: int) -> Pass | None:
        """Count the passes that a sync ended; returns the last, or None when it is not known."""
        if self.phase is Phase.BULK:
            if not self._ends_bulk(old, now, sample, threshold_bytes):
                return None
            self.phase = Phase.PASSES
            number, self.number = 0, 1
        else:
            number, self.number = self.number, self.number + skipped
        if old is None or now is None:
            return None
        return _between(old, now, number, sample, threshold_bytes, skipped)

    def _ends_bulk(self, old: _Mark | None, now: _Mark | None, sample: samples.Sample,
                   threshold_bytes: float) -> bool:
        """Whether this sync, or an earlier one that was not seen, ended the bulk copy."""
        if old is None:
            return self._late(now, sample)
        return self._bulk_over(old, now, sample, threshold_bytes)

    @staticmethod
    def _late(now: _Mark | None, sample: samples.Sample) -> bool:
        """Whether the first sync that was seen already ended the bulk copy.

        By its number, the first of all did not, however much was sent until it was looked at.
        """
        total = sample.memory_total_bytes
        return bool(now and total and now.remaining < 0.9 * total and sample.iteration != 1)

    def _bulk_over(self, old: _Mark, now: _Mark | None, sample: samples.Sample,
                   threshold_bytes: float) -> bool:
        """Whether a sync ended the bulk copy.

        There is one at its start, and QEMU from 9.2 on syncs in the middle of it when
        auto-converge is armed.
        """
        total = sample.memory_total_bytes
        if now is None or not total:
            return sample.iteration is None or sample.iteration > 1
        if sample.memory_sent_bytes is not None:
            leftover = old.remaining - (now.sent - old.sent)
            first = self._first or old
            return (leftover <= max(0.1 * total, 1.3 * threshold_bytes)
                    or now.sent - first.sent >= 0.97 * total)
        return now.remaining < 0.9 * total or now.wire - old.wire > 0.1 * total
