# SPDX-License-Identifier: Apache-2.0
"""The rate of the link between two hosts, learnt from what migrations got over it, taken low.

An overstated link breaks the promised blackout at once, while an understated one only makes the
migration a little harder, so a lower observation is believed at once and a higher one slowly.
All rates are in MiB/s. Where the knowledge is kept is not known here.
"""

from __future__ import annotations

from nova_migpolicy.engine import passes

MIB = 1 << 20
LOW = 0.9
RISE = 0.25
LEAST_BYTES = 8 * MIB
LEAST_S = 0.02


def from_pass(seen: passes.Pass) -> float | None:
    """What an uncapped pass says; None for a capped one or one too short to tell."""
    if seen.cap_mib_s or not seen.steady or seen.duration_s < 0.5:
        return None
    if seen.wire_bytes < LEAST_BYTES:
        return None
    return LOW * seen.wire_rate / MIB


def from_switchover(wire_bytes: int, seconds: float, cap_mib_s: int,
                    downtime_ms: int) -> float | None:
    """What a switchover says; None when too little was sent in the downtime to tell.

    wire_bytes were sent in the seconds from the last sample to the end, capped until the guest
    was stopped for the last downtime_ms, which the cap did not bind.
    """
    stopped_s = downtime_ms / 1000
    if stopped_s < LEAST_S or seconds < stopped_s:
        return None
    freely = wire_bytes - cap_mib_s * MIB * (seconds - stopped_s) if cap_mib_s else (
        wire_bytes * stopped_s / seconds)
    if freely < LEAST_BYTES:
        return None
    # Part of the downtime is not spent sending: what comes out is low already.
    return freely / MIB / stopped_s


def merge(known: float | None, seen: float | None) -> float | None:
    """Earlier knowledge and a new observation."""
    if known is None or seen is None:
        return seen if known is None else known
    if seen <= known:
        return seen
    return known + RISE * (seen - known)
