# SPDX-License-Identifier: Apache-2.0
"""What a person who asked something of a running migration is told, and the way back to them.

An answer is plain data with an HTTP-like status, since it goes over the message bus as it is.
Whoever asks waits for it in a thread of their own; the monitor gives it and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import threading
from typing import Any

OK = 200
ACCEPTED = 202
BAD_REQUEST = 400
NOT_FOUND = 404
CONFLICT = 409
UNAVAILABLE = 503


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer: a body where it went well, a sentence where it did not."""

    status: int
    body: Mapping[str, Any] | None = None
    message: str = ''

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the message bus."""
        if self.status < BAD_REQUEST:
            return {'status': self.status, 'body': self.body}
        return {'status': self.status, 'message': self.message}


def refusal(message: str, status: int = CONFLICT) -> Answer:
    """An answer that says no, and why."""
    return Answer(status, message=message)


class Reply:
    """Where one answer is waited for; the first that is given counts."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._first = threading.Lock()
        self._answer: Answer | None = None
        self._tell: Callable[[Answer], object] = lambda answer: None

    def give(self, answer: Answer) -> None:
        """Answer; does nothing where that was done before."""
        with self._first:
            is_first = self._answer is None
            if is_first:
                self._answer = answer
            tell = self._tell
        self._given.set()
        if is_first:
            tell(answer)

    def when_given(self, tell: Callable[[Answer], object]) -> None:
        """Call with the answer once it is given; at once where it was."""
        with self._first:
            self._tell, given = tell, self._answer
        if given is not None:
            tell(given)

    def wait(self, timeout_s: float) -> Answer | None:
        """The answer, or None where there is none within `timeout_s`."""
        self._given.wait(timeout_s)
        return self._answer
