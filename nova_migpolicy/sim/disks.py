# SPDX-License-Identifier: Apache-2.0
"""Disks that are mirrored before the memory is sent: side by side, each under a cap of its own."""

from __future__ import annotations

import math

_DONE = 1e-6


class Mirrors:
    """The disks of one migration; sizes in MiB, rates in MiB/s.

    write_mib_s: what the guest writes to each, all of which must be mirrored, too.
    """

    def __init__(self, sizes: tuple[float, ...], write_mib_s: float = 0.0) -> None:
        self._left = [float(size) for size in sizes]
        self._write = write_mib_s
        self.total_mib = float(sum(sizes))

    @property
    def left_mib(self) -> float:
        """What is still to be copied."""
        return sum(self._left)

    @property
    def in_sync(self) -> bool:
        """Whether the memory's turn has come."""
        return all(left <= _DONE for left in self._left)

    def _pace(self, link_mib_s: float, cap_mib_s: float) -> float:
        """What each disk that is not in sync yet comes on in a second."""
        active = sum(left > _DONE for left in self._left)
        share = link_mib_s / active
        return (min(share, cap_mib_s) if cap_mib_s else share) - self._write

    def next_change_s(self, link_mib_s: float, cap_mib_s: float) -> float:
        """Seconds until the next disk is in sync; infinity where none ever is."""
        pace = self._pace(link_mib_s, cap_mib_s)
        return min(left for left in self._left if left > _DONE) / pace if pace > 0 else math.inf

    def go_on(self, seconds: float, link_mib_s: float, cap_mib_s: float) -> float:
        """Copy for a time in which no disk comes to its end but at its end; MiB on the wire."""
        active = sum(left > _DONE for left in self._left)
        pace = self._pace(link_mib_s, cap_mib_s)
        self._left = [max(0.0, left - pace * seconds) if left > _DONE else 0.0
                      for left in self._left]
        return (pace + self._write) * seconds * active
