# SPDX-License-Identifier: Apache-2.0
"""Steers a migration while its disks are mirrored: faster, or the end that the policy has.

Two occasions, both at a tick: what is left of the disks and the memory would miss the deadline,
or does not fall at all, and a higher rate is permitted; or it does not fall at the highest
rate that is. Memory has its own rules (see `adjust` and `convergence`).
"""

from __future__ import annotations

import math

from nova_migpolicy.engine.estimation import disk_sync
from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine.estimation import outlook
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine.steering import adjust
from nova_migpolicy.engine.steering import closing as closing_mod
from nova_migpolicy.engine.steering import planner as planner_mod
from nova_migpolicy.engine.steering import reasons
from nova_migpolicy.engine.steering import share
from nova_migpolicy import vocabulary

MIB = record.MIB
Decision = record.Decision
# What the guest writes is only seen in part.
MARGIN = 1.2
# A guest that fills a cache or a log for a while is not given up for it.
STALL_S = observer.DISKS_KEPT_S
STALL_SEEN = 0.9
# Of what was copied in that time, so much has to be copied still in the last seconds of it.
LATELY_S = 10.0
MOVES = 0.5


class Disks:
    """The hands on the disks of one migration."""

    def __init__(self, books: ledger.Ledger, watch: observer.Watch,
                 steering: adjust.Steering, closing: closing_mod.Closing,
                 sharing: share.Sharing) -> None:
        self._books = books
        self._watch = watch
        self._steering = steering
        self._closing = closing
        self._sharing = sharing
        self._hurried_s = watch.facts.started_s

    def step(self, at_s: float) -> Decision | None:
        """What to do at a tick; None for nothing."""
        means = self._steering.means(at_s)
        found = self._hurry(at_s, means)
        if found is None and not self._closing.waits:
            found = self._stall(at_s, means)
        return found

    def _highest(self, means: planner_mod.Means, gross: float) -> bool:
        """Whether no rate that is permitted and possible is much higher than this one."""
        cap, top = self._books.now.cap_mib_s, means.max_bandwidth_mib_s
        if (not cap or not self._watch.facts.can_hurry_disks
                or remedies.BANDWIDTH not in means.remedies):
            return True
        # Where something else is slower than the cap, no cap helps with that.
        return not self._binds(gross) or bool(top and top < adjust.HURRY_GAIN * cap)

    def _binds(self, gross: float) -> bool:
        """Whether the cap is what holds the copy down, not the link, the hosts or others."""
        cap = self._books.now.cap_mib_s
        return cap > 0 and gross >= observer.LINK_BOUND * cap * MIB

    def _hurry(self, at_s: float, means: planner_mod.Means) -> Decision | None:
        watch, now = self._watch, self._books.now
        seen, needs_s = watch.disk_rates(), watch.disks_need_s()
        time_left, left = watch.time_left(at_s), watch.left()
        if seen is None or needs_s is None or left is None:
            return None
        if at_s - self._hurried_s < adjust.HURRY_S or self._highest(means, seen.gross):
            return None
        if time_left is not None and time_left <= 0 and not self._closing.waits:
            return None
        horizon_s = time_left if time_left is not None and time_left > 0 else outlook.PATIENCE_S
        if needs_s <= (math.inf if time_left is None else time_left) and not math.isinf(needs_s):
            return None
        needed = math.ceil(max(
            (MARGIN * seen.written + left / (horizon_s * adjust.HURRY_SHARE)) / MIB,
            adjust.HURRY_GAIN * now.cap_mib_s))
        top = means.max_bandwidth_mib_s
        cap = min(needed, top) if top else needed
        settings = self._steering.with_cap(cap, means)
        if settings is None:
            return None
        self._hurried_s = at_s
        does = 'makes it' if cap >= needed else 'is the most that is permitted'
        return Decision(
            at_s, settings_mod.changes(now, settings), vocabulary.RAISE_BANDWIDTH, (
                f'{figures.size(left)} of the disks and the memory are left{_written(seen)} and '
                f'{_needs(needs_s, now.cap_mib_s, time_left)}; {cap} MiB/s {does}'),
            watch.forecast)

    def _stall(self, at_s: float, means: planner_mod.Means) -> Decision | None:
        watch = self._watch
        seen = watch.disk_rates(STALL_S)
        left = watch.last.disk_remaining_bytes if watch.last is not None else None
        if seen is None or seen.seconds < STALL_SEEN * STALL_S or not left:
            return None
        lately = watch.disk_rates(LATELY_S)
        if lately is None or lately.gross < MOVES * seen.gross or seen.gross <= 0:
            # Where nothing is copied at all it is not the guest that holds it up.
            return None
        if seen.net > disk_sync.LEVEL * seen.gross:
            return None
        if not self._highest(means, seen.gross):
            return None
        reason = (
            f'{figures.size(left)} of the disks stays to be copied after '
            f'{figures.span(seen.seconds)} at {figures.rate(seen.gross)}, for the guest writes '
            f'{figures.rate(seen.anew)} of it anew, and '
            f'{reasons.exhausted(means, self._books.now)}')
        if not self._binds(seen.gross):
            waits, said = self._sharing.instead(reason, at_s)
            if waits:
                return said
        return self._closing.stall(vocabulary.ON_STALL, reason, at_s)


def _written(seen: disk_sync.Rates) -> str:
    """What the guest writes, where it writes anything."""
    return f', to which the guest writes {figures.rate(seen.written)} or more,' if (
        seen.is_written) else ''


def _needs(needs_s: float, cap_mib_s: int, time_left_s: float | None) -> str:
    if math.isinf(needs_s):
        return f'are never in sync at {cap_mib_s} MiB/s'
    deadline = '' if time_left_s is None else (
        f', but the deadline is in {figures.span(max(time_left_s, 0.0))}')
    return f'need {figures.span(needs_s)} at {cap_mib_s} MiB/s{deadline}'
