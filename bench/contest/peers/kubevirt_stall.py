# SPDX-License-Identifier: Apache-2.0
"""KubeVirt 1.9 with its alpha stall detector (VEP 248), in place of the default's rules.

Facts, from kubevirt/kubevirt at d923fdb, pkg/virt-launcher/virtwrap: stall-detector.go
(`decideAction`) and live-migration-source.go (`handleStallDetection`,
`processCompletionTimeouts`, `triggerConvergenceAction`); VEP 248 differs in places:

* It looks at the end of each pass (libvirt's event) and after 400 ms without one. The rate is
  smoothed over the looks between the passes, the new value counting 0.4; a pass before the first
  of them is not counted. What remains over that rate is the downtime that is expected.
* The limit is QEMU's 300 ms or maxDowntimeMs (900 by default) if that is less.
* At a local minimum after a stall, provided that twice the completion timeout leaves time for what
  remains: post-copy where disruption and post-copy are allowed; with disruption alone a hard stop,
  that is a limit of 2,000 s; otherwise the limit becomes maxDowntimeMs if up to 1.5 times that is
  expected, and beyond that it aborts.
* A new limit has 60 s to make QEMU switch over; then abort. The limit is not raised again.
* At the completion timeout (see `kubevirt`), if nothing was begun: post-copy or a hard stop, where
  allowed and as far as twice the timeout leaves time for it; otherwise abort.
* There is no progress timeout.

How that maps to a policy: as in `kubevirt`. The hard stop is permitted by may_pause alone. It is
done as a pause followed by that limit: the guest stands still at once and QEMU sends the rest at
the rate of the link within its window of 100 ms; what was promised for a switchover does not count
for a pause. A policy's deadline stands in for the completion timeout; twice that is still what
post-copy and the hard stop may take. Simplified: both are the end here.
"""

from __future__ import annotations

from bench.contest import engines
from bench.contest.peers import base
from bench.contest.peers import kubevirt
from bench.contest.peers import stall
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod

EWMA_ALPHA = 0.4
POSSIBLE_FACTOR = 1.5
TIMEOUT_FACTOR = 2
SWITCHOVER_S = 60
HARD_STOP: tuple[remedies.Action, ...] = (
    remedies.Pause(),
    remedies.SetMaxDowntime(settings_mod.HIGHEST_LIMIT_MS, settings_mod.HIGHEST_LIMIT_MS))


class Stalling(base.Peer):
    """KubeVirt's monitor with the stall detector."""

    def __init__(self, task: engines.Task) -> None:
        super().__init__(kubevirt.POLL_S)
        self._policy = task.policy
        self._highest_ms = base.clamp(kubevirt.MAX_DOWNTIME_MS, task.policy)
        self._timeout_s = int(base.timeout_s(kubevirt.own_timeout_s(task), task))
        self._deadline_s = self._timeout_s
        self._detector = stall.Detector()
        self._rate = 0.0            # bytes/s, smoothed
        self._remaining = 0         # when the last pass ended
        self._begun = False         # a switchover is on its way

    def _decide(self, sample: samples.Sample) -> record.Decision | None:
        return self._look(sample) or self._time_out(sample)

    def _look(self, sample: samples.Sample) -> record.Decision | None:
        left = kubevirt.remaining(sample)
        if sample.iteration is None or left is None:
            return None
        if not sample.boundary:
            rate = sample.memory_rate_bytes_s
            if rate is not None:
                self._rate = (EWMA_ALPHA * rate + (1 - EWMA_ALPHA) * self._rate
                              if self._rate else rate)
            return None
        self._remaining = left
        if not self._rate or self._begun:
            return None
        if not self._detector.end_of_pass(int(sample.at_s * 1000), left):
            return None
        return self._switch(sample)

    def _expected_ms(self) -> int:
        return int(self._remaining / (self._rate / 1000)) if self._rate else 0

    def _in_time(self, sample: samples.Sample) -> bool:
        """Whether what remains can be sent before twice the timeout."""
        budget_s = TIMEOUT_FACTOR * self._timeout_s - int(sample.at_s)
        return bool(self._rate) and self._expected_ms() <= budget_s * 1000

    def _disrupt(self, sample: samples.Sample, rule: str, why: str) -> record.Decision | None:
        """Post-copy or a hard stop, if the policy permits one of them."""
        if self._policy.may_post_copy:
            actions: tuple[remedies.Action, ...] = (remedies.StartPostCopy(),)
        elif self._policy.may_pause:
            actions = HARD_STOP
        else:
            return None
        self._begun = True
        return record.Decision(sample.at_s, actions, rule, why)

    def _switch(self, sample: samples.Sample) -> record.Decision | None:
        """At a local minimum."""
        if not self._in_time(sample):
            return None
        expected_ms = self._expected_ms()
        why = f'it has stalled, and {expected_ms} ms of downtime are a local minimum'
        decision = self._disrupt(sample, 'stall', why)
        if decision is not None:
            return decision
        if expected_ms > self._highest_ms * POSSIBLE_FACTOR:
            return base.decide(sample, remedies.Abort(), 'stall',
                               f'{why}, but {self._highest_ms} ms are the most')
        self._begun = True
        return base.limit(sample, self._highest_ms, 'stall', why)

    def _time_out(self, sample: samples.Sample) -> record.Decision | None:
        if int(sample.at_s) <= self._deadline_s:
            return None
        why = f'the migration has not completed within {self._deadline_s} s'
        decision = None
        if not self._begun and self._in_time(sample):
            decision = self._disrupt(sample, 'timeout', why)
        return decision or base.decide(sample, remedies.Abort(), 'timeout', why)

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """A new limit has its time to be reached from now on."""
        super().applied(action, at_s)
        if isinstance(action, remedies.SetMaxDowntime):
            self._deadline_s = int(at_s) + SWITCHOVER_S

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """What was refused has not begun."""
        if not isinstance(action, remedies.Abort):
            self._begun = False


def stock(task: engines.Task) -> engines.Start:
    """KubeVirt 1.9 with MigrationStallDetection (VEP 248)."""
    return base.start(task, Stalling(task), base.QEMU_LIMIT_MS, kubevirt.POLL_S,
                      post_copy=task.policy.may_post_copy, boundaries=True)
