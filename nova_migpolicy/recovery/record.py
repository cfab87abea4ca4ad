# SPDX-License-Identifier: Apache-2.0
"""What is written down of a migration, so that it can be finished or rolled back without memory.

A record is checked when it is made, so that whatever can be written can be read again. The next
and the previous version of the plugin can read it: a document says which version a reader has to
know at least, fields that a reader does not know are left out, and fields that a writer did not
know have defaults.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import json
import math
import re
import typing

from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence

VERSION = 1
#: the least version that a reader of what this one writes has to know
NEEDS = 1
FORMAT = 'nova_migpolicy.recovery'
#: bytes of a document; one of a server with 26 volumes has 100 KiB
MOST_BYTES = 4 * 1024 * 1024
#: containers within each other; an object of Nova's has about 10
MOST_DEPTH = 64
#: characters of a name, an id or a sentence
MOST_CHARACTERS = 4096
_UUID = re.compile(r'[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}')
#: seconds since the epoch: until the year 5138
_LAST_S = 1e11

Mapping = abc.Mapping[str, typing.Any]
# Takes a field's path and value, returns the value as it is kept, or raises BadRecord.
_Check = abc.Callable[[str, typing.Any], typing.Any]


def is_uuid(value: object) -> bool:
    """Whether it is a UUID in its usual form, and so can be the name of a file."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def _uuid(field: str, value: object) -> object:
    if not is_uuid(value):
        raise exception.BadRecord(field, value, 'it is not a UUID')
    return value


def _text(field: str, value: object) -> object:
    if not isinstance(value, str):
        raise exception.BadRecord(field, value, 'it is not text')
    if len(value) > MOST_CHARACTERS:
        raise exception.BadRecord(field, value, f'it is longer than {MOST_CHARACTERS} characters')
    return value


def _name(field: str, value: object) -> object:
    if not _text(field, value):
        raise exception.BadRecord(field, value, 'it is empty')
    return value


def _truth(field: str, value: object) -> object:
    if not isinstance(value, bool):
        raise exception.BadRecord(field, value, 'it is neither true nor false')
    return value


