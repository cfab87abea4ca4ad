# SPDX-License-Identifier: Apache-2.0
"""Estimate the progress of disks that a guest writes to while they are mirrored.

QEMU copies a disk and copies again the parts that the guest writes to after they were copied. So
the bytes copied (gross) exceed the bytes by which the remaining data falls (net), and the
difference is what the guest dirties again. A write to a part that is still to be copied is not
seen: of writes all over a disk, only the share that falls on its clean part shows.
What to do about it is not decided here.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine import samples

# The window of samples, and the shortest from which a rate can be told, in seconds.
WINDOW_S = 30.0
LEAST_S = 4.0
# The total jumps while the jobs are being started.
SETTLE_S = 1.0
# With a smaller clean share of a disk than this, too few of the writes are seen.
LEAST_CLEAN = 0.1
# With less net progress than this share of the bytes copied, the disks make none.
LEVEL = 0.02


def in_sync_s(left: float, size: float, gross: float, written: float) -> float:
    """Seconds until a disk is in sync; infinity for never.

    The remaining part of a size S tends to S (1 - w / g) where w, written all over it, is above g.

    :param written: bytes/s that the guest writes, with those to parts still to be copied
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
    """The rates observed over some seconds, in bytes/s.

    gross: copied. again: of that, parts copied again because the guest had written to them.
    written: all that the guest writes, as far as that can be told from it.
    """

    gross: float
    again: float
    written: float
    seconds: float

    @property
    def net(self) -> float:
        """The rate at which the remaining data falls; below 0 where it grows."""
        return self.gross - self.again

    @property
    def is_written(self) -> bool:
        """Whether the guest writes enough to mention it."""
        return self.again > 0 and self.again >= LEVEL * self.gross

    @property
    def level(self) -> bool:
        """Whether the remaining data does not fall, or will not for long."""
        return max(self.again, self.written) >= (1 - LEVEL) * self.gross


@dataclasses.dataclass(frozen=True)
class Mirroring:
    """The progress of the disks of one migration up to a sample.

    seen: times, with the bytes processed and remaining then; the first moments are left out.
    first_s: the time of the first sample.
    """

    seen: tuple[tuple[float, int, int], ...] = ()
    first_s: float | None = None

    def add(self, sample: samples.Sample, keep_s: float) -> Mirroring:
        """Take in a sample, and forget those more than keep_s older."""
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

        :param since_s: samples from before it do not count
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
        again = max(0.0, gross + (seen[-1][2] - seen[0][2]) / seconds)
        clean = 1 - sum(one[2] for one in seen) / len(seen) / size if size else 1.0
        return Rates(gross, again, again / min(1.0, max(clean, LEAST_CLEAN)), seconds)
