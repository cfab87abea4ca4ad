# SPDX-License-Identifier: Apache-2.0
"""The rate of the link between two hosts: what a migration shows of it, and what is believed.

Whatever is seen is no more than what the link gives, and may be far less: pages of zeros and
compressed ones send next to nothing, a switchover also moves the state of devices, others may use
the link. So only what was bound by bytes on the wire counts, and one server alone cannot bring
down what was seen of another lately: what its owner does decides what is seen of it. All rates are
in MiB/s. Where the knowledge is kept is not known here.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine.estimation import passes as passes_mod
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import samples

MIB = figures.MIB
LOW = 0.9
LEAST_BYTES = 8 * MIB
# What QEMU has sent may still wait in its socket: the most by default, net.ipv4.tcp_wmem. It is
# empty where QEMU was busy with its bitmap, and full again at the end of what is looked at.
IN_SOCKET_BYTES = 4 * MIB
LEAST_S = 0.02
LEAST_PASS_S = 0.5
# Of what a cap let through until a switchover, the share that has to have been sent beyond it.
LEAST_BEYOND = 0.1
# Of what was dealt with, the share that has to have been sent as it is.
AS_IT_IS = 0.9
# What is older says nothing of a network that may have been rebuilt.
KEPT_S = 14 * 86_400.0
KEPT = 8


@dataclasses.dataclass(frozen=True)
class Observation:
    """What a server's migration got over a link.

    server: whatever tells servers apart. at_s: on a clock that goes on over restarts.
    is_bound: it is no more than a lower bound, as what a switchover shows.
    """

    server: str
    mib_s: float
    at_s: float
    is_bound: bool = False


@dataclasses.dataclass(frozen=True)
class Belief:
    """What a link is believed to give.

    low_mib_s: for a promise; more than one server has to have seen less. reach_mib_s: for what may
    be tried; the most that was seen. at_s: when something was last seen.
    """

    low_mib_s: float
    reach_mib_s: float
    at_s: float


def shows_link(seen: passes_mod.Pass) -> bool:
    """Whether bytes on the wire, and no others', were what made a pass as long as it was."""
    return (seen.steady and not seen.shared and seen.duration_s >= LEAST_PASS_S
            and seen.wire_bytes >= max(LEAST_BYTES, AS_IT_IS * seen.sent_bytes))


def from_pass(seen: passes_mod.Pass) -> float | None:
    """What an uncapped pass says; None for a capped one or one that shows too little.

    It counts as long as it may have been, and nothing that is guessed: what a host was too busy to
    look at for a while would else show a rate that the link does not give.
    """
    if seen.cap_mib_s or not shows_link(seen) or seen.told.longest_s < LEAST_PASS_S:
        return None
    return LOW * (seen.told.wire_bytes - IN_SOCKET_BYTES) / seen.told.longest_s / MIB


def from_switchover(last: samples.Sample, sent_bytes: int, ended_s: float, cap_mib_s: int,
                    downtime_ms: int) -> float | None:
    """What the link gave at least in a switchover; None when too little was sent to tell.

    Of sent_bytes in all, those after the last sample were sent until the end, capped until the
    guest was stopped for the last downtime_ms, which the cap did not bind. Part of that is not
    spent sending memory: the state of devices goes, too, and the destination starts.
    """
    wire_bytes = sent_bytes - (last.told_bytes or 0) - IN_SOCKET_BYTES
    seconds, stopped_s = ended_s - last.told_s + last.took_s, downtime_ms / 1000
    if stopped_s < LEAST_S or seconds < stopped_s:
        return None
    capped = cap_mib_s * MIB * (seconds - stopped_s)
    freely = wire_bytes - capped if cap_mib_s else wire_bytes * stopped_s / seconds
    if freely < max(LEAST_BYTES, LEAST_BEYOND * capped):
        return None
    return freely / MIB / stopped_s


def keep(known: abc.Iterable[Observation], new: Observation) -> tuple[Observation, ...]:
    """What is kept when there is something new, the newest last: of each server its newest."""
    others = [one for one in known if (one.server, one.is_bound) != (new.server, new.is_bound)
              and 0 <= new.at_s - one.at_s < KEPT_S]
    return (*sorted(others, key=lambda one: one.at_s)[-(KEPT - 1):], new)


def believe(known: abc.Iterable[Observation], now_s: float) -> Belief | None:
    """What is believed; None where nothing was seen lately."""
    # A clock that was set back makes it date from the future.
    lately = [one for one in known if abs(now_s - one.at_s) < KEPT_S]
    if not lately:
        return None
    rates = sorted(one.mib_s for one in lately if not one.is_bound)
    bounds = [one.mib_s for one in lately if one.is_bound]
    return Belief(max([*rates[:2][-1:], *bounds]), max([*rates, *bounds]),
                  max(one.at_s for one in lately))
