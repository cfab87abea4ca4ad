# SPDX-License-Identifier: Apache-2.0
"""Reads the files that the commands take: bounded, and with a sentence for whatever is wrong.

What is in them is not known here.
"""

from __future__ import annotations

from collections import abc
import json
import sys
import typing

from nova_migpolicy.cmd import wrong

STDIN = '-'
MAX_JSON_BYTES = 4 << 20
# A journal may be larger; how a guest writes shows at its beginning.
MAX_JOURNAL_BYTES = 64 << 20
_MAX_LINE_BYTES = 1 << 20


def _open(field: str, path: str) -> typing.BinaryIO:
    if path == STDIN:
        return sys.stdin.buffer
    try:
        return open(path, 'rb')
    except (OSError, ValueError) as error:
        raise wrong.BadInput(field, path, _why(error)) from error


def _why(error: Exception) -> str:
    return f'it cannot be read: {getattr(error, "strerror", None) or error}'


def _parse(text: bytes) -> typing.Any:
    """What JSON holds; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def json_object(field: str, path: str) -> dict[str, typing.Any]:
    """The object in a JSON file; '-' is the standard input.

    :raises wrong.BadInput: if there is none.
    """
    with _open(field, path) as stream:
        try:
            text = stream.read(MAX_JSON_BYTES + 1)
        except OSError as error:
            raise wrong.BadInput(field, path, _why(error)) from error
    if len(text) > MAX_JSON_BYTES:
        raise wrong.BadInput(field, path, f'larger than {MAX_JSON_BYTES >> 20} MiB')
    found = _parse(text)
    if not isinstance(found, dict):
        raise wrong.BadInput(field, path, (
            'not a JSON object; it is to be what openstack ... show -f json prints'))
    return found


def json_lines(field: str, path: str) -> abc.Iterator[dict[str, typing.Any]]:
    """The objects in a file of JSON lines; what is none, as a line cut short, is passed over.

    :raises wrong.BadInput: if the file cannot be read.
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
            raise wrong.BadInput(field, path, _why(error)) from error