def _count(field: str, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise exception.BadRecord(field, value, 'it is not a whole number from 0 to 2⁶³ - 1')
    return value


def _seconds(field: str, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LAST_S:
        raise exception.BadRecord(field, value, 'it is not a number of seconds since the epoch')
    return float(value)


def _written(field: str, value: object) -> object:
    for known in evidence.Written:
        if value in (known, known.value):
            return known
    raise exception.BadRecord(field, value, 'it is not a phase that is written down')


def _plain(field: str, value: object, depth: int = 0) -> object:
    """Return a copy of what JSON can express, with lists for tuples."""
    if depth > MOST_DEPTH:
        raise exception.BadRecord(field, value, f'it is more than {MOST_DEPTH} deep')
    if isinstance(value, abc.Mapping):
        for key in value:
            _text(f'a key of {field}', key)
        return {key: _plain(f'{field}.{key}', one, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(f'{field}[{number}]', one, depth + 1) for number, one in enumerate(value)]
    if value is not None and not isinstance(value, (bool, str)):
        _number(field, value)
    return value


def _number(field: str, value: object) -> None:
    if not isinstance(value, (int, float)):
        raise exception.BadRecord(field, value, 'it is nothing that JSON can express')
    if isinstance(value, int) and value.bit_length() > 64:
        raise exception.BadRecord(field, value, 'it is a number of more than 64 bits')
    if not math.isfinite(value):
        raise exception.BadRecord(field, value, 'it is not a finite number')


def _mapping(field: str, value: object) -> object:
    if not isinstance(value, abc.Mapping):
        raise exception.BadRecord(field, value, 'it is not a mapping')
    return _plain(field, value)


def _texts(field: str, value: object) -> object:
    """Check a mapping from names to sentences."""
    for key, one in typing.cast(Mapping, _mapping(field, value)).items():
        _text(f'{field}.{key}', one)
    return _plain(field, value)


def _or_none(check: _Check) -> _Check:
    return lambda field, value: None if value is None else check(field, value)


def _fields(**parts: tuple[_Check, object]) -> _Check:
    """Check a mapping with these fields: what it does not have gets the default beside it."""
    def check(field: str, value: object) -> object:
        if not isinstance(value, abc.Mapping):
            raise exception.BadRecord(field, value, 'it is not a mapping')
        return {name: one(f'{field}.{name}', value.get(name, default))
                for name, (one, default) in parts.items()}
    return check


_SEEN = _fields(source=(_text, ''), job=(_truth, False), destination=(_text, ''),
                home=(_text, ''), status=(_text, ''), migrating=(_truth, False))

_CHECKS: dict[str, _Check] = {
    'server': _uuid,
    'migration': _uuid,
    'source': _name,
    'destination': _text,
    'written': _written,
    'was_paused': _truth,
    'block_migration': _truth,
    'started_s': _seconds,
    'request_id': _or_none(_text),
    'user_id': _or_none(_text),
    'project_id': _or_none(_text),
    'migrate_data': _or_none(_mapping),
    'source_bdms': _or_none(_mapping),
    'policy': _fields(fields=(_mapping, {}), origins=(_texts, {}), request=(_mapping, {}),
                      retuned=(_mapping, {}), held=(_mapping, {})),
    'undecided': _or_none(_fields(since_s=(_seconds, None), kind=(_name, None),
                                  reason=(_text, ''), seen_s=(_or_none(_seconds), None),
                                  seen=(_or_none(_SEEN), None))),
    'tries': _count,
}


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known of a migration at its source.

    server, migration: their UUIDs, the migration's is that of Nova's record.
    source, destination: hosts; the destination is empty where none was chosen yet.
    written: how far it has come; `LOST` where this was made again from Nova's records, after what
        was written down had been lost.
    was_paused: its user had paused the server before.
    block_migration: disks are copied.
    started_s: seconds since the epoch.
    request_id, user_id, project_id: of the request; a token is never written down.
    migrate_data, source_bdms: Nova's objects as primitives of oslo.versionedobjects; the volumes
        are those of before the destination was prepared.
    policy: mappings `fields` (by key, as resolved), `origins` (by key, in words), `request`,
        `retuned` and `held` (by key, as asked for).
    undecided: the last step of recovery that is not complete: `since_s`, its `kind` and `reason`,
        and what was `seen` (as Evidence.to_dict has it) at `seen_s`; None where not known.
    tries: of resuming post-copy.

    :raises exception.BadRecord: a value is none of these
    """

    server: str
    migration: str
    source: str
    destination: str
    written: evidence.Written
    was_paused: bool
    block_migration: bool
    started_s: float
    request_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    migrate_data: Mapping | None = None
    source_bdms: Mapping | None = None
    policy: Mapping = dataclasses.field(default_factory=dict)
    undecided: Mapping | None = None
    tries: int = 0

    def __post_init__(self) -> None:
        # Copies: another thread may go on to change what it gave.
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))

    def to_dict(self) -> dict[str, typing.Any]:
        """Return the document, which JSON can express."""
        fields = {name: getattr(self, name) for name in _CHECKS}
        return {'format': FORMAT, 'version': VERSION, 'needs': NEEDS, **fields,
                'written': self.written.value}

    @classmethod
    def from_dict(cls, given: object) -> Record:
        """Read a document of this version of the plugin, the previous or the next.

        :raises exception.BadRecord: it is none, or needs a version later than this
        """
        if not isinstance(given, abc.Mapping):
            raise exception.BadRecord('document', given, 'it is not a mapping')
        if given.get('format') != FORMAT:
            raise exception.BadRecord('format', given.get('format'), 'it is of another program')
        for name in ('version', 'needs'):
            if not _count(name, given.get(name)):
                raise exception.BadRecord(name, 0, 'the first version is 1')
        if given['needs'] > VERSION:
            raise exception.BadRecord(
                'needs', given['needs'], 'a later version of the plugin wrote it, and this one '
                f'can read what needs version {VERSION} at most')
        for field in dataclasses.fields(cls):
            has_no_default = field.default is field.default_factory is dataclasses.MISSING
            if has_no_default and field.name not in given:
                raise exception.BadRecord(field.name, None, 'it is missing')
        return cls(**{name: given[name] for name in _CHECKS if name in given})

    def to_bytes(self) -> bytes:
        """Return the document as JSON, one line; no part of it that ends sooner is whole.

        :raises exception.BadRecord: it is too large
        """
        document = json.dumps(self.to_dict(), allow_nan=False).encode('ascii') + b'\n'
        _check_size(document)
        return document

    @classmethod
    def from_bytes(cls, given: bytes) -> Record:
        """Read a document, as `from_dict` does.

        :raises exception.BadRecord: it is none
        """
        _check_size(given)
        if not given.endswith(b'}\n'):
            raise exception.BadRecord('document', given, f'it is cut off after {len(given)} bytes')
        try:
            found = json.loads(given.decode('ascii'), object_pairs_hook=_once,
                               parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            # What the parser says may show a part of the document, and so a secret.
            raise exception.BadRecord('document', given,
                                      f'it is not JSON ({type(error).__name__})') from None
        return cls.from_dict(found)


def _check_size(document: bytes) -> None:
    if len(document) > MOST_BYTES:
        raise exception.BadRecord('document', document,
                                  f'its {len(document)} bytes are more than {MOST_BYTES}')


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError('a key is there twice')
    return found


def _no_constant(name: str) -> typing.NoReturn:
    raise ValueError(f'{name} is not a finite number')
