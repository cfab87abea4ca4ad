# SPDX-License-Identifier: Apache-2.0
"""What is to happen at which time, one after the other, and the clock that goes along with it."""

from __future__ import annotations

from collections import abc
import heapq


class Agenda:
    """What is still to happen, and the time; of the same moment the first that was added is first.

    now_s: the time; between two things that happen it stands still. happened: how many there were,
    the one that happens now included.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.happened = 0
        self._coming: list[tuple[float, int, abc.Callable[..., None], tuple[object, ...]]] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._coming)

    def after(self, seconds: float, what: abc.Callable[..., None], *args: object) -> None:
        """Call a function later."""
        self._added += 1
        heapq.heappush(self._coming, (self.now_s + seconds, self._added, what, args))

    def step(self, until_s: float | None = None) -> bool:
        """Let the next thing happen, and return whether there was one.

        :param until_s: not after this; where nothing is left until then, it is then
        """
        if not self._coming or (until_s is not None and self._coming[0][0] > until_s):
            if until_s is not None:
                self.now_s = max(self.now_s, until_s)
            return False
        self.now_s, _, what, args = heapq.heappop(self._coming)
        self.happened += 1
        what(*args)
        return True
