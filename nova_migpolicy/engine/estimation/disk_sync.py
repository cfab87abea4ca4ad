# SPDX-License-Identifier: Apache-2.0
"""How disks come on that a guest writes to while they are mirrored.

QEMU copies what is to be copied and, once more, what the guest has written since to a part that
was copied already. So what is copied (gross) is more than that by which what is left falls (net),
and the difference is what the guest writes anew. A write to a part that is to be copied anyway is
not seen: of what a guest writes all over a disk only as much shows as of the disk is clean.
What to do about it is not decided here.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine import samples

# The time that is looked back over, and the least that says something, in seconds.
WINDOW_S = 30.0
LEAST_S = 4.0
# Jobs that are just being started make the total jump.
SETTLE_S = 1.0
# With less of a disk clean than this, what is seen of the writes says little.
LEAST_CLEAN = 0.1
# What comes on by less than this share of what is copied does not come on.
LEVEL = 0.02


def in_sync_s(left: float, size: float, gross: float, written: float) -> float:
    """Seconds until a disk is in sync; infinity for never.

    What is left of a size S tends to S (1 - w / g) where w, written all over it, is above g.

    :param written: what the guest writes, hits on what is to be copied included
    """
    if left <= 0:
        return 0.0
    if written >= gross:
        return math.inf
    if written <= 0:
        return left / gross
    return size / written * math.log1p(left * written / (size * (gross - written)))


@dataclasses.dataclass(frozen=True)
class Rates:
    """What was seen over some seconds, in bytes/s.

    gross: copied. anew: of that, what the guest had written to parts that were copied already.
    written: what the guest writes in all, as far as that can be told from it.
    """

    gross: float
    anew: float
    written: float
    seconds: float

    @property
    def net(self) -> float:
        """By how much what is left falls; below 0 where it grows."""
        return self.gross - self.anew

    @property
    def is_written(self) -> bool:
        """Whether the guest writes enough to be spoken of."""
        return self.anew > 0 and self.anew >= LEVEL * self.gross

    @property
    def level(self) -> bool:
        """Whether what is left does not fall, or will not for long."""
        return max(self.anew, self.written) >= (1 - LEVEL) * self.gross


@dataclasses.dataclass(frozen=True)
class Mirroring:
    """The disks of one migration, as they came on up to a sample.

    seen: when, and the bytes processed and remaining then; nothing of the first moments.
    first_s: when the first sample was.
    """

    seen: tuple[tuple[float, int, int], ...] = ()
    first_s: float | None = None

    def add(self, sample: samples.Sample, keep_s: float) -> Mirroring:
        """Take in a sample; what is older than keep_s before it is forgotten."""
        done, left = sample.disk_processed_bytes, sample.disk_remaining_bytes
        if done is None or left is None or not sample.disk_total_bytes:
            return self
        first_s = sample.at_s if self.first_s is None else self.first_s
        if sample.at_s - first_s < SETTLE_S:
            return Mirroring(self.seen, first_s)
        seen = self.seen
        if seen and (sample.at_s <= seen[-1][0] or done < seen[-1][1]):
            seen = ()
        seen = (*seen, (sample.at_s, done, left))
        old = 0
        while len(seen) - old > 2 and sample.at_s - seen[old + 1][0] >= keep_s:
            old += 1
        return Mirroring(seen[old:], first_s)

    def rates(self, since_s: float, size: float, window_s: float = WINDOW_S) -> Rates | None:
        """The rates in the window before the last sample; None where too little was seen.

        :param since_s: nothing from before counts
        :param size: of all disks together, in bytes
        """
        if not self.seen:
            return None
        end_s = self.seen[-1][0]
        seen = [one for one in self.seen if one[0] >= max(since_s, end_s - window_s)]
        seconds = end_s - seen[0][0] if seen else 0.0
        if seconds < LEAST_S:
            return None
        gross = (seen[-1][1] - seen[0][1]) / seconds
        anew = max(0.0, gross + (seen[-1][2] - seen[0][2]) / seconds)
        clean = 1 - sum(one[2] for one in seen) / len(seen) / size if size else 1.0
        return Rates(gross, anew, anew / min(1.0, max(clean, LEAST_CLEAN)), seconds)
