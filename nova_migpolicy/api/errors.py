# SPDX-License-Identifier: Apache-2.0
"""The errors that this room answers with, in the form that Nova gives to errors."""

from __future__ import annotations

from typing import Any

# As Nova names them; all others are a computeFault.
_FAULTS = {
    400: 'badRequest', 401: 'unauthorized', 403: 'forbidden', 404: 'itemNotFound',
    405: 'badMethod', 409: 'conflictingRequest', 413: 'overLimit', 415: 'badMediaType',
    503: 'serviceUnavailable',
}
_LONGEST = 2000


class Refusal(Exception):
    """A request that is answered with an error.

    :ivar code: HTTP status, from 400 on.
    :ivar message: a sentence that says what was wrong, and what to do.
    :ivar headers: to be sent with it.
    """

    def __init__(self, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        self.code = code
        self.message = message
        self.headers = headers or {}
        super().__init__(message)


class Unreachable(Refusal):
    """The plugin on the source host cannot be asked: its answer is not known."""


def body(code: int, message: str) -> dict[str, Any]:
    """Make the JSON of an error, in Nova's form."""
    return {_FAULTS.get(code, 'computeFault'): {'code': code, 'message': message[:_LONGEST]}}
