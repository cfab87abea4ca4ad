# SPDX-License-Identifier: Apache-2.0
"""What the rules have begun and said of one migration so far: frozen records.

A rule is given the course and changes nothing; what changes is on the decision that it returns.
Each record belongs to one subject of `steering`; nothing is decided here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from nova_migpolicy.engine import remedies


@dataclasses.dataclass(frozen=True)
class Ending:
    """An end that is due, and why.

    steps: the first that is possible and not refused is taken; see `steering.ending`.
    """

    steps: tuple[remedies.Action, ...]
    rule: str
    reason: str

    @property
    def is_abort(self) -> bool:
        """Whether an abort is all that it may be."""
        return self.steps == (remedies.Abort(),)


@dataclasses.dataclass(frozen=True)
class EndingState:
    """What is due, and what has been said or done of it.

    waits_for: what the due end was last said to wait for. until_s: it waits for an end that comes
    by itself no longer than that. waits_since_s: since when it waits for the memory to be sent.
    """

    due: Ending | None = None
    waits_for: str = ''
    until_s: float | None = None
    waits_since_s: float | None = None
    abort_said: bool = False
    deadline_done: bool = False
    stall_said: bool = False


@dataclasses.dataclass(frozen=True)
class Sharing:
    """This migration's part in sharing the link.

    in_need: it cannot end at the rate that it gets beside others. is_urgent: it has waited for
    others as long as its deadline permits. waits_since_s: since when it waits for others that are
    not of this host. own_cap_mib_s: the cap to go on with, while it gives way. own_rate: what it
    was sent with before that, in bytes/s. tries, again_s: how often it was asked to go on, which
    may be refused, and when it is again.
    """

    in_need: bool = False
    is_urgent: bool = False
    waits_since_s: float | None = None
    own_cap_mib_s: int | None = None
    own_rate: float = 0.0
    tries: int = 0
    again_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Stopped:
    """What is known of a migration that stands still, or of a guest that does.

    said_s: when it was said that nothing moves. stood_s: for how long nothing had moved then.
    paused_s: since when the guest is paused for its transfer. expected_s: how long that was
    expected to take.
    """

    said_s: float | None = None
    stood_s: float = 0.0
    paused_s: float | None = None
    expected_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Course:
    """All of it.

    failed_s: when a step of what is due was refused. bursty_s: since when it has not looked as if
    it converged. sped_up_s, disks_sped_up_s: when the copy was last sped up for the deadline.
    early_considered: whether the bandwidth was to be raised early, which is looked at once.
    limit_owed: the first limit could not be set before the start. late_said: it was said that it
    will miss its deadline. stood_still_s: when it last stood still for a while.
    """

    sped_up_s: float
    disks_sped_up_s: float
    limit_owed: bool
    ending: EndingState = EndingState()
    failed_s: float | None = None
    sharing: Sharing = Sharing()
    stopped: Stopped = Stopped()
    bursty_s: float | None = None
    early_considered: bool = False
    late_said: bool = False
    stood_still_s: float = float('-inf')

    def with_ending(self, **changed: Any) -> Course:
        """The course with another state of its ending."""
        return dataclasses.replace(
            self, ending=dataclasses.replace(self.ending, **changed))

    def with_sharing(self, **changed: Any) -> Course:
        """The course with another part in sharing the link."""
        return dataclasses.replace(
            self, sharing=dataclasses.replace(self.sharing, **changed))

    def with_stopped(self, **changed: Any) -> Course:
        """The course with something else known of what stands still."""
        return dataclasses.replace(
            self, stopped=dataclasses.replace(self.stopped, **changed))

    def begin(self, due: Ending, *, said: bool = False) -> Course:
        """The course when an end is due from now on.

        :param said: what it does has been said, if it is an abort
        """
        return dataclasses.replace(self.with_ending(
            due=due, waits_for='', until_s=None, waits_since_s=None, abort_said=said),
            failed_s=None)
