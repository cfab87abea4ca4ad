# SPDX-License-Identifier: Apache-2.0
"""What the two ends of a migration tell each other about slots, and what is wrong with a message.

A message of the source says how the migration stands there, so that the newest one is all that
counts. Both ends have an epoch, the time of their start in ms since 1970: a message from before a
restart, or to a process that is gone, is known as such.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import typing

from nova_migpolicy import exception

#: numbers and times are at most these
_HIGHEST = 1 << 53
_LONGEST_S = 1e8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FromSource:
    """What a source tells a destination of one migration.

    epoch: of the source. number: each message of the source has a higher one. to_epoch: of the
    destination as far as the source knows, or 0.
    """

    source: str
    destination: str
    migration: str
    epoch: int
    number: int
    to_epoch: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanting(FromSource):
    """One that says what is wanted.

    server: its name, for sentences. priority: points. cost_mib: what is to be sent.
    waited_s: since it has asked first.
    """

    server: str
    priority: int
    cost_mib: float
    waited_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Wanting):
    """It waits; said again and again as long as it does.

    room: how many outgoing slots the source has free now
    """

    room: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Take(Wanting):
    """The source has a slot for it, and takes the offer; it waits for Granted, but not long."""

    offer: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Wanting):
    """Its data flows; renews its lease. eta_s: until its end, as far as that is known."""

    phase: str = ''
    eta_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decline(FromSource):
    """The source has no outgoing slot now; the migration goes on waiting."""

    offer: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release(FromSource):
    """It wants nothing any more: its data has flowed, or it was cancelled."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FromDestination:
    """What a destination tells a source of one migration.

    epoch, number: of the destination. to_epoch: of the source as far as the destination knows.
    answers: the highest number that the source has sent of this migration, as far as it has come.
    """

    source: str
    destination: str
    migration: str
    epoch: int
    number: int
    to_epoch: int
    answers: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer(FromDestination):
    """A slot is kept for so long."""

    offer: int
    lasts_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Granted(FromDestination):
    """The slot is the migration's, as long as its lease is renewed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Queued(FromDestination):
    """It waits.

    place, waiting: which one it is of how many. kind: what it waits for. used, limit: of incoming
    slots. holders: the servers that have them, some of them where they are many. eta_s: until it
    has its slot, as far as that is known.
    """

    place: int
    waiting: int
    kind: str
    used: int
    limit: int
    holders: tuple[str, ...] = ()
    eta_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refused(FromDestination):
    """A message was nonsense; the sentence says why."""

    reason: str


Message = FromSource | FromDestination
FROM_SOURCE = (Ask, Take, Hold, Decline, Release)
FROM_DESTINATION = (Offer, Granted, Queued, Refused)


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What a machine makes of one call.

    sends: messages to others. granted: migrations of this source that have both slots from now
    on. refused: what was wrong with the message, as a sentence.
    """

    sends: tuple[Message, ...] = ()
    granted: tuple[str, ...] = ()
    refused: str = ''


def is_number(value: object) -> bool:
    """Whether a value is a whole number that a message may have."""
    return type(value) is int and 0 <= value <= _HIGHEST


def _is_amount(value: object) -> bool:
    return type(value) in (int, float) and 0 <= typing.cast('float', value) <= _LONGEST_S


def _is_word(value: object) -> bool:
    return type(value) is str and len(value) <= 255


def is_name(value: object) -> bool:
    """Whether a value is the name of something."""
    return _is_word(value) and value != ''


def is_id(value: object) -> bool:
    """Whether a value names a host or a migration: a ticket's name is made of both."""
    return is_name(value) and not any(one.isspace() for one in typing.cast('str', value))


