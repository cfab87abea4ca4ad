# SPDX-License-Identifier: Apache-2.0
"""The closed set of actions on a running migration, and the order of their harm.

An action is data: it names a setting or a step and carries the value. Nothing is done here; the
executor applies the actions in the order in which a decision lists them. Whether an action is
worth its harm is decided in `steering`.
"""

from __future__ import annotations

import dataclasses
import typing

# The policy's words for remedies, from the least to the most harmful to the guest.
BANDWIDTH = 'bandwidth'
DOWNTIME = 'downtime'
AUTO_CONVERGE = 'auto_converge'
POST_COPY = 'post_copy'
PAUSE = 'pause'
HARM_ORDER = (BANDWIDTH, DOWNTIME, AUTO_CONVERGE, POST_COPY, PAUSE)


@dataclasses.dataclass(frozen=True)
class SetBandwidth:
    """Cap the transfer at mib_s MiB/s for all of its streams together; 0 lifts the cap."""

    name: typing.ClassVar[str] = 'set_bandwidth'
    remedy: typing.ClassVar[str] = BANDWIDTH
    mib_s: int

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {'action': self.name, 'mib_s': self.mib_s}


@dataclasses.dataclass(frozen=True)
class SetMaxDowntime:
    """Let QEMU switch over when what remains needs at most limit_ms at the rate it sends.

    promised_ms is the real blackout that this stands for: the switchover is not bound by the
    bandwidth cap, so under a cap limit_ms may be far above promised_ms.
    """

    name: typing.ClassVar[str] = 'set_max_downtime'
    remedy: typing.ClassVar[str] = DOWNTIME
    limit_ms: int
    promised_ms: int

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {'action': self.name, 'limit_ms': self.limit_ms,
                'promised_ms': self.promised_ms}


@dataclasses.dataclass(frozen=True)
class SetThrottle:
    """Let auto-converge slow the guest's processors down to percent (1..99) of sleep."""

    name: typing.ClassVar[str] = 'set_throttle'
    remedy: typing.ClassVar[str] = AUTO_CONVERGE
    percent: int

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {'action': self.name, 'percent': self.percent}


@dataclasses.dataclass(frozen=True)
class StartPostCopy:
    """Run the guest at the destination now and fetch the rest of its memory on demand."""

    name: typing.ClassVar[str] = 'start_post_copy'
    remedy: typing.ClassVar[str] = POST_COPY

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {'action': self.name}


@dataclasses.dataclass(frozen=True)
class Pause:
    """Stop the guest so that nothing is dirtied any more; it resumes at the destination."""

    name: typing.ClassVar[str] = 'pause'
    remedy: typing.ClassVar[str] = PAUSE

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {'action': self.name}


@dataclasses.dataclass(frozen=True)
class Abort:
    """End the migration; the guest stays where it is."""

    name: typing.ClassVar[str] = 'abort'
    remedy: typing.ClassVar[str] = 'abort'

    def to_dict(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {'action': self.name}


Action = typing.Union[SetBandwidth, SetMaxDowntime, SetThrottle, StartPostCopy, Pause, Abort]
