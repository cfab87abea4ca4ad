# SPDX-License-Identifier: Apache-2.0
"""Reads options and files: bounded, and with a sentence for every error.

Numbers are checked against the ranges of the model; those of policy keys are in `policy.keys`.
"""

from __future__ import annotations

import argparse
from collections import abc
import dataclasses
import json
import math
import re
import sys
import typing

from nova_migpolicy import exception

_WHOLE = re.compile(r'[+-]?[0-9]{1,18}')
STDIN = '-'
MAX_JSON_BYTES = 4 << 20
# A journal may be larger; its beginning shows how the guest writes.
MAX_JOURNAL_BYTES = 64 << 20
_MAX_LINE_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Number:
    """A number with its range, both ends included; unit is for messages."""

    minimum: float
    maximum: float
    unit: str = ''
    whole: bool = False

    def _with_unit(self, value: float) -> str:
        return f'{value:,.12g} {self.unit}'.strip()

    def trouble(self, given: object) -> str | None:
        """Return the error in a value, as a part of a sentence; None if there is none."""
        if isinstance(given, bool) or not isinstance(given, (str, int, float)):
            return 'not a number'
        if self.whole and not _WHOLE.fullmatch(str(given).strip()):
            return 'not a whole number'
        try:
            value = float(given)
        except (ValueError, OverflowError):
            return 'not a number'
        if not math.isfinite(value):
            return 'not a finite number'
        if value < self.minimum:
            return f'below the minimum of {self._with_unit(self.minimum)}'
        if value > self.maximum:
            return f'above the maximum of {self._with_unit(self.maximum)}'
        return None

    def read(self, field: str, given: object) -> float:
        """Read the value of a field; a whole number if it has to be one.

        :raises BadInput: if it is none or out of range.
        """
        trouble = self.trouble(given)
        if trouble is not None:
            raise BadInput(field, given, trouble)
        return int(str(given)) if self.whole else float(str(given))

    def __call__(self, text: str) -> float:
        """Read it for argparse, which names the option itself."""
        trouble = self.trouble(text)
        if trouble is not None:
            raise argparse.ArgumentTypeError(f'{exception.shown(text)}: {trouble}')
        return int(text) if self.whole else float(text)


MEMORY_MIB = Number(1, 64 << 20, 'MiB', whole=True)
DISK_MIB = Number(0, 1 << 30, 'MiB', whole=True)
SET_MIB = Number(1, 64 << 20, 'MiB')
UNTOUCHED_MIB = Number(0, 64 << 20, 'MiB', whole=True)
WRITE_MIB_S = Number(0, 1_000_000, 'MiB/s')
LINK_MIB_S = Number(1, 1_000_000, 'MiB/s')
SECONDS = Number(0.1, 2_592_000, 's')
SHARE = Number(0, 1)
SKEW = Number(0, 5)
JITTER_PERCENT = Number(0, 50, 'percent')
SEED = Number(0, (1 << 31) - 1, whole=True)


def _open(field: str, path: str) -> typing.BinaryIO:
    if path == STDIN:
        return sys.stdin.buffer
    try:
        return open(path, 'rb')
    except (OSError, ValueError) as error:
        raise BadInput(field, path, _why(error)) from error


def _why(error: Exception) -> str:
    return f'it cannot be read: {getattr(error, "strerror", None) or error}'


def _parse(text: bytes) -> typing.Any:
    """Parse JSON; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def json_object(field: str, path: str) -> dict[str, typing.Any]:
    """Read the object in a JSON file; '-' is the standard input.

    :raises BadInput: if there is none.
    """
    with _open(field, path) as stream:
        try:
            text = stream.read(MAX_JSON_BYTES + 1)
        except OSError as error:
            raise BadInput(field, path, _why(error)) from error
    if len(text) > MAX_JSON_BYTES:
        raise BadInput(field, path, f'larger than {MAX_JSON_BYTES >> 20} MiB')
    found = _parse(text)
    if not isinstance(found, dict):
        raise BadInput(field, path, (
            'not a JSON object; give the output of openstack ... show -f json'))
    return found


def json_lines(field: str, path: str) -> abc.Iterator[dict[str, typing.Any]]:
    """Read the objects in a file of JSON lines; others, such as a cut line, are passed over.

    :raises BadInput: if the file cannot be read.
    """
    size = 0
    with _open(field, path) as stream:
        try:
            while size < MAX_JOURNAL_BYTES and (line := stream.readline(_MAX_LINE_BYTES)):
                size += len(line)
                record = _parse(line)
                if isinstance(record, dict):
                    yield record
        except OSError as error:
            raise BadInput(field, path, _why(error)) from error


class BadInput(exception.PolicyError):
    """An option or a field of a file has a value that cannot be used.

    :ivar field: the option, or the place in a file.
    :ivar value: as it was given.
    :ivar reason: a part of a sentence that names the error, and a right value.
    """

    def __init__(self, field: str, value: object, reason: str) -> None:
        self.field = field
        self.value = value
        self.reason = reason
        shown = f'{value:g}' if isinstance(value, float) else exception.shown(value)
        super().__init__(f'{field} {shown}: {reason}')


class Usage(exception.PolicyError):
    """The command line is wrong: an unknown option, or one without its value."""