#: by the name of a field: whether a value is one, and what it has to be
_AMOUNT = (_is_amount, f'an amount from 0 to {_LONGEST_S:.0f}')
_NUMBER = (is_number, f'a whole number from 0 to {_HIGHEST}')
_NAME = (is_name, 'a name of at most 255 characters')
_ID = (is_id, 'a name of at most 255 characters, and no space')
_TIME = (lambda value: value is None or _is_amount(value), f'none, or {_AMOUNT[1]}')
_CHECKS: abc.Mapping[str, tuple[abc.Callable[[object], bool], str]] = {
    'source': _ID, 'destination': _ID, 'migration': _ID, 'server': _NAME,
    'epoch': _NUMBER, 'number': _NUMBER, 'to_epoch': _NUMBER, 'answers': _NUMBER,
    'offer': _NUMBER, 'place': _NUMBER, 'waiting': _NUMBER, 'used': _NUMBER, 'limit': _NUMBER,
    'room': _NUMBER,
    'priority': (lambda value: is_number(value) and value <= 100,   # type: ignore[operator]
                 'a number from 0 to 100'),
    'cost_mib': (lambda value: type(value) in (int, float) and 0 <= typing.cast(
        'float', value) <= _HIGHEST, f'an amount from 0 to {_HIGHEST}'),
    'waited_s': _AMOUNT, 'lasts_s': _AMOUNT, 'eta_s': _TIME,
    'phase': (_is_word, 'a word of at most 255 characters'),
    'kind': (_is_word, 'a word of at most 255 characters'),
    'reason': (lambda value: type(value) is str and len(value) <= 2000,
               'a sentence of at most 2000 characters'),
    'holders': (lambda value: type(value) is tuple and all(is_name(one) for one in value),
                'a tuple of names'),
}
#: by the kind of a message: its fields with their checks
_FIELDS: abc.Mapping[type, tuple[tuple[str, abc.Callable[[object], bool], str], ...]] = {
    kind: tuple((field.name, *_CHECKS[field.name]) for field in dataclasses.fields(kind))
    for kind in (*FROM_SOURCE, *FROM_DESTINATION)}
_KINDS: abc.Mapping[str, type[Message]] = {
    kind.__name__.lower(): kind for kind in (*FROM_SOURCE, *FROM_DESTINATION)}


def fault(message: object, kinds: abc.Sequence[type[Message]]) -> str:
    """Return what is wrong with a message, as a sentence, or nothing.

    :param kinds: what it may be
    """
    kind = type(message)
    if kind not in kinds:
        return (f'a {kind.__name__} is not one of '
                f'{", ".join(one.__name__ for one in kinds)}')
    for name, is_right, right in _FIELDS[kind]:
        value = getattr(message, name)
        if not is_right(value):
            return f'{kind.__name__}: {name} = {exception.shown(value)} is not {right}'
    return ''


def to_plain(message: Message) -> dict[str, typing.Any]:
    """Return a message as plain data."""
    fields = {name: getattr(message, name) for name, _, _ in _FIELDS[type(message)]}
    if 'holders' in fields:
        fields['holders'] = list(fields['holders'])
    return {'kind_of_message': type(message).__name__.lower(), **fields}


def from_plain(plain: object) -> Message:
    """Return the message that plain data is, whatever a peer has sent.

    Fields that this version does not know are left out.

    :raises BadMessage: it is none, or nonsense
    """
    if not isinstance(plain, abc.Mapping):
        raise exception.BadMessage(f'{exception.shown(plain)} is no message')
    name = plain.get('kind_of_message')
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise exception.BadMessage(f'{exception.shown(name)} is no kind of message')
    known = {field: plain[field] for field, _, _ in _FIELDS[kind] if field in plain}
    if isinstance(known.get('holders'), list):
        known['holders'] = tuple(known['holders'])
    try:
        message = kind(**known)
    except TypeError:
        needed = {field.name for field in dataclasses.fields(kind)
                  if field.default is dataclasses.MISSING}
        raise exception.BadMessage(
            f'{kind.__name__}: {", ".join(sorted(needed - set(known)))} is missing') from None
    wrong = fault(message, (kind,))
    if wrong:
        raise exception.BadMessage(wrong)
    return message
