# SPDX-License-Identifier: Apache-2.0
"""Frozen records of what the rules have begun and said in one migration so far.

A rule reads the course and changes nothing; it puts the new course on the decision that it
returns. Each record belongs to one subject of `steering`; nothing is decided here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from nova_migpolicy.engine import remedies


@dataclasses.dataclass(frozen=True)
class Ending:
    """An end that is due, with its rule and reason.

    steps: the first that is possible and not refused is taken; see `steering.ending`.
    """

    steps: tuple[remedies.Action, ...]
    rule: str
    reason: str

    @property
    def is_abort(self) -> bool:
        """Whether an abort is its only step."""
        return self.steps == (remedies.Abort(),)


@dataclasses.dataclass(frozen=True)
class EndingState:
    """The end that is due, and the state of it.

    waits_for: what the due end was last reported to wait for. until_s: the latest time up to which
    it waits for the migration to end by itself. waits_since_s: since when it waits for the memory
    to be sent.
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
    others as long as its deadline permits. waits_since_s: since when it waits for migrations of
    other hosts. own_cap_mib_s: the cap to return to, while it gives way. own_rate: its rate before
    that, in bytes/s. tries, again_s: the number of attempts to restore its cap, which may be
    refused, and the time of the next.
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
    """A migration over whose link nothing moves, or whose guest is paused.

    said_s: when it was reported that nothing moves. stood_s: for how long nothing had moved by
    then. paused_s: since when the guest is paused for its transfer. expected_s: the expected
    length of that pause.
    """

    said_s: float | None = None
    stood_s: float = 0.0
    paused_s: float | None = None
    expected_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Course:
    """The course of one migration.

    failed_s: when an action was last refused since the due end began. unsure_s: since when it has
    not been expected to converge in time. sped_up_s, disks_sped_up_s: when the copy was last sped
    up for the deadline. early_considered: raising the bandwidth early has been considered, which
    is done once. limit_owed: the first limit could not be set before the start. late_said: it was
    reported that it will miss its deadline. stood_still_s: when it last stood still for a while.
    """

    sped_up_s: float
    disks_sped_up_s: float
    limit_owed: bool
    ending: EndingState = EndingState()
    failed_s: float | None = None
    sharing: Sharing = Sharing()
    stopped: Stopped = Stopped()
    unsure_s: float | None = None
    early_considered: bool = False
    late_said: bool = False
    stood_still_s: float = float('-inf')

    def with_ending(self, **changed: Any) -> Course:
        """The course with a changed state of its ending."""
        return dataclasses.replace(
            self, ending=dataclasses.replace(self.ending, **changed))

    def with_sharing(self, **changed: Any) -> Course:
        """The course with a changed part in sharing the link."""
        return dataclasses.replace(
            self, sharing=dataclasses.replace(self.sharing, **changed))

    def with_stopped(self, **changed: Any) -> Course:
        """The course with a changed record of what stands still."""
        return dataclasses.replace(
            self, stopped=dataclasses.replace(self.stopped, **changed))

    def begin(self, due: Ending, *, said: bool = False) -> Course:
        """The course with an end that is due from now on.

        :param said: it was already reported, if it is an abort
        """
        return dataclasses.replace(self.with_ending(
            due=due, waits_for='', until_s=None, waits_since_s=None, abort_said=said),
            failed_s=None)
