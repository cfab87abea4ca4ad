# SPDX-License-Identifier: Apache-2.0
"""The state of one migration's steering: the one object of the engine that changes.

It holds what binds the migration (`terms`), the settings in force, what the rules have begun
(`course`), and the actions awaiting an answer or refused. An action that fails is tried once more
and then counts as unavailable. An abort is always available: nothing can take its place, so a
refused one is due again after a pause that grows. Others read the state; only its own methods
change it. Nothing is decided here.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.engine import course as course_mod
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy.policy import keys

TRIES = 2
# A refused abort is tried again after these pauses, and from then on after the last of them.
ABORT_PAUSES_S = (1.0, 5.0, 30.0)
# An action without an answer counts as lost after this.
ANSWER_S = 30.0
ENDS = (remedies.StartPostCopy, remedies.Pause, remedies.Abort)
ABORT = remedies.Abort.remedy


def abort_pause_s(refusals: int) -> float:
    """The pause after a number of refusals, 1 or more, until an abort is tried again."""
    return ABORT_PAUSES_S[min(refusals, len(ABORT_PAUSES_S)) - 1]


@dataclasses.dataclass(frozen=True)
class Retune:
    """A change that was made, and the state to return to if it is withdrawn."""

    change: terms_mod.Change
    terms: terms_mod.Terms
    ending: course_mod.EndingState
    before: settings_mod.Settings
    after: settings_mod.Settings


class State:
    """The state of one migration.

    :ivar settings: in force, as far as `applied` reported
    :ivar changed_s: the last change of them, or of how far the guest is throttled
    :ivar ended_by: the step that has brought about the end
    :ivar end_in_flight: a step that ends it and is on its way: it cannot be called back
    :ivar error: the error of the last refusal
    :ivar retune: the last one, as long as it may be withdrawn
    :ivar abort_again_s: the time to retry a refused abort; None where none was refused
    """

    def __init__(self, policy: keys.Policy, facts: record.Facts) -> None:
        self.terms = terms_mod.Terms(policy, facts.deadline_s)
        self.settings = settings_mod.Settings(
            facts.bandwidth_mib_s, facts.qemu_limit_ms, settings_mod.initial_promise_ms(policy))
        self.course = course_mod.Course(
            sped_up_s=facts.started_s, disks_sped_up_s=facts.started_s,
            limit_owed=facts.qemu_limit_ms != settings_mod.initial_limit_ms(policy, facts))
        self.changed_s = facts.started_s
        self.ended_by: remedies.Action | None = None
        self.end_in_flight: remedies.Action | None = None
        self.error = ''
        self.retune: Retune | None = None
        self.abort_again_s: float | None = None
        self._asked: list[tuple[remedies.Action, float]] = []
        self._failures: dict[str, int] = {}

    @property
    def policy(self) -> keys.Policy:
        """The policy in force."""
        return self.terms.policy

    def time_left_s(self, at_s: float) -> float | None:
        """Seconds to the deadline; None when there is none."""
        return None if self.terms.deadline_s is None else self.terms.deadline_s - at_s

    def available(self, remedy: str) -> bool:
        """Whether actions of this kind may still be tried."""
        return remedy == ABORT or self._failures.get(remedy, 0) < TRIES

    @property
    def is_waiting(self) -> bool:
        """Whether an answer to an action is still to come."""
        return bool(self._asked)

    def take_over(self, settings: settings_mod.Settings, held: abc.Mapping[str, int]) -> None:
        """Enter the settings in force of a migration that another has steered until now."""
        self.settings = settings
        self.terms = self.terms.changed(terms_mod.Change(hold=held))
        self.course = dataclasses.replace(self.course, limit_owed=False)

    def sampled(self, at_s: float, *, throttle_moved: bool) -> None:
        """Enter a sample: actions without an answer for ANSWER_S count as lost.

        :param throttle_moved: auto-converge slows the guest more, or less, than before
        """
        self._asked = [(action, asked_s) for action, asked_s in self._asked
                       if at_s - asked_s < ANSWER_S]
        if throttle_moved:
            self.changed_s = max(self.changed_s, at_s)

    def resized(self, more_bytes: int) -> None:
        """Enter that this many more bytes (fewer below 0) are to be copied than was known."""
        self.terms = self.terms.resized(more_bytes)

    def enter(self, course: course_mod.Course | None) -> None:
        """Enter the course that a decision carries; None for no change."""
        if course is not None:
            self.course = course

    def retuned(self, made: Retune | None, terms: terms_mod.Terms) -> None:
        """Enter a retune and the terms after it; None where none can be withdrawn any more."""
        self.retune, self.terms = made, terms

    def issue(self, decision: record.Decision) -> None:
        """Enter that a decision goes out: its actions await an answer."""
        self._asked.extend((action, decision.at_s) for action in decision.actions)
        for action in decision.actions:
            if isinstance(action, ENDS):
                self.end_in_flight = action

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """Enter that an action took effect."""
        self._answer(action)
        self._failures.pop(action.remedy, None)
        now = self.settings
        if isinstance(action, remedies.SetBandwidth):
            self.settings = dataclasses.replace(now, cap_mib_s=action.mib_s)
        elif isinstance(action, remedies.SetMaxDowntime):
            self.settings = dataclasses.replace(now, limit_ms=action.limit_ms,
                                                promised_ms=action.promised_ms)
        elif isinstance(action, remedies.SetThrottle):
            self.settings = dataclasses.replace(now, throttle_percent=action.percent)
        else:
            self.ended_by = action
        if isinstance(action, remedies.Pause):
            self.course = self.course.with_stopped(paused_s=at_s)
        self.changed_s = at_s

    def refused(self, action: remedies.Action, at_s: float, error: str) -> None:
        """Enter that an action was refused; the rest of its decision is no longer awaited."""
        self._asked.clear()
        if action == self.end_in_flight:
            self.end_in_flight = None
        self._failures[action.remedy] = self._failures.get(action.remedy, 0) + 1
        self.course = dataclasses.replace(self.course, failed_s=at_s)
        self.error = error
        if action.remedy == ABORT:
            self.abort_again_s = at_s + abort_pause_s(self._failures[ABORT])

    def forgive(self, kinds: abc.Iterable[str]) -> None:
        """Forget that actions of these kinds were refused: an operator asks for them again."""
        for kind in kinds:
            self._failures.pop(kind, None)
            if kind == ABORT:
                self.abort_again_s = None

    def _answer(self, action: remedies.Action) -> None:
        for entry in self._asked:
            if entry[0] == action:
                self._asked.remove(entry)
                break
        if action == self.end_in_flight:
            self.end_in_flight = None
