# SPDX-License-Identifier: Apache-2.0
"""How KubeVirt's VEP 248 finds that pre-copy has stalled, and a moment that is worth using.

Facts, from kubevirt/kubevirt at d923fdb, pkg/virt-launcher/virtwrap/stall-detector.go and
pkg/virt-config/virt-config.go:

* What remains is noted at the end of each pass. It has stalled when at least 96 % remains of the
  least that did 40 s ago or earlier.
* From then on the target is the least seen until the stall. A pass is a local minimum when at most
  104 % of the target remain.
* While no pass reaches the target it is relaxed: when the patience is over, at first 40 s after
  the stall was found, the least that has remained since then becomes the target and is struck off
  the list; and the patience halves each time.

Only remaining bytes and times come in here; what is done at a minimum is in `kubevirt_stall`.
"""

from __future__ import annotations

import heapq

MARGIN = 0.04
PROGRESS_MS = 40_000
PATIENCE_FACTOR = 0.5


class Detector:
    """Takes in what remains at the end of each pass, in bytes, with the time in ms."""

    def __init__(self) -> None:
        self.stalled = False
        self._recent: list[tuple[int, int]] = []    # (time, remaining), each less than the last
        self._earlier: int | None = None            # the least that remained long enough ago
        self._target = 0
        self._since: list[int] = []
        self._patience_ms = PROGRESS_MS
        self._relax_ms = 0

    def end_of_pass(self, at_ms: int, remaining: int) -> bool:
        """Note a pass; whether it has stalled and this is a local minimum."""
        self._note(at_ms, remaining)
        if self.stalled:
            self._relax(at_ms, remaining)
        elif self._earlier is not None and remaining >= int(self._earlier * (1 - MARGIN)):
            self.stalled = True
            self._target = min([self._earlier, *(left for _, left in self._recent)])
            self._relax_ms = at_ms + self._patience_ms
        return self.stalled and remaining <= int(self._target * (1 + MARGIN))

    def _note(self, at_ms: int, remaining: int) -> None:
        while self._recent and at_ms - self._recent[0][0] >= PROGRESS_MS:
            left = self._recent.pop(0)[1]
            self._earlier = left if self._earlier is None else min(self._earlier, left)
        # Only what may yet become the least is kept.
        if self._earlier is not None and remaining > self._earlier:
            return
        if not self._recent or remaining < self._recent[-1][1]:
            self._recent.append((at_ms, remaining))

    def _relax(self, at_ms: int, remaining: int) -> None:
        heapq.heappush(self._since, remaining)
        if at_ms < self._relax_ms:
            return
        self._target = heapq.heappop(self._since)
        self._patience_ms = int(self._patience_ms * PATIENCE_FACTOR)
        self._relax_ms = at_ms + self._patience_ms
