# SPDX-License-Identifier: Apache-2.0
"""The lives of other hosts' processes, told apart by their epochs."""

from __future__ import annotations

import enum

from nova_migpolicy.capacity import limits as limits_mod


class Life(enum.Enum):
    """Which of a host's processes a message is from."""

    SAME = 'the one that is known'
    NEW = 'one that has started since'
    FORMER = 'one that is gone'


class Lives:
    """The newest epoch of each host.

    A clock may have been set back before a host's last start. So an epoch that nothing was heard
    of for FORGET_S is not believed any more, and a lower one is new.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float]] = {}

    def epoch(self, host: str) -> int:
        """Return a host's epoch, or 0 where nothing was heard of it."""
        return self._known.get(host, (0, 0.0))[0]

    def hear(self, host: str, epoch: int, now_s: float) -> Life:
        """Take note of a message's epoch."""
        known, heard_s = self._known.get(host, (0, now_s))
        if epoch < known and now_s - heard_s < limits_mod.FORGET_S:
            return Life.FORMER
        self._known[host] = epoch, now_s
        return Life.SAME if epoch == known else Life.NEW
