# SPDX-License-Identifier: Apache-2.0
"""Watching one migration, as a pure state machine: views and records go in, lines come out.

It sends no request, draws nothing and has no clock: times come in as numbers. It makes a line of
each new fact, and one of the migration's status every few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

from nova_migpolicy.osc.watching import sentences
from nova_migpolicy.osc.watching import status as status_mod
from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

View = status_mod.View

#: Seconds between two lines about its status, and about figures of what it waits for.
LINE_EVERY_S = 5.0
WAITS_EVERY_S = 30.0
# The parts of what it waits for that change all the time: places, times, and those before it.
_FIGURES = re.compile(r'\([^()]*\)|; about .*|\d+(?:st|nd|rd|th)?')
EXIT_STATUS: Mapping[str, int] = {
    vocabulary.COMPLETED: 0, vocabulary.CANCELLED: 3, vocabulary.FAILED: 4, vocabulary.BROKEN: 5}
OTHER_ERROR = 1
STOPPED = 130


@dataclasses.dataclass(frozen=True)
class Line:
    """A line to show: a word for its kind, a sentence, and a time if it has its own."""

    kind: str
    text: str
    time: str = ''


class Watch:
    """One migration that is being watched.

    :param name: of its server
    :param migration: its ID
    """

    def __init__(self, name: str, migration: int) -> None:
        self.name = name
        self.migration = migration
        self.view: View | None = None
        #: the decisions and actions so far, oldest first
        self.story: list[Line] = []
        #: the number of the last record read
        self.heard = 0
        #: the obstacle to seeing more, if there is one
        self.trouble = ''
        #: the reason why watching it was given up
        self.lost = ''
        self._next_line_s = 0.0
        self._waits_for = ''
        self._next_waits_s = 0.0
        self._trouble_since_s: float | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing more to see."""
        return bool(self.lost) or (self.view is not None and self.view.over)

    @property
    def exit_status(self) -> int:
        """The exit status of a command that watched only this."""
        outcome = self.view.outcome if self.view and not self.lost else ''
        return EXIT_STATUS.get(outcome, OTHER_ERROR)

    def greet(self, now: View) -> list[Line]:
        """Introduce the migration, before the first view is taken."""
        if self.view is not None or not (now.source and now.destination):
            return []
        return [Line('watching', f'migration {self.migration} of {self.name} from {now.source} '
                                 f'to {now.destination}')]

    def see(self, now_s: float, now: View) -> list[Line]:
        """Take a new view of it.

        :param now_s: seconds, on any clock that only goes forward
        """
        before, self.view = self.view, now
        lines = []
        if self.trouble:
            lines.append(Line('note', 'there are answers again'))
        self.trouble, self._trouble_since_s = '', None
        if before is None or before.phase != now.phase:
            lines.append(Line('phase', now.phase))
            self._next_line_s = now_s
        lines += self._wait(now_s, now)
        if before is not None and set(before.held) != set(now.held):
            lines.append(Line('held', f'by the operator: {", ".join(now.held)}' if now.held
                              else 'nothing any more'))
        if now.over:
            lines.append(Line('outcome', sentences.ending(now)))
        elif (now.phase not in vocabulary.QUIET and now_s >= self._next_line_s
              and (where := sentences.where(now))):
            self._next_line_s = now_s + LINE_EVERY_S
            lines.append(Line('progress', where))
        return lines

    def _wait(self, now_s: float, now: View) -> list[Line]:
        """Say what it waits for, where that is new; other figures alone are told seldom."""
        told = self._waits_for
        if not now.waits_for:
            self._waits_for = ''
        is_old = not now.waits_for or now.waits_for == told
        is_soon = now.waiting and now_s < self._next_waits_s
        if is_old or (is_soon and _FIGURES.sub('', now.waits_for) == _FIGURES.sub('', told)):
            return []
        self._waits_for, self._next_waits_s = now.waits_for, now_s + WAITS_EVERY_S
        return [Line('waits', now.waits_for)]

    def hear(self, records: Iterable[Mapping[str, Any]]) -> list[Line]:
        """Take records of the timeline, oldest first; those read before are left out."""
        lines = []
        for record in records:
            number = words.number(record.get('number'))
            if number is None or number <= self.heard:
                continue
            self.heard = int(number)
            if record.get('kind') in vocabulary.NEWS:
                lines.append(Line(str(record['kind']), sentences.sentence(record),
                                  words.text(record.get('time'))))
        self.story.extend(lines)
        return lines

    def miss(self, now_s: float, why: str, patience_s: float) -> list[Line]:
        """Take an error in place of a view; it is shown once, and given up after some time."""
        new = why != self.trouble
        if self._trouble_since_s is None:
            self._trouble_since_s = now_s
        self.trouble = why
        if now_s - self._trouble_since_s >= patience_s:
            return self.give_up(f'{why} Gave up after {words.figure(patience_s, "s")}.')
        return [Line('trouble', f'{why} Asking again.')] if new else []

    def give_up(self, why: str) -> list[Line]:
        """Take an error that will not pass."""
        self.lost = why
        return [Line('trouble', f'{why} The migration may still be under way.')]
