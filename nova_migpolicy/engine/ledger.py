# SPDX-License-Identifier: Apache-2.0
"""The books on actions: what is in force, what was asked and not yet answered, what is refused.

An action that fails is tried once more and then counts as not available. An abort always is: there
is nothing to take in its place, so a refused one is due again after a pause that grows. What to do
instead of other actions is not decided here.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod

TRIES = 2
# A refused abort is tried again after these pauses, and from then on after the last of them.
ABORT_PAUSES_S = (1.0, 5.0, 30.0)
# An action that nobody answered for is taken as lost after this.
ANSWER_S = 30.0
ENDS = (remedies.StartPostCopy, remedies.Pause, remedies.Abort)
ABORT = remedies.Abort.remedy


def abort_pause_s(refusals: int) -> float:
    """How long to wait after a number of refusals, 1 or more, until an abort is tried again."""
    return ABORT_PAUSES_S[min(refusals, len(ABORT_PAUSES_S)) - 1]


class Ledger:
    """What is known of the actions of one migration."""

    def __init__(self, now: settings_mod.Settings, started_s: float) -> None:
        self.now = now
        self.changed_s = started_s
        self.failed_s: float | None = None
        # When a refused abort is to be tried again; None where none was refused.
        self.abort_again_s: float | None = None
        self.ended_by: remedies.Action | None = None
        self.error = ''
        # The cap to go on with, while it gives way to another migration.
        self.own_cap_mib_s: int | None = None
        # A step that ends it, which is on its way: it cannot be called back.
        self.end_in_flight: remedies.Action | None = None
        self._asked: list[tuple[remedies.Action, float]] = []
        self._failures: dict[str, int] = {}

    def ask(self, actions: tuple[remedies.Action, ...], at_s: float) -> None:
        """A decision with these actions goes out."""
        self._asked.extend((action, at_s) for action in actions)
        for action in actions:
            if isinstance(action, ENDS):
                self.end_in_flight = action

    def waiting(self, at_s: float) -> bool:
        """Whether an answer to an action is still to come."""
        self._asked = [(action, asked_s) for action, asked_s in self._asked
                       if at_s - asked_s < ANSWER_S]
        return bool(self._asked)

    def _answer(self, action: remedies.Action) -> None:
        for entry in self._asked:
            if entry[0] == action:
                self._asked.remove(entry)
                return

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """The action took effect."""
        self._answer(action)
        self._failures.pop(action.remedy, None)
        if action == self.end_in_flight:
            self.end_in_flight = None
        if isinstance(action, remedies.SetBandwidth):
            self.now = dataclasses.replace(self.now, cap_mib_s=action.mib_s)
        elif isinstance(action, remedies.SetMaxDowntime):
            self.now = dataclasses.replace(self.now, limit_ms=action.limit_ms,
                                           promised_ms=action.promised_ms)
        elif isinstance(action, remedies.SetThrottle):
            self.now = dataclasses.replace(self.now, throttle_percent=action.percent)
        else:
            self.ended_by = action
        self.changed_s = at_s

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """The action was refused; the others of its decision are not waited for any more."""
        self._asked.clear()
        if action == self.end_in_flight:
            self.end_in_flight = None
        self._failures[action.remedy] = self._failures.get(action.remedy, 0) + 1
        self.failed_s = at_s
        self.error = error
        if action.remedy == ABORT:
            self.abort_again_s = at_s + abort_pause_s(self._failures[ABORT])

    def forgive(self, *kinds: str) -> None:
        """Forget that actions of these kinds were refused: an operator asked for them anew."""
        for kind in kinds:
            self._failures.pop(kind, None)
        if ABORT in kinds:
            self.abort_again_s = None

    def available(self, remedy: str) -> bool:
        """Whether actions of this kind may still be tried."""
        return remedy == ABORT or self._failures.get(remedy, 0) < TRIES
