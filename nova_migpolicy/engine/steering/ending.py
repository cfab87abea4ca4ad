# SPDX-License-Identifier: Apache-2.0
"""Ways to end a migration, each a chain of steps: when one is refused, the next is taken.

Post-copy cannot start before the memory is being sent, so it waits for that. When an
end is due is not decided here.
"""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy.engine.estimation import end_cost
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples

RETRY_S = 5.0
# So long an end waits for disks that are not in sync, in seconds, and longer where they come on.
GRACE_S = 60.0
Chain = tuple[remedies.Action, ...]

ABORT = remedies.Abort()
PAUSE = remedies.Pause()
POST_COPY = remedies.StartPostCopy()

# The policy's words for on_timeout and on_stall; what comes first is preferred.
CHAINS: dict[str, Chain] = {
    'abort': (ABORT,),
    'force_complete': (POST_COPY, PAUSE, ABORT),
    'post_copy': (POST_COPY, ABORT),
    'pause': (PAUSE, ABORT),
}
# A person who wants it to complete does not want it aborted.
PERSON: Chain = (POST_COPY, PAUSE)


@dataclasses.dataclass(frozen=True)
class Ending:
    """An end that is due, and why."""

    chain: Chain
    rule: str
    reason: str


def step(ending: Ending, books: ledger.Ledger, can_post_copy: bool
         ) -> remedies.Action | None:
    """The first step of the chain that is possible; None when none is."""
    for action in ending.chain:
        if isinstance(action, remedies.StartPostCopy) and not can_post_copy:
            continue
        if books.available(action.remedy):
            return action
    return None


def must_wait(action: remedies.Action, phase: samples.Phase) -> bool:
    """Whether it is too early for a step: a paused guest makes no disk copy faster."""
    if phase not in (samples.Phase.SETUP, samples.Phase.DISKS):
        return False
    return isinstance(action, (remedies.StartPostCopy, remedies.Pause))


@dataclasses.dataclass(frozen=True)
class Wait:
    """An end that waits for the disks to be in sync; times in seconds on the engine's clock."""

    since_s: float
    started_s: float
    deadline_s: float | None

    def from_deadline(self, never: bool) -> Wait:
        """The same, where nothing may be done about it before the deadline, or never."""
        never = never or self.deadline_s is None
        return dataclasses.replace(self, since_s=math.inf if never else max(
            self.since_s, self.deadline_s or 0.0))

    @property
    def is_bounded(self) -> bool:
        """Whether it may end by waiting in vain."""
        return not math.isinf(self.since_s)

    def over(self, at_s: float, needs_s: float | None) -> bool:
        """Whether it has waited in vain.

        Disks that come on are waited for, but for no longer than the whole migration had time.

        :param needs_s: until the disks are in sync and the memory is over; infinity for never,
            None for not known
        """
        if at_s - self.since_s < GRACE_S:
            return False
        begun_s = max(self.since_s, self.deadline_s or 0.0)
        patience_s = GRACE_S if self.deadline_s is None else max(
            GRACE_S, self.deadline_s - self.started_s)
        return needs_s is None or at_s + needs_s > begun_s + patience_s


def chain(way: str, may_pause: bool) -> Chain:
    """The steps for the policy's on_timeout or on_stall.

    A post-copy that is impossible or refused is followed by a pause where the policy has one
    anywhere.
    """
    if way == 'post_copy' and may_pause:
        return CHAINS['force_complete']
    return CHAINS[way]


def is_time(action: remedies.Action, books: ledger.Ledger, at_s: float,
            pass_ended: bool) -> bool:
    """Whether to take a step now that may have been refused before.

    An abort is tried after its pauses, however many passes end meanwhile; other steps at the next
    pass, or after a while.
    """
    if isinstance(action, remedies.Abort):
        return books.abort_again_s is None or at_s >= books.abort_again_s
    return books.failed_s is None or pass_ended or at_s - books.failed_s >= RETRY_S


def says(action: remedies.Action, cost: end_cost.Cost | None, raised_to: int | None) -> str:
    """What a step means for the guest.

    :param cost: None when it is not known what is still to be sent
    :param raised_to: the bandwidth cap that it begins with, 0 for none; None where it stays
    """
    left, about = 'memory', ''
    if cost is not None:
        left = f'{figures.size(cost.left)}{" or more" if cost.at_least else ""}'
        about = f' in {_span(cost)}'
    if isinstance(action, remedies.StartPostCopy):
        return (f'post-copy runs the guest at the destination now and fetches the other {left}'
                f'{about}')
    if isinstance(action, remedies.Pause):
        rate = '' if raised_to is None else (
            f', at the {raised_to} MiB/s that are permitted' if raised_to else
            ', without a bandwidth cap')
        return (f'pausing the guest so that the other {left} can be sent{about}{rate}, all of '
                f'which is blackout')
    return 'aborting, the guest stays where it is'


def _span(cost: end_cost.Cost) -> str:
    """How long it takes, with what is not known of it."""
    if cost.at_least != cost.at_most:
        return f'{"no less than" if cost.at_least else "at most"} {figures.span(cost.seconds)}'
    if not cost.is_known:
        return f'{figures.span(cost.least_seconds)} to {figures.span(cost.most_seconds)}'
    return f'about {figures.span(cost.seconds)}'
