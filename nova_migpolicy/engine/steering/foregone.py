# SPDX-License-Identifier: Apache-2.0
"""Says soon what is not likely to arrive by its deadline at any rate that is permitted.

All has to be sent once. Where that alone takes longer than the deadline leaves, at the highest
permitted rate, an operator can still permit more or give it more time. It is not ended for that:
pages of zeros may be yet to come, which take next to no time.
"""

from __future__ import annotations

import math

from nova_migpolicy.engine.estimation import disk_sync
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine.estimation import standstill
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import vocabulary

Decision = record.Decision
RULE = vocabulary.DEADLINE
# A pace is known after some seconds, and is none where nothing has moved for as many.
SEEN_S = 10.0


class Foregone:
    """The look ahead of one migration; it is said once."""

    def __init__(self, terms: terms_mod.Terms, books: ledger.Ledger,
                 watch: observer.Watch) -> None:
        self._terms = terms
        self._books = books
        self._watch = watch
        self._said = False
        # When it last stood still.
        self._stood_s = float('-inf')

    def step(self, at_s: float) -> Decision | None:
        """Look at a tick of the disks or the bulk copy; None for nothing."""
        watch, cap = self._watch, self._books.now.cap_mib_s
        time_left, left, pace = watch.time_left(at_s), watch.left(), self._pace()
        if watch.standstill.seconds >= SEEN_S:
            self._stood_s = at_s
            return None         # If it lasts, that is said of its own.
        if watch.standstill.seconds >= standstill.STEP_S:
            return None         # It may have stopped a moment ago.
        if self._said or time_left is None or time_left <= 0 or left is None or not pace:
            return None
        if at_s - max(watch.facts.started_s, self._changed_s()) < SEEN_S or self._is_shared():
            return None
        top = self._terms.highest_cap(cap) if self._books.available(remedies.BANDWIDTH) else cap
        binds = cap > 0 and pace >= observer.LINK_BOUND * cap * record.MIB
        if binds and not top:
            return None         # Any rate is permitted.
        best = pace * top / cap if binds else pace
        needed_s = self._needed_s(left, best)
        if needed_s <= time_left:
            return None
        self._said = True
        rate = f'the {top} MiB/s that are permitted' if binds else figures.rate(best)
        takes = (f'to which the guest writes more than {rate} copy' if math.isinf(needed_s) else
                 f'for which {rate} take no less than {figures.span(needed_s)}')
        reason = (f'{figures.size(left)} are left, {takes}, but the deadline is in '
                  f'{figures.span(time_left)}; permit more bandwidth or give it more time')
        return Decision(at_s, (), RULE, reason, watch.forecast)

    def _needed_s(self, left: int, rate: float) -> float:
        """Seconds that all takes at a rate, in bytes/s; infinity for never."""
        watch = self._watch
        rates = watch.disk_rates() if watch.tracker.phase is samples.Phase.DISKS else None
        if rates is None or not rates.is_written:
            return left / rate
        memory = watch.facts.memory_bytes
        # At a higher rate no more is written than is seen for certain.
        written = math.inf if rates.level and rate <= rates.gross else rates.anew
        return memory / rate + disk_sync.in_sync_s(
            left - memory, watch.disk_bytes, rate, written)

    def _pace(self) -> float | None:
        """Bytes/s that are sent, with what is sent again of disks; None where not known yet."""
        watch = self._watch
        if watch.tracker.phase is not samples.Phase.DISKS:
            return watch.pace.rate()
        rates = watch.disk_rates()
        return rates.gross if rates is not None and rates.seconds >= SEEN_S else None

    def _changed_s(self) -> float:
        """When the pace begins to be that of the present settings and a link that moves."""
        changed_s = max(self._books.changed_s, self._stood_s)
        at_start = changed_s <= self._watch.facts.started_s
        return changed_s if at_start else changed_s + progress_mod.WINDOW_S

    def _is_shared(self) -> bool:
        last = self._watch.last
        return last is None or bool(last.others) or self._watch.tracker.phase not in (
            samples.Phase.DISKS, samples.Phase.BULK)
