# SPDX-License-Identifier: Apache-2.0
"""What the rule sets of the peers have in common, and what "with the same permissions" means.

A peer keeps the limits and times that it publishes, within what the policy permits:

* It starts at the policy's rate, and none of them ever raises that.
* No downtime limit that it lets a running guest suffer is above max_downtime_ms: an operator with
  such a promise sets the peer's option for it. The limit means what QEMU makes of it: under a cap
  it is compared with the capped rate. None of them scales it by the link.
* Auto-converge is on where the policy lists it, as an operator who permits it switches it on;
  with QEMU's own throttle, which none of them sets.
* Post-copy and pausing are used where the policy permits them (`may_post_copy`, `may_pause`).
* Its time runs out at its own timeout or at the policy's deadline, whichever is first; then it
  does what it does at its own timeout.

Times are seconds from the start of the migration, limits milliseconds. No rule of any peer is in
here.
"""

from __future__ import annotations

import math

from bench.contest import engines
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.policy import keys

# The limit of a QEMU that was told nothing (libvirt tells it nothing either).
QEMU_LIMIT_MS = 300
_ENDS = (remedies.StartPostCopy, remedies.Pause, remedies.Abort)


def clamp(limit_ms: int, policy: keys.Policy) -> int:
    """A limit, or the policy's promise where that is lower."""
    return min(limit_ms, policy.max_downtime_ms)


def timeout_s(own_s: float | None, task: engines.Task) -> float:
    """The peer's own timeout or the policy's deadline; infinity where there is neither."""
    return min(math.inf if time_s is None else time_s for time_s in (own_s, task.deadline_s))


def decide(sample: samples.Sample, action: remedies.Action, rule: str,
           reason: str) -> record.Decision:
    """A decision with one action."""
    return record.Decision(sample.at_s, (action,), rule, reason)


def limit(sample: samples.Sample, limit_ms: int, rule: str, reason: str) -> record.Decision:
    """The decision to set a downtime limit, which stands for itself."""
    return decide(sample, remedies.SetMaxDowntime(limit_ms, limit_ms), rule, reason)


class Peer:
    """A pilot that does not forecast, and does nothing more once it has ended the matter.

    A peer implements `_decide`. It sleeps before it looks for the first time, so what is seen
    less than half a tick after the start is not looked at.
    """

    def __init__(self, tick_s: float) -> None:
        self._first_s = tick_s / 2
        self._ended = False

    @property
    def forecast(self) -> record.Forecast | None:
        """No peer forecasts."""
        return None

    def observe(self, sample: samples.Sample) -> record.Decision | None:
        """Take in a sample; None when there is nothing to do."""
        if self._ended or sample.post_copy or sample.at_s < self._first_s:
            return None
        return self._decide(sample)

    def _decide(self, sample: samples.Sample) -> record.Decision | None:
        raise NotImplementedError

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """An action has been carried out; post-copy, a pause and an abort are the last one."""
        if isinstance(action, _ENDS):
            self._ended = True

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """An action was refused; whoever does not override this finds it due at its next look."""


def start(task: engines.Task, pilot: Peer, limit_ms: int, tick_s: float, *,
          post_copy: bool = False, auto_converge: bool | None = None,
          boundaries: bool = False) -> engines.Start:
    """How a peer starts a migration with the policy's permissions.

    auto_converge: None for where the policy permits it.
    """
    policy = task.policy
    throttled = policy.may_throttle if auto_converge is None else auto_converge
    return engines.Start(
        pilot, policy.bandwidth_mib_s, clamp(limit_ms, policy), tick_s, boundaries,
        auto_converge=throttled and policy.may_throttle,
        post_copy=post_copy and policy.may_post_copy)
