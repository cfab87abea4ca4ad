# SPDX-License-Identifier: Apache-2.0
"""The one declaration of every policy key: type, unit, range, default, who may set it, and help.

The flavor validators, the options in nova.conf, the samples and the reference in the docs are
generated from ``KEYS``. Merging sources is not done here but in ``policy.resolve``.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import difflib
import types
import typing

from nova_migpolicy import exception
from nova_migpolicy.policy import key as key_mod
from nova_migpolicy import vocabulary

# The names that callers use.
Key = key_mod.Key
Value = key_mod.Value
ALL = key_mod.ALL

AT_START = frozenset({'flavor', 'image', 'request'})
OPERATOR = frozenset({'flavor', 'request'})

STOCK_PROFILE = 'nova'
DEFAULT_PROFILE = 'balanced'

# The meaning of each word of a choice or a list.
WORDS: abc.Mapping[str, str] = types.MappingProxyType({
    'abort': 'stop; the server stays where it is',
    'force_complete': 'post_copy where it was made ready, otherwise pause',
    'post_copy': 'move the server now and let it fetch its memory afterwards',
    'pause': 'pause the server for the rest of the transfer',
    'continue': 'go on and wait',
    'bandwidth': 'raise the rate',
    'downtime': 'raise the blackout to try for',
    'auto_converge': 'take CPU time away from the server',
    'none': 'not compressed',
    'xbzrle': 'only the differences of pages that were sent before',
    'zlib': 'deflate, much CPU time',
    'zstd': 'Zstandard, less CPU time',
    **vocabulary.ON_BUSY_DESTINATION,
})


def _key(default: typing.Any, kind: key_mod.Kind, text: str, **facts: typing.Any) -> typing.Any:
    return dataclasses.field(
        default=default, metadata={'key': Key(kind=kind, help=text, **facts)})


@dataclasses.dataclass(frozen=True)
class Policy:
    """The complete policy of one migration; the defaults are those of profile balanced."""

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
        unit='ms', minimum=1, maximum=2_000_000, sources=AT_START, gentler='lower', image_floor=50)
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
        'What may be done to make the migration finish. Nothing is done while it will finish by '
        'itself; otherwise the first of these that is expected to do it is used, so begin with '
        'what harms the server least. The word none permits nothing.',
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
        'The place among the live migrations that wait for a slot; a higher one goes first. One '
        'that has waited for half an hour goes before all others.',
        minimum=0, maximum=100, names=tuple(vocabulary.PRIORITIES.items()), sources=AT_START,
        gentler='lower')
    on_busy_destination: str = _key(
        vocabulary.AUTO, 'choice',
        'What to do when the destination has no free slot. auto waits if the request named the '
        'host, which is known only where nova-api has the filter, and looks for another one '
        'otherwise.',
        choices=tuple(vocabulary.ON_BUSY_DESTINATION), sources=AT_START)
    migration_network: str = _key(
        '', 'str',
        "The name of the network that carries the data; empty for Nova's own choice.",
        sources=OPERATOR, in_effect=False)
    required_features: tuple[str, ...] = _key(
        (), 'list',
        'What must work for this server on the destination, or the migration must not succeed.',
        sources=AT_START, in_effect=False)

    def deadline_seconds(self, memory_gib: float, disk_gib: float) -> float | None:
        """Return the time that the migration may take, in seconds; None for no deadline.

        :param memory_gib: the server's memory in GiB.
        :param disk_gib: the disks that are to be copied, in GiB; 0 on shared storage.
        """
        if not self.timeout_seconds and not self.timeout_seconds_per_gib:
            return None
        return self.timeout_seconds + self.timeout_seconds_per_gib * (memory_gib + disk_gib)

    @property
    def is_stock(self) -> bool:
        """Whether it asks for Nova's own behaviour, with none of ours."""
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


def retunable() -> tuple[Key, ...]:
    """Return the keys that a retune of a running migration may change, in the table's order."""
    return tuple(key for key in KEYS.values() if 'retune' in key.sources and key.in_effect)


def requestable() -> tuple[Key, ...]:
    """Return the keys that a request may set for its migration, in the table's order."""
    return tuple(key for key in KEYS.values() if 'request' in key.sources)
