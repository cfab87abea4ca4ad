# SPDX-License-Identifier: Apache-2.0
"""Nova 34 without a plugin: a ladder of downtime limits on a timer, and a timeout.

Facts, from the release's virt/libvirt/driver.py (`_live_migration_monitor`,
`_live_migration_data_gb`, `_handle_live_migration_auto_converge`), virt/libvirt/migration.py
(`downtime_steps`, `update_downtime`, `should_trigger_timeout_action`) and conf/libvirt.py:

* It polls every 0.5 s. The times below count in GiB of memory and disks, each device as 2 GiB at
  least.
* The limit goes up linearly: step i (0 to 10) is 50 + 45 i ms and holds once 75 s x GiB x i have
  passed, a whole number of seconds. live_migration_downtime is 500 ms, and 100 at least. Nothing
  is set before the first poll. A step that libvirt refuses is not tried again.
* After 800 s x GiB, a whole number of seconds, each poll does live_migration_timeout_action: abort
  (the default) or force_complete, which is post-copy where live_migration_permit_post_copy is on
  (off by default), and otherwise a pause.
* Auto-converge (off by default) is not used where post-copy is permitted.

Simplified: Task tells one size for all disks, so they count as one device; force_complete comes
with the poll that finds the timeout and not with the next one; an abort that is refused is tried
again instead of failing the migration.
"""

from __future__ import annotations

import dataclasses
import math

from bench.contest import engines
from bench.contest.peers import base
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.policy import keys

POLL_S = 0.5
DOWNTIME_MS = 500
LEAST_DOWNTIME_MS = 100
STEPS = 10
DELAY_S_PER_GIB = 75
TIMEOUT_S_PER_GIB = 800
LEAST_GIB = 2.0


@dataclasses.dataclass(frozen=True)
class Options:
    """The [libvirt] options of Nova that make the ladder; their defaults are Nova's."""

    live_migration_downtime: int = DOWNTIME_MS
    live_migration_downtime_steps: int = STEPS
    live_migration_downtime_delay: int = DELAY_S_PER_GIB
    live_migration_completion_timeout: int = TIMEOUT_S_PER_GIB


SHIPPED = Options()

Ladder = tuple[tuple[int, int], ...]


def data_gib(task: engines.Task) -> float:
    """What is to be moved as Nova counts it: no device is less than 2 GiB."""
    memory_gib = max(LEAST_GIB, task.memory_mib / engines.GIB_MIB)
    disk_gib = max(LEAST_GIB, task.disk_mib / engines.GIB_MIB) if task.disk_mib else 0.0
    return memory_gib + disk_gib


def ladder(gib: float, highest_ms: int = DOWNTIME_MS, options: Options = SHIPPED) -> Ladder:
    """Pairs of a time in seconds and the limit in ms that holds from then on."""
    steps = options.live_migration_downtime_steps
    lowest_ms = highest_ms / steps
    rise_ms = (highest_ms - lowest_ms) / steps
    wait_s = int(options.live_migration_downtime_delay * gib)
    return tuple((wait_s * step, int(lowest_ms + rise_ms * step)) for step in range(steps + 1))


def promised(policy: keys.Policy, gib: float, options: Options = SHIPPED) -> Ladder:
    """The ladder of an operator who has set live_migration_downtime to what was promised."""
    highest_ms = max(LEAST_DOWNTIME_MS,
                     base.clamp(options.live_migration_downtime, policy))
    return tuple((at_s, base.clamp(limit_ms, policy))
                 for at_s, limit_ms in ladder(gib, highest_ms, options))


class Stock(base.Peer):
    """Nova's monitor; last: what it does when its time is up."""

    def __init__(self, task: engines.Task, last: remedies.Action,
                 options: Options = SHIPPED) -> None:
        super().__init__(POLL_S)
        gib = data_gib(task)
        self._last = last
        self._left = list(promised(task.policy, gib, options))
        self._limit_ms: int | None = None
        self._timeout_s = base.timeout_s(
            int(options.live_migration_completion_timeout * gib), task)
        self._next_s = min(self._left[0][0], self._timeout_s)

    def _decide(self, sample: samples.Sample) -> record.Decision | None:
        if sample.at_s <= self._next_s:
            return None
        if sample.at_s > self._timeout_s:
            return base.decide(
                sample, self._last, 'timeout',
                f'the migration has not completed within {self._timeout_s:.0f} s')
        return self._climb(sample)

    def _climb(self, sample: samples.Sample) -> record.Decision | None:
        """Go to the step that holds now."""
        at_s, limit_ms = self._left[0]
        while self._left and sample.at_s > self._left[0][0]:
            at_s, limit_ms = self._left.pop(0)
        self._next_s = min(self._left[0][0] if self._left else math.inf, self._timeout_s)
        if limit_ms == self._limit_ms:
            return None
        self._limit_ms = limit_ms
        return base.limit(sample, limit_ms, 'ladder',
                          f'after {at_s} s the limit is {limit_ms} ms')


def stock(task: engines.Task, options: Options = SHIPPED) -> engines.Start:
    """Nova as it ships: aborts when its time is up."""
    return base.start(task, Stock(task, remedies.Abort(), options), base.QEMU_LIMIT_MS, POLL_S)


def force(task: engines.Task) -> engines.Start:
    """Nova that forces completion when its time is up, as far as the policy permits it."""
    policy = task.policy
    last: remedies.Action = remedies.Abort()
    if policy.may_post_copy:
        last = remedies.StartPostCopy()
    elif policy.may_pause:
        last = remedies.Pause()
    return base.start(task, Stock(task, last), base.QEMU_LIMIT_MS, POLL_S,
                      post_copy=policy.may_post_copy,
                      auto_converge=policy.may_throttle and not policy.may_post_copy)
