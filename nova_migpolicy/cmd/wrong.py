# SPDX-License-Identifier: Apache-2.0
"""The one error of the commands: what somebody typed, or a file holds, cannot be used."""

from __future__ import annotations

from nova_migpolicy import exception


class BadInput(exception.PolicyError):
    """An option or a field of a file has a value that cannot be used.

    :ivar field: the option, or where in a file it is.
    :ivar value: as it was given.
    :ivar reason: a part of a sentence that says what is wrong with it, and what would be right.
    """

    def __init__(self, field: str, value: object, reason: str) -> None:
        self.field = field
        self.value = value
        self.reason = reason
        shown = f'{value:g}' if isinstance(value, float) else exception.shown(value)
        super().__init__(f'{field} {shown}: {reason}')


class Usage(exception.PolicyError):
    """The command line is not one: an option that there is not, or one without its value."""
