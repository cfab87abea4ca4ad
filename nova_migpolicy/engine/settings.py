# SPDX-License-Identifier: Apache-2.0
"""The settings of a running migration, and what a promised blackout means to QEMU.

QEMU switches over when what remains is less than its limit times the rate at which it sends.
The bandwidth cap holds that rate down, but it does not bind the switchover itself, which goes at
the rate of the link. So under a cap the limit is scaled by link / cap to mean the real blackout.
All of the arithmetic of limits is here; when to change one is not.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.policy import keys

MIB = record.MIB

# A real switchover takes more than sending the remaining memory: the last sync, the state of the
# devices, the start at the other side. The margin kept back from the promise pays for that.
OVERHEAD_MS = 30
MARGIN = 0.85
FLOOR = 0.4
# The limit that QEMU has by itself, in ms.
QEMU_LIMIT_MS = 300
# QEMU takes no limit above this, in ms.
HIGHEST_LIMIT_MS = 2_000_000


@dataclasses.dataclass(frozen=True)
class Link:
    """The known rates of the link between the hosts in MiB/s; None for not known.

    mib_s: estimated low, for a promise. switchover_mib_s: the rate that QEMU was told and
    calculates with; None where it was told none. reach_mib_s: the highest observed rate, for what
    may be tried.
    """

    mib_s: float | None = None
    switchover_mib_s: float | None = None
    reach_mib_s: float | None = None

    @property
    def most_mib_s(self) -> float | None:
        """The most that may be expected; None for not known."""
        known = [mib for mib in (self.mib_s, self.reach_mib_s) if mib]
        return max(known) if known else None


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings in force.

    cap_mib_s: 0 for none. limit_ms: the limit that QEMU was given; promised_ms: the real blackout
    that it stands for. throttle_percent: how far auto-converge may go; 0 where the engine did not
    set it.
    """

    cap_mib_s: int
    limit_ms: int
    promised_ms: int
    throttle_percent: int = 0


def told_mib_s(cap_mib_s: int, link_mib_s: float | None) -> int | None:
    """The rate of the link to tell QEMU, in whole MiB/s; None for none.

    Without a cap QEMU sees the rate of the link itself; under one it sends at least at the cap.
    """
    if not cap_mib_s or link_mib_s is None or link_mib_s < 1:
        return None
    return max(int(link_mib_s), cap_mib_s)


def usable_ms(promised_ms: float) -> float:
    """The part of a promised blackout, in ms, in which memory may be sent."""
    return max(promised_ms * MARGIN - OVERHEAD_MS, promised_ms * FLOOR)


def limit_ms(promised_ms: int, cap_mib_s: int, link: Link) -> int:
    """The limit to give QEMU so that the real blackout stays within promised_ms.

    Under a cap on a link of unknown rate the cap counts as the link. Where QEMU was told a rate
    other than the link's, it calculates with that. A limit is at most HIGHEST_LIMIT_MS: the
    blackout is then shorter than promised.
    """
    wanted_ms = int(usable_ms(promised_ms) * _scale(cap_mib_s, link))
    return min(max(1, wanted_ms), HIGHEST_LIMIT_MS)


def _scale(cap_mib_s: int, link: Link) -> float:
    if link.mib_s and link.switchover_mib_s:
        return link.mib_s / link.switchover_mib_s
    if link.mib_s and cap_mib_s:
        return max(1.0, link.mib_s / cap_mib_s)
    return 1.0


def promised_ms(limit: int, cap_mib_s: int, link: Link) -> int:
    """The real blackout that a limit of QEMU's in ms stands for: the inverse of `limit_ms`."""
    usable = limit / _scale(cap_mib_s, link)
    return max(1, round(min((usable + OVERHEAD_MS) / MARGIN, usable / FLOOR)))


def threshold_bytes(limit: int, rate_bytes_s: float, link: Link) -> float:
    """The bytes that may remain at a switchover under a limit in ms, sending rate_bytes_s."""
    rate = link.switchover_mib_s * MIB if link.switchover_mib_s else rate_bytes_s
    return rate * limit / 1000


def blackout_ms(remaining_bytes: float, rate_bytes_s: float, link: Link) -> float:
    """The real blackout in ms for the bytes that remain at the switchover.

    On a link of unknown rate it is that at the observed rate: an upper bound.
    """
    rate = max(rate_bytes_s, (link.mib_s or 0) * MIB, 1.0)
    return remaining_bytes / rate * 1000 + OVERHEAD_MS


def initial_promise_ms(policy: keys.Policy) -> int:
    """The blackout in ms to aim for at the start, never above that of the policy."""
    return min(policy.initial_downtime_ms, policy.max_downtime_ms)


def initial_limit_ms(policy: keys.Policy, facts: record.Facts) -> int:
    """The limit in ms to give QEMU before the start."""
    return limit_ms(initial_promise_ms(policy), facts.bandwidth_mib_s,
                    Link(facts.link_mib_s, facts.switchover_mib_s, facts.reach_mib_s))


def with_cap(now: Settings, cap_mib_s: int, link: Link) -> Settings:
    """The settings with another cap and the same promised blackout."""
    return dataclasses.replace(
        now, cap_mib_s=cap_mib_s, limit_ms=limit_ms(now.promised_ms, cap_mib_s, link))


def changes(old: Settings, new: Settings) -> tuple[remedies.Action, ...]:
    """The actions from one to the other, in an order that keeps the promise at each step.

    A raised cap raises what may remain at the switchover, so a limit that goes down goes down
    before the cap goes up, and one that goes up does so after everything else.
    """
    actions: list[remedies.Action] = []
    limit = remedies.SetMaxDowntime(new.limit_ms, new.promised_ms)
    if new.limit_ms < old.limit_ms:
        actions.append(limit)
    if new.cap_mib_s != old.cap_mib_s:
        actions.append(remedies.SetBandwidth(new.cap_mib_s))
    if new.throttle_percent != old.throttle_percent:
        actions.append(remedies.SetThrottle(new.throttle_percent))
    if new.limit_ms > old.limit_ms or (
            new.limit_ms == old.limit_ms and new.promised_ms != old.promised_ms):
        actions.append(limit)
    return tuple(actions)
