# SPDX-License-Identifier: Apache-2.0
"""The one declaration of every policy key: type, unit, range, default, who may set it, and help.

The flavor validators, the options in nova.conf, the samples and the reference in the docs are
generated from ``KEYS``.  Merging sources is not done here but in ``policy.resolve``.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import difflib
import re
import types
import typing

from nova_migpolicy import exception

Kind = typing.Literal['int', 'choice', 'list', 'str']
Gentler = typing.Literal['lower', 'subset']
Value = int | str | tuple[str, ...]

ALL = frozenset({'flavor', 'image', 'request', 'retune'})
AT_START = frozenset({'flavor', 'image', 'request'})
OPERATOR = frozenset({'flavor', 'request'})

STOCK_PROFILE = 'nova'
DEFAULT_PROFILE = 'balanced'

_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}')


@dataclasses.dataclass(frozen=True)
class Key:
    """What there is to know about one policy key.

    :ivar name: the key; in a flavor ``migpolicy:<name>``, on an image ``migpolicy_<name>``.
    :ivar kind: int, choice (one of ``choices``), list (ordered, of ``choices`` if there are
        any) or str (a name).
    :ivar unit: of an int; the name of the key ends in it.
    :ivar minimum: and ``maximum``, of an int, both included.
    :ivar zero: what 0 means, if it means more than the number.
    :ivar unlimited: 0 is the largest value there is, not the smallest.
    :ivar sources: which of flavor, image, request and retune may set it; nova.conf always may.
    :ivar gentler: where an image may go by itself: ``lower`` values, a ``subset``, or None for
        nowhere.
    :ivar image_floor: how far an image may go there unless nova.conf says otherwise.
    :ivar in_effect: False while nothing acts on it: it is accepted and warned about.
    """

    kind: Kind
    help: str
    name: str = ''
    default: Value = ''
    unit: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    zero: str | None = None
    unlimited: bool = False
    choices: tuple[str, ...] = ()
    sources: frozenset[str] = ALL
    gentler: Gentler | None = None
    image_floor: Value | None = None
    in_effect: bool = True

    def parse(self, given: object) -> Value:
        """Turn what a source holds (text, or a number or a list from YAML or JSON) into a value.

        :raises exception.BadValue: if it is of the wrong type or out of range.
        """
        if self.kind == 'int':
            return self._parse_int(given)
        if self.kind == 'list':
            return self._parse_list(given)
        if not isinstance(given, str):
            raise exception.BadValue(self.name, given, 'not a text')
        text = given.strip()
        if self.kind == 'choice':
            self._check_choice(text, given)
        elif text and not _NAME.fullmatch(text):
            raise exception.BadValue(
                self.name, given, 'a name has letters, digits, and . _ : - inside, 63 at most')
        return text

    def _parse_int(self, given: object) -> int:
        if isinstance(given, str) and re.fullmatch(r'\s*[+-]?[0-9]{1,18}\s*', given):
            value = int(given)
        elif isinstance(given, int) and not isinstance(given, bool):
            value = given
        else:
            raise exception.BadValue(self.name, given, 'not a whole number')
        if self.minimum is not None and value < self.minimum:
            raise exception.BadValue(self.name, given, f'below the minimum of {self.minimum}')
        if self.maximum is not None and value > self.maximum:
            raise exception.BadValue(self.name, given, f'above the maximum of {self.maximum}')
        return value

    def _parse_list(self, given: object) -> tuple[str, ...]:
        if isinstance(given, str):
            words = [word for word in re.split(r'[,\s]+', given) if word]
        elif isinstance(given, (list, tuple)) and all(isinstance(word, str) for word in given):
            words = [word.strip() for word in given]
        else:
            raise exception.BadValue(self.name, given, 'not a list of words')
        if words == ['none']:
            words = []
        for word in words:
            if self.choices:
                self._check_choice(word, given)
            elif not _NAME.fullmatch(word):
                raise exception.BadValue(
                    self.name, given, f'{exception.shown(word)} is not a name')
            if words.count(word) > 1:
                raise exception.BadValue(self.name, given, f'{word} is there twice')
        return tuple(words)

    def _check_choice(self, word: str, given: object) -> None:
        if word not in self.choices:
            raise exception.BadValue(
                self.name, given,
                f'{exception.shown(word)} is not one of {", ".join(self.choices)}')

    def text(self, value: Value) -> str:
        """Write a value as a flavor or an image would hold it; ``parse`` reads it back."""
        if isinstance(value, tuple):
            return ','.join(value) if value else 'none'
        return str(value)

    def allows(self) -> str:
        """Say in a few words which values the key takes."""
        if self.kind == 'int':
            text = f'{self.minimum} to {self.maximum}'
            return f'{text} (0: {self.zero})' if self.zero else text
        if self.kind == 'choice':
            return 'one of ' + ', '.join(self.choices)
        if self.kind == 'list':
            return 'a list of ' + (', '.join(self.choices) or 'names')
        return 'a name'


def _key(default: typing.Any, kind: Kind, text: str, **facts: typing.Any) -> typing.Any:
    return dataclasses.field(
        default=default, metadata={'key': Key(kind=kind, help=text, **facts)})


@dataclasses.dataclass(frozen=True)
class Policy:
    """What one migration may do to its server, complete; the defaults are profile balanced."""

    profile: str = _key(
        DEFAULT_PROFILE, 'str',
        'A named set of the other keys, built in or from the profiles file. The keys that are '
        'set beside it in the same place win over it.')
    max_downtime_ms: int = _key(
        500, 'int',
        'The longest blackout that the server may suffer at the switchover. It is a promise '
        'about what the server feels, also while the bandwidth is capped. Pausing the server '
        'is outside of it and is only done where remedies, on_stall or on_timeout permit it.',
        unit='ms', minimum=1, maximum=2_000_000, gentler='lower', image_floor=100)
    initial_downtime_ms: int = _key(
        100, 'int',
        'The blackout to try for at the start; the remedy downtime raises it, up to '
        'max_downtime_ms, when the migration needs it.',
        unit='ms', minimum=1, maximum=2_000_000, sources=AT_START, gentler='lower')
    bandwidth_mib_s: int = _key(
        0, 'int',
        'The rate at which the transfer starts, for all of its streams together.',
        unit='MiB/s', minimum=0, maximum=1_000_000, zero='no cap', unlimited=True,
        gentler='lower', image_floor=50)
    max_bandwidth_mib_s: int = _key(
        0, 'int',
        'The ceiling up to which the remedy bandwidth may raise the rate, for all streams '
        'together.',
        unit='MiB/s', minimum=0, maximum=1_000_000, zero='no ceiling', unlimited=True,
        gentler='lower', image_floor=100)
    timeout_seconds: int = _key(
        300, 'int',
        'The part of the deadline that does not depend on the size of the server. The deadline '
        'is the sum of both parts; if both are 0 there is none.',
        unit='s', minimum=0, maximum=2_592_000, zero='no such part', gentler='lower',
        image_floor=120)
    timeout_seconds_per_gib: int = _key(
        60, 'int',
        'The part of the deadline for each GiB of memory and of disk that is to be sent.',
        unit='s/GiB', minimum=0, maximum=86_400, zero='no such part', gentler='lower',
        image_floor=30)
    on_timeout: str = _key(
        'abort', 'choice',
        'What to do at the deadline. force_complete means post-copy where it was permitted and '
        'pause otherwise.',
        choices=('abort', 'force_complete', 'post_copy', 'pause', 'continue'))
    remedies: tuple[str, ...] = _key(
        ('bandwidth', 'downtime'), 'list',
        'What may be done to make the migration finish, in the order of preference among those '
        'that do equal harm. The word none permits nothing.',
        choices=('bandwidth', 'downtime', 'auto_converge', 'post_copy', 'pause'),
        gentler='subset', image_floor=('bandwidth', 'downtime'))
    on_stall: str = _key(
        'abort', 'choice',
        'What to do as soon as it is clear that no permitted remedy makes the migration finish.',
        choices=('abort', 'post_copy', 'pause', 'continue'))
    max_throttle_percent: int = _key(
        60, 'int',
        "How much of the server's CPU time auto-converge may take away.",
        unit='percent', minimum=1, maximum=99, gentler='lower', image_floor=30)
    compression: str = _key(
        'none', 'choice',
        'How memory is compressed on the wire. zlib and zstd need parallel streams.',
        choices=('none', 'xbzrle', 'zlib', 'zstd'), sources=AT_START)
    parallel_connections: int = _key(
        1, 'int',
        'Over how many connections memory is sent. Most releases of QEMU have no post-copy '
        'with more than one.',
        minimum=1, maximum=255, sources=AT_START, gentler='lower')
    priority: int = _key(
        50, 'int',
        'The place in the queue for slots; a higher one goes first.',
        minimum=0, maximum=100, gentler='lower', in_effect=False)
    on_busy_destination: str = _key(
        'auto', 'choice',
        'What to do when the destination takes no more migrations now. auto waits if the '
        'request named the host and looks for another one otherwise.',
        choices=('auto', 'wait', 'reschedule'), sources=AT_START, in_effect=False)
    migration_network: str = _key(
        '', 'str',
        "The name of the network that carries the data; empty for Nova's own choice.",
        sources=OPERATOR, in_effect=False)
    required_features: tuple[str, ...] = _key(
        (), 'list',
        'What must work for this server on the destination, or the migration must not succeed.',
        sources=AT_START, in_effect=False)

    def deadline_seconds(self, memory_gib: float, disk_gib: float) -> float | None:
        """How long the migration may take from its start, in seconds; None for no deadline.

        :param memory_gib: the server's memory in GiB.
        :param disk_gib: the disks that are to be copied, in GiB; 0 on shared storage.
        """
        if not self.timeout_seconds and not self.timeout_seconds_per_gib:
            return None
        return self.timeout_seconds + self.timeout_seconds_per_gib * (memory_gib + disk_gib)

    @property
    def is_stock(self) -> bool:
        """Whether Nova's own behaviour is asked for, with none of ours."""
        return self.profile == STOCK_PROFILE

    @property
    def may_post_copy(self) -> bool:
        """Whether post-copy must be made ready when the migration starts."""
        return 'post_copy' in (*self.remedies, self.on_stall, self.on_timeout)

    @property
    def may_pause(self) -> bool:
        """Whether the engine may, by itself, pause the server for the rest of the transfer."""
        return ('pause' in (*self.remedies, self.on_stall, self.on_timeout)
                or self.on_timeout == 'force_complete')

    @property
    def may_throttle(self) -> bool:
        """Whether auto-converge must be made ready when the migration starts."""
        return 'auto_converge' in self.remedies


def _table() -> abc.Mapping[str, Key]:
    return types.MappingProxyType({
        field.name: dataclasses.replace(
            field.metadata['key'], name=field.name, default=field.default)
        for field in dataclasses.fields(Policy)})


KEYS: abc.Mapping[str, Key] = _table()


def find(name: str) -> Key:
    """Look a key up by its name.

    :raises exception.UnknownKey: if there is none; the sentence proposes what is close.
    """
    try:
        return KEYS[name]
    except KeyError:
        raise exception.UnknownKey(name, difflib.get_close_matches(name, KEYS, n=2)) from None
