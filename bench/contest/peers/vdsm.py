# SPDX-License-Identifier: Apache-2.0
"""oVirt's VDSM: a schedule of limits that counts passes, one step at each look.

Facts, from VDSM's lib/vdsm/virt/migration.py (`MonitorThread`) and lib/vdsm/common/config.py.in,
and for the schedules from ovirt-engine's packaging/dbscripts (`MigrationPolicies`) and
`ConvergenceSchedule` (both repositories as of summer 2026):

* It looks every 10 s (migration_monitor_interval), the first time 10 s after the start.
* libvirt's counter of passes is taken relative to the one at the first look, since it may include
  passes of a cancelled attempt. At a look at which the counter has grown, and only then, the first
  step of the schedule is considered: it is taken, once, if the counter is above the step's number.
  So there is one step at most in 10 s, and a step with number 1 needs two passes.
* The steps at the end have the number -1: each is due at the next look with a new pass. A
  post-copy that libvirt refuses is not tried again; the step after it comes at the next look.
* The engine's policies, as (number: limit in ms). Minimal downtime: 100 at the start, 1: 150,
  2: 200, 3: 300, 4: 400, 6: 500, then abort. Suspend workload if needed: the same, then 5000,
  then abort. Post-copy: 100, 1: 150, 2: 200, then post-copy, then abort. Very large VMs: 300,
  1: 400, 2: 500, 3: 700, 4: 1000, 6: 1500, then 5000, then abort. Auto-converge is on in all.
* There is no timeout beside a schedule.

Simplified: at the policy's deadline the steps at the end are taken at once, one at each look,
since VDSM has no timeout of its own to put there. A step that the policy does not permit is left
out, a limit that changes nothing is not set, and a refused limit is gone (in VDSM it ends the
monitor). Passes are counted from the first look that sees memory sent; VDSM's guests have shared
disks. The compression and zero-copy of two of the policies are not used, nor is the rate of
52 MiB/s.
"""

from __future__ import annotations

import dataclasses

from bench.contest import engines
from bench.contest.peers import base
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.policy import keys

LOOK_S = 10.0
AT_THE_END = -1
# Ends of a schedule.
POST_COPY = 'post-copy'
ABORT = 'abort'

Step = tuple[int, 'int | str']


@dataclasses.dataclass(frozen=True)
class Schedule:
    """initial_ms: the limit at the start. steps: (number of passes, limit in ms or an end)."""

    initial_ms: int
    steps: tuple[Step, ...]


_MINIMAL: tuple[Step, ...] = ((1, 150), (2, 200), (3, 300), (4, 400), (6, 500))
MINIMAL = Schedule(100, (*_MINIMAL, (AT_THE_END, ABORT)))
SUSPEND = Schedule(100, (*_MINIMAL, (AT_THE_END, 5000), (AT_THE_END, ABORT)))
POST_COPIES = Schedule(
    100, ((1, 150), (2, 200), (AT_THE_END, POST_COPY), (AT_THE_END, ABORT)))
VERY_LARGE = Schedule(
    300, ((1, 400), (2, 500), (3, 700), (4, 1000), (6, 1500), (AT_THE_END, 5000),
          (AT_THE_END, ABORT)))


def permitted(schedule: Schedule, policy: keys.Policy) -> list[Step]:
    """The steps within what the policy permits."""
    return [(number, base.clamp(what, policy) if isinstance(what, int) else what)
            for number, what in schedule.steps
            if what != POST_COPY or policy.may_post_copy]


class Scheduled(base.Peer):
    """VDSM's monitor with a schedule."""

    def __init__(self, task: engines.Task, schedule: Schedule) -> None:
        super().__init__(LOOK_S)
        self._steps = permitted(schedule, task.policy)
        self._limit_ms = base.clamp(schedule.initial_ms, task.policy)
        self._deadline_s = base.timeout_s(None, task)
        self._first: int | None = None
        self._last = 0

    def _decide(self, sample: samples.Sample) -> record.Decision | None:
        if sample.at_s >= self._deadline_s:
            while len(self._steps) > 1 and self._steps[0][0] != AT_THE_END:
                self._steps.pop(0)
            return self._take(sample, 'timeout',
                              f'it has not completed within {self._deadline_s:.0f} s')
        if sample.iteration is None:
            return None
        if self._first is None:
            self._first = self._last = sample.iteration
        if sample.iteration <= self._last:
            return None
        self._last = sample.iteration
        passes = sample.iteration - self._first
        if passes <= self._steps[0][0]:
            return None
        return self._take(sample, 'schedule', f'it has not completed after {passes} passes')

    def _take(self, sample: samples.Sample, rule: str, why: str) -> record.Decision | None:
        """Take the first step; an abort stays, to be tried again should it be refused."""
        what = self._steps[0][1]
        if what == ABORT:
            return base.decide(sample, remedies.Abort(), rule, why)
        self._steps.pop(0)
        if isinstance(what, str):
            return base.decide(sample, remedies.StartPostCopy(), rule, why)
        if what == self._limit_ms:
            return None
        self._limit_ms = what
        return base.limit(sample, what, rule, f'{why}: the limit is {what} ms')


def _start(task: engines.Task, schedule: Schedule) -> engines.Start:
    post_copy = any(what == POST_COPY for _, what in schedule.steps)
    return base.start(task, Scheduled(task, schedule), schedule.initial_ms, LOOK_S,
                      post_copy=post_copy)


def minimal(task: engines.Task) -> engines.Start:
    """Policy "Minimal downtime"."""
    return _start(task, MINIMAL)


def suspend(task: engines.Task) -> engines.Start:
    """Policy "Suspend workload if needed", as far as what was promised lets it."""
    return _start(task, SUSPEND)


def post_copy(task: engines.Task) -> engines.Start:
    """Policy "Post-copy migration"."""
    return _start(task, POST_COPIES)


def very_large(task: engines.Task) -> engines.Start:
    """Policy "Very large VMs"."""
    return _start(task, VERY_LARGE)
