# SPDX-License-Identifier: Apache-2.0
"""KubeVirt 1.9: timeouts by default, and the ramp of downtime limits of VEP 291 on top of them.

Facts, from kubevirt/kubevirt at d923fdb (August 2026), pkg/virt-launcher/virtwrap:
live-migration-source.go (`handleLegacyConvergence`, `tuneDowntime`) and manager.go
(`getVMIMigrationDataSize`), pkg/virt-config/virt-config.go, and kubevirt/enhancements,
veps/sig-compute/291-dynamic-downtime-tuning:

* It polls every 400 ms, the first time after 400 ms.
* The completion timeout is 150 s for each gigabyte (10^9 bytes, rounded up) of memory and copied
  disks: 300 s for 1 GiB. It has run out when more whole seconds have passed. Then, if workloads
  may be disrupted: post-copy where that is allowed, otherwise the guest is paused; and if not,
  abort. By default nothing of that is allowed, and disruption follows allowPostCopy.
* The progress timeout is 150 s, counted from the last poll at which less remained than at the
  poll before it; then abort. So only a link that moves nothing runs into it.
* The limit is QEMU's 300 ms by default and never changed.
* The ramp (alpha, off by default): 150 ms at the first poll; once libvirt's counter of passes, as
  it is, is at 3, one step up whenever 10 s have passed since the last change, up to maxDowntimeMs,
  900 by default. A step is the seventh part of the way, rounded down: 107 ms, and an eighth step
  adds the millisecond that is missing. The VEP says that the 10 s begin when the counter is at 3;
  the code counts from the first poll.

How that maps to a policy: allowPostCopy is may_post_copy, and disruption is allowed where the
policy permits either. Simplified: KubeVirt aborts a paused migration after twice the timeout; here
a pause is the end. Where a step up and an end fall on one poll, only the end is done.
"""

from __future__ import annotations

import math

from bench.contest import engines
from bench.contest.peers import base
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples

POLL_S = 0.4
TIMEOUT_S_PER_GB = 150
PROGRESS_S = 150
MAX_DOWNTIME_MS = 900
RAMP_FIRST_MS = 150
RAMP_STEPS = 7
RAMP_FROM_PASS = 3
RAMP_COOLDOWN_S = 10.0
_GB = 10 ** 9


def own_timeout_s(task: engines.Task) -> int:
    """KubeVirt's own completion timeout."""
    data = (task.memory_mib + task.disk_mib) * engines.MIB
    return TIMEOUT_S_PER_GB * math.ceil(data / _GB)


def remaining(sample: samples.Sample) -> int | None:
    """What libvirt calls data remaining: memory and disks together, in bytes."""
    known = [count for count in (sample.memory_remaining_bytes, sample.disk_remaining_bytes)
             if count is not None]
    return sum(known) if known else None


class Timeouts(base.Peer):
    """KubeVirt's monitor by default."""

    def __init__(self, task: engines.Task) -> None:
        super().__init__(POLL_S)
        self._policy = task.policy
        self._timeout_s = int(base.timeout_s(own_timeout_s(task), task))
        self._remaining = 0
        self._progress_s = 0.0

    def _decide(self, sample: samples.Sample) -> record.Decision | None:
        now = remaining(sample)
        if now is not None:
            if not self._remaining or now < self._remaining:
                self._progress_s = sample.at_s
            self._remaining = now
        return self._end(sample) or self._tune(sample)

    def _end(self, sample: samples.Sample) -> record.Decision | None:
        """What a timeout that has run out asks for."""
        over = int(sample.at_s) > self._timeout_s
        why = f'the migration has not completed within {self._timeout_s} s'
        if over and self._policy.may_post_copy:
            return base.decide(sample, remedies.StartPostCopy(), 'timeout', why)
        if over and self._policy.may_pause:
            return base.decide(sample, remedies.Pause(), 'timeout', why)
        stuck_s = int(sample.at_s - self._progress_s)
        if stuck_s > PROGRESS_S:
            return base.decide(sample, remedies.Abort(), 'stuck',
                               f'nothing has moved for {stuck_s} s')
        return base.decide(sample, remedies.Abort(), 'timeout', why) if over else None

    def _tune(self, sample: samples.Sample) -> record.Decision | None:
        return None


class Ramp(Timeouts):
    """The same with the ramp of VEP 291."""

    def __init__(self, task: engines.Task) -> None:
        super().__init__(task)
        self._highest_ms = base.clamp(MAX_DOWNTIME_MS, task.policy)
        self._first_ms = min(RAMP_FIRST_MS, self._highest_ms)
        self._step_ms = max((self._highest_ms - self._first_ms) // RAMP_STEPS, 1)
        self._limit_ms: int | None = None
        self._tuned_s = 0.0

    def _tune(self, sample: samples.Sample) -> record.Decision | None:
        if self._limit_ms is None:
            return base.limit(sample, self._first_ms, 'ramp',
                              f'the ramp begins at {self._first_ms} ms')
        if (self._limit_ms >= self._highest_ms or sample.iteration is None
                or sample.iteration < RAMP_FROM_PASS
                or sample.at_s - self._tuned_s < RAMP_COOLDOWN_S):
            return None
        limit_ms = min(self._limit_ms + self._step_ms, self._highest_ms)
        return base.limit(sample, limit_ms, 'ramp',
                          f'at pass {sample.iteration} the limit goes from {self._limit_ms} '
                          f'to {limit_ms} ms')

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """The next step waits from now on."""
        super().applied(action, at_s)
        if isinstance(action, remedies.SetMaxDowntime):
            self._limit_ms, self._tuned_s = action.limit_ms, at_s


def stock(task: engines.Task) -> engines.Start:
    """KubeVirt 1.9 with its defaults and the policy's permissions."""
    return base.start(task, Timeouts(task), base.QEMU_LIMIT_MS, POLL_S,
                      post_copy=task.policy.may_post_copy)


def ramp(task: engines.Task) -> engines.Start:
    """KubeVirt 1.9 with MigrationDowntimeTuning (VEP 291)."""
    return base.start(task, Ramp(task), base.QEMU_LIMIT_MS, POLL_S,
                      post_copy=task.policy.may_post_copy)
