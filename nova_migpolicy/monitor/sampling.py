# SPDX-License-Identifier: Apache-2.0
"""Make the engine's samples from libvirt's statistics, and detect the start of a pass.

It calls nothing: statistics and events come in, samples go out.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import inbox as inbox_mod

# A sample this much later than its event is corrected to the time of the event.
STALE_S = 0.02


class Sampler:
    """Samples of one migration.

    :param has_events: whether libvirt reports the start of a pass
    """

    def __init__(self, has_events: bool) -> None:
        self._has_events = has_events
        self._iteration: int | None = None

    def make(self, stats: Mapping[str, Any], boundary: inbox_mod.PassStarted | None,
             asked_s: float, now_s: float, post_copy: bool) -> samples.Sample:
        """Make a sample of statistics that were requested at `asked_s` and returned by `now_s`.

        It is taken after a pass began, or at a tick.
        """
        sample = dataclasses.replace(
            samples.Sample.from_stats(now_s, stats, post_copy=post_copy),
            took_s=round(max(0.0, now_s - asked_s), 3))
        if boundary is not None:
            return at_boundary(sample, boundary)
        if self._has_events or sample.iteration is None:
            return sample
        # Without events a new pass shows as a counter that has grown.
        grown = self._iteration is not None and sample.iteration > self._iteration
        self._iteration = sample.iteration
        return dataclasses.replace(sample, boundary=grown)


def at_boundary(
    sample: samples.Sample, started: inbox_mod.PassStarted,
) -> samples.Sample:
    """The sample as of the start of the pass, where it was read a little later.

    Under eventlet an event is seen up to 0.1 s late, and part of the new pass
    was already sent: it is added to the remaining memory at the reported rate.
    If libvirt answered so late that the next pass has begun, the answer tells
    nothing of this one; that pass has an event of its own.
    """
    if sample.iteration is not None and sample.iteration > started.iteration:
        return sample
    marked = dataclasses.replace(sample, boundary=True, iteration=started.iteration)
    late_s = sample.at_s - started.at_s
    rate = sample.memory_rate_bytes_s
    remaining = sample.memory_remaining_bytes
    if late_s < STALE_S or not rate or remaining is None:
        return marked
    sent = int(rate * late_s)
    if sample.memory_total_bytes is not None:
        sent = min(sent, max(0, sample.memory_total_bytes - remaining))
    processed, pages = sample.memory_processed_bytes, sample.memory_sent_bytes
    return dataclasses.replace(
        marked, at_s=started.at_s, moved_s=round(late_s, 3), moved_bytes=sent,
        memory_remaining_bytes=remaining + sent,
        memory_processed_bytes=None if processed is None else max(0, processed - sent),
        memory_sent_bytes=None if pages is None else max(0, pages - sent))
