# SPDX-License-Identifier: Apache-2.0
"""What may remain at a switchover, as QEMU makes it when a window of its pacing is over."""

from __future__ import annotations

import math

from nova_migpolicy.sim import pacing


class Threshold:
    """The threshold of one migration.

    mib: what may remain now. due_s: when it is made anew; infinite as long as nothing changes.
    """

    def __init__(self) -> None:
        self.mib = 0.0
        self.due_s = math.inf

    def begin(self, at_s: float) -> None:
        """The memory begins: there is none before the first window is over."""
        self.due_s = at_s + pacing.WINDOW_S

    def soon(self, window_ends_s: float) -> None:
        """A setting has changed: it counts when this window is over."""
        self.due_s = min(window_ends_s, self.due_s)

    def make(self, rate_mib_s: float, limit_ms: int, link_changes_s: float,
             device_mib: float = 0.0) -> None:
        """A window is over, in which this rate was seen (or was told) on the wire.

        :param link_changes_s: when the link has another rate, which a window later will show
        :param device_mib: what has to be sent beside the memory
        """
        self.mib = rate_mib_s * limit_ms / 1000 - device_mib
        self.due_s = link_changes_s + pacing.WINDOW_S
