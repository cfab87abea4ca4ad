# SPDX-License-Identifier: Apache-2.0
"""The rate of the link between two hosts, as migrations show it and as it is believed.

An observed rate is no higher than that of the link, and may be far lower: zero pages and
compressed pages send next to nothing, a switchover also moves the state of devices, others may use
the link. So only transfers that were limited by bytes on the wire count, and one server alone
cannot lower what another showed lately: its user decides what it shows. All rates are in MiB/s.
Where observations are kept is not known here.
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
# Data that QEMU has sent may still wait in its socket: the most by default, net.ipv4.tcp_wmem. The
# socket is empty while QEMU is busy with its bitmap, and full again at the end of the pass.
IN_SOCKET_BYTES = 4 * MIB
LEAST_S = 0.02
LEAST_PASS_S = 0.5
# The share of what the cap let through before a switchover that must have been sent beyond it.
LEAST_BEYOND = 0.1
# The share of the covered memory that must have been sent uncompressed.
AS_IT_IS = 0.9
# Older observations do not count: the network may have been rebuilt.
KEPT_S = 14 * 86_400.0
KEPT = 8


@dataclasses.dataclass(frozen=True)
class Observation:
    """The rate that a server's migration reached over a link.

    server: any identifier of the server. at_s: on a clock that survives restarts. is_bound: it is
    only a lower bound, as the rate of a switchover.
    """

    server: str
    mib_s: float
    at_s: float
    is_bound: bool = False


@dataclasses.dataclass(frozen=True)
class Belief:
    """The believed rate of a link.

    low_mib_s: for a promise; it takes more than one server to lower it. reach_mib_s: for what may
    be tried; the highest observed rate. at_s: the time of the last observation.
    """

    low_mib_s: float
    reach_mib_s: float
    at_s: float


def shows_link(seen: passes_mod.Pass) -> bool:
    """Whether a pass was limited by its own bytes on the wire alone."""
    return (seen.steady and not seen.shared and seen.duration_s >= LEAST_PASS_S
            and seen.wire_bytes >= max(LEAST_BYTES, AS_IT_IS * seen.sent_bytes))


def from_pass(seen: passes_mod.Pass) -> float | None:
    """The rate shown by an uncapped pass; None for a capped one or one that shows too little.

    It is calculated with the longest time that the pass may have taken, and without guesses: a
    host too busy to sample in time would otherwise show a rate that the link does not reach.
    """
    if seen.cap_mib_s or not shows_link(seen) or seen.told.longest_s < LEAST_PASS_S:
        return None
    return LOW * (seen.told.wire_bytes - IN_SOCKET_BYTES) / seen.told.longest_s / MIB


def from_switchover(last: samples.Sample, sent_bytes: int, ended_s: float, cap_mib_s: int,
                    downtime_ms: int) -> float | None:
    """A lower bound of the rate in a switchover; None when too little was sent to tell.

    Of sent_bytes in all, those after the last sample were sent until the end: under the cap until
    the guest was stopped, and without it in the last downtime_ms. Part of that time is not spent
    sending memory: the state of devices is sent, too, and the destination starts.
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
    """The observations to keep when there is a new one, newest last: the newest of each server."""
    others = [one for one in known if (one.server, one.is_bound) != (new.server, new.is_bound)
              and 0 <= new.at_s - one.at_s < KEPT_S]
    return (*sorted(others, key=lambda one: one.at_s)[-(KEPT - 1):], new)


def believe(known: abc.Iterable[Observation], now_s: float) -> Belief | None:
    """The believed rate; None where nothing was observed lately."""
    # After a clock was set back, an observation dates from the future.
    lately = [one for one in known if abs(now_s - one.at_s) < KEPT_S]
    if not lately:
        return None
    rates = sorted(one.mib_s for one in lately if not one.is_bound)
    bounds = [one.mib_s for one in lately if one.is_bound]
    return Belief(max([*rates[:2][-1:], *bounds]), max([*rates, *bounds]),
                  max(one.at_s for one in lately))
