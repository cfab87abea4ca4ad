# SPDX-License-Identifier: Apache-2.0
"""The oracle: it knows the guest, and finds the best plan that the policy allows.

A plan is a set of settings that are in force from the first moment on, and possibly a step that
ends the pre-copy after a certain pass. Every plan of a grid is played on the model with the very
guest, link and seed. Of those that arrive before the deadline, with a blackout within the promise
where the guest is not paused, the best is the least harmful (in the order of the policy's
remedies), and among those the fastest. So it is a bound for who has to find out first what the
guest does, and may begin to act only then. It is bound by the promise as everybody is: where the
rate of the link was not told, limits are not scaled by it.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from bench.contest import engines
from bench.contest import on_model
from bench.contest import workloads
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import run

NAME = 'oracle'
CAPS = 5
PROMISES = 4
THROTTLES = 5
# After which sync a step that ends it may come; 1 is the one at the very start.
STEP_SYNCS = (2, 3, 4)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Settings from the start on; step: what ends it, at that sync. harm: place in the order."""

    harm: int
    cap_mib_s: int
    limit_ms: int
    promise_ms: int = 0
    throttle_percent: int = 0
    step: remedies.Action | None = None
    step_sync: int = 0


class Follower:
    """The pilot that does what a plan says."""

    forecast: record.Forecast | None = None

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._done = False

    def observe(self, sample: samples.Sample) -> record.Decision | None:
        """Take the step when its sync has come."""
        step = self._plan.step
        if step is None or self._done or not sample.boundary or (
                (sample.iteration or 0) < self._plan.step_sync):
            return None
        self._done = True
        return record.Decision(sample.at_s, (step,), NAME, 'The best plan says so')

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """Nothing more to do."""

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """It is tried again at the next sync."""
        self._done = False


def start(task: engines.Task, plan: Plan) -> engines.Start:
    """How a migration under a plan begins."""
    return engines.Start(
        Follower(plan), plan.cap_mib_s, plan.limit_ms, tick_s=3600.0, boundaries=True,
        auto_converge=bool(plan.throttle_percent), throttle_initial=plan.throttle_percent,
        throttle_increment=1, throttle_highest=plan.throttle_percent,
        post_copy=isinstance(plan.step, remedies.StartPostCopy), disk_cap_shared=True)


def _grid(low: float, high: float, count: int) -> list[int]:
    """Values from low (left out) to high, in equal ratios."""
    if high <= low:
        return []
    return sorted({round(low * (high / low) ** (step / count)) for step in range(1, count + 1)})


def plans(workload: workloads.Workload) -> abc.Iterator[Plan]:
    """All plans that the policy allows, the least harmful first."""
    task, policy = workload.task, workload.task.policy
    link = workload.setup.link_mib_s
    start_cap, start_promise = policy.bandwidth_mib_s, settings_mod.initial_promise_ms(policy)
    caps, promises = [start_cap], [start_promise]

    def plan(harm: int, cap: int, promise: int, **more: object) -> Plan:
        limit = settings_mod.limit_ms(promise, cap, settings_mod.Link(mib_s=task.link_mib_s))
        return Plan(harm, cap, limit, promise, **more)  # type: ignore[arg-type]

    yield plan(0, start_cap, start_promise)
    for harm, remedy in enumerate(policy.remedies, 1):
        if remedy == remedies.BANDWIDTH and start_cap:
            top = min(policy.max_bandwidth_mib_s or link, link)
            caps = [start_cap, *_grid(start_cap, top, CAPS)]
        elif remedy == remedies.DOWNTIME:
            promises = [start_promise,
                        *_grid(start_promise, policy.max_downtime_ms, PROMISES)]
        if remedy in (remedies.BANDWIDTH, remedies.DOWNTIME):
            yield from (plan(harm, cap, promise) for cap in caps for promise in promises)
        elif remedy == remedies.AUTO_CONVERGE:
            yield from (plan(harm, caps[-1], promises[-1], throttle_percent=percent)
                        for percent in _grid(5, policy.max_throttle_percent, THROTTLES))
        else:
            yield from _endings(plan, harm, remedy, caps, promises)
    for harm, remedy in enumerate(_last_resorts(policy, task), len(policy.remedies) + 1):
        yield from _endings(plan, harm, remedy, caps, promises)


def _last_resorts(policy: keys.Policy, task: engines.Task) -> list[str]:
    """Ends that only on_stall or on_timeout permit."""
    found = []
    if policy.may_post_copy and remedies.POST_COPY not in policy.remedies:
        found.append(remedies.POST_COPY)
    if policy.may_pause and remedies.PAUSE not in policy.remedies:
        found.append(remedies.PAUSE)
    return found


def _endings(plan: abc.Callable[..., Plan], harm: int, remedy: str, caps: list[int],
             promises: list[int]) -> abc.Iterator[Plan]:
    step = remedies.StartPostCopy() if remedy == remedies.POST_COPY else remedies.Pause()
    for sync in STEP_SYNCS:
        for cap in {caps[0], caps[-1]}:
            yield plan(harm, cap, promises[-1], step=step, step_sync=sync)


def took(plan: Plan, policy: keys.Policy) -> str:
    """What a plan takes, in the policy's words."""
    if isinstance(plan.step, remedies.StartPostCopy):
        return remedies.POST_COPY
    if isinstance(plan.step, remedies.Pause):
        return remedies.PAUSE
    if plan.throttle_percent:
        return remedies.AUTO_CONVERGE
    raised = plan.cap_mib_s != policy.bandwidth_mib_s
    longer = plan.promise_ms != settings_mod.initial_promise_ms(policy)
    return {(False, False): 'nothing', (True, False): remedies.BANDWIDTH,
            (False, True): remedies.DOWNTIME}.get((raised, longer), 'bandwidth and downtime')


def _promising(plan: Plan) -> tuple[int, int, int]:
    """What is likely to be fast comes first, so that the others can be cut short."""
    return plan.harm, -(plan.cap_mib_s or 1 << 30), -plan.limit_ms


def best(workload: workloads.Workload) -> tuple[Plan, run.Run] | None:
    """The best plan and how it goes; None where no plan arrives in time."""
    found: tuple[Plan, run.Run] | None = None
    deadline_s = workload.task.deadline_s
    tried: set[Plan] = set()
    for plan in sorted(plans(workload), key=_promising):
        if found is not None and plan.harm > found[0].harm:
            break
        same = dataclasses.replace(plan, harm=0)
        if same in tried:
            continue
        tried.add(same)
        most_s = found[1].seconds if found else deadline_s
        seen = on_model.play(workload, start(workload.task, plan), most_s)
        if _arrives(workload, plan, seen) and (found is None or seen.seconds < found[1].seconds):
            found = plan, seen
    return found


def _arrives(workload: workloads.Workload, plan: Plan, seen: run.Run) -> bool:
    """Whether it arrives in time, and within the promise but for a pause."""
    deadline_s = workload.task.deadline_s
    if seen.end != 'completed' or (deadline_s is not None and seen.seconds > deadline_s):
        return False
    return isinstance(plan.step, remedies.Pause) or (
        (seen.blackout_ms or 0) <= workload.task.policy.max_downtime_ms)
