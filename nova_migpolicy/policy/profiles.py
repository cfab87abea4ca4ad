# SPDX-License-Identifier: Apache-2.0
"""Named sets of policy keys: the built-in ones, and those that an operator's YAML file adds.

A profile names only the keys that it has an opinion on; the others come from weaker sources.
Reading the file is the only I/O in this package. Keeping the old set while a changed file is
broken is the business of ``nova_migpolicy.site_settings``.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import types
import typing

import yaml

from nova_migpolicy import exception
from nova_migpolicy.policy import keys

# Words in the file's profiles beside the policy keys.
_DESCRIPTION = 'description'
_BASED_ON = 'based_on'

# The site decides on these, not a profile: the built-in ones leave these keys alone, except where
# the profile's own purpose depends on one.
SITE_KEYS = frozenset({'profile', 'bandwidth_mib_s', 'max_bandwidth_mib_s', 'compression',
                       'parallel_connections', 'priority', 'on_busy_destination',
                       'migration_network', 'required_features'})


@dataclasses.dataclass(frozen=True)
class Profile:
    """A named set of policy keys.

    :ivar values: the keys that it sets; never ``profile``.
    :ivar description: its purpose, in a sentence.
    :ivar path: the file that it came from or was changed by; None if built in.
    """

    name: str
    values: abc.Mapping[str, keys.Value]
    description: str = ''
    path: str | None = None


def _built_in(name: str, description: str, **values: keys.Value) -> Profile:
    complete: dict[str, keys.Value] = {
        key.name: key.default for key in keys.KEYS.values() if key.name not in SITE_KEYS}
    complete.update(values)
    return Profile(name, types.MappingProxyType(complete), description)


# Most releases of QEMU have no post-copy over more than one connection, and a profile that always
# arrives must not lose it because a site sends over several.
_FOR_POST_COPY: abc.Mapping[str, keys.Value] = types.MappingProxyType({'parallel_connections': 1})

_ALL = (
    _built_in(
        'balanced',
        'The default: a blackout of half a second at most, nothing that slows the server or '
        'puts it at risk, and an early and explained end where that is not enough.'),
    _built_in(
        'minimal_downtime',
        'For servers that are sensitive to every interruption: a blackout of 150 ms at most and '
        'more patience; no migration rather than a longer blackout.',
        max_downtime_ms=150, initial_downtime_ms=50,
        timeout_seconds=600, timeout_seconds_per_gib=150),
    _built_in(
        'post_copy',
        'For servers that should arrive in any case: when pre-copy cannot finish, the server '
        'moves first and fetches its memory afterwards. If the link breaks in that time, the '
        'server is lost. Where QEMU cannot do post-copy with the devices of the server, or on the '
        'destination, the migration goes on without it and may then be aborted.',
        max_downtime_ms=300,
        remedies=('bandwidth', 'downtime', 'post_copy'),
        on_stall='post_copy', on_timeout='post_copy', **_FOR_POST_COPY),
    _built_in(
        'suspend_if_needed',
        'For servers that should arrive in any case and may stand still: when pre-copy cannot '
        'finish, the server is paused for the rest of the transfer. No risk of loss, but a pause '
        'of up to its memory divided by the rate at which it is sent then.',
        remedies=('bandwidth', 'downtime', 'pause'),
        on_stall='pause', on_timeout='pause'),
    _built_in(
        'evacuate',
        'For a host that must be empty soon: everything is permitted and the deadline is short.',
        max_downtime_ms=2000, initial_downtime_ms=300,
        timeout_seconds=120, timeout_seconds_per_gib=30, on_timeout='force_complete',
        remedies=('bandwidth', 'downtime', 'auto_converge', 'post_copy', 'pause'),
        on_stall='post_copy', max_throttle_percent=99, **_FOR_POST_COPY),
    _built_in(
        'very_large',
        'For hundreds of GiB: parallel connections, a blackout of up to 1.5 s, auto-converge '
        'where it helps, and a deadline in hours.',
        max_downtime_ms=1500, initial_downtime_ms=300,
        timeout_seconds=1800, timeout_seconds_per_gib=60,
        remedies=('bandwidth', 'downtime', 'auto_converge'),
        max_throttle_percent=80, parallel_connections=4),
    _built_in(
        keys.STOCK_PROFILE,
        "Nova's own behaviour with its own timers from nova.conf [libvirt]: the safe way back. "
        'The other keys have no effect under it.',
        max_downtime_ms=500, initial_downtime_ms=50,
        timeout_seconds=0, timeout_seconds_per_gib=800, on_timeout='abort',
        remedies=('downtime',), on_stall='continue', max_throttle_percent=99),
)

BUILT_IN: abc.Mapping[str, Profile] = types.MappingProxyType(
    {profile.name: profile for profile in _ALL})


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, except that a key given twice is an error and not a surprise."""

    def construct_mapping(self, node: typing.Any,
                          deep: bool = False) -> dict[typing.Any, typing.Any]:
        """Build a dict after a check for duplicate keys."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'{key_node.value!r} is given twice', key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def load(path: str, base: abc.Mapping[str, Profile] = BUILT_IN) -> abc.Mapping[str, Profile]:
    """Read a profiles file and return its profiles together with the ones in ``base``.

    A profile with the name of one in ``base`` is laid over it, key by key.

    :raises exception.BadProfiles: if the file cannot be read or anything in it is wrong.
    """
    try:
        with open(path, encoding='utf-8') as stream:
            # A subclass of the safe loader: it makes nothing but plain values.
            document = yaml.load(stream, Loader=_Loader)
    except OSError as error:
        raise exception.BadProfiles(path, error.strerror or str(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise exception.BadProfiles(path, f'not YAML: {error}') from error
    return parse(document, path, base)


def parse(document: object, path: str,
          base: abc.Mapping[str, Profile] = BUILT_IN) -> abc.Mapping[str, Profile]:
    """Do the same as ``load`` for a document that has been read already."""
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise exception.BadProfiles(path, 'it must map names of profiles to their keys')
    for name, body in document.items():
        _check_shape(name, body, path)
    reading = _Reading(document, path, dict(base))
    for name in document:
        reading.add(name)
    return types.MappingProxyType(reading.found)


def _check_shape(name: object, body: object, path: str) -> None:
    if not isinstance(name, str):
        raise exception.BadProfiles(path, f'{name!r} is not a name; put it in quotes')
    try:
        if not keys.KEYS['profile'].parse(name):
            raise exception.BadProfiles(path, 'a profile has an empty name')
    except exception.BadValue as error:
        raise exception.BadProfiles(path, error.reason, profile=name) from error
    if name == keys.STOCK_PROFILE:
        raise exception.BadProfiles(
            path, "it means Nova's own behaviour and cannot be changed", profile=name)
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        raise exception.BadProfiles(path, 'it must map keys to values', profile=name)
    for word in (_DESCRIPTION, _BASED_ON):
        if not isinstance(body.get(word, ''), str):
            raise exception.BadProfiles(
                path, 'not a text', profile=name, key=word, value=body[word])


@dataclasses.dataclass
class _Reading:
    """The profiles of one file while they are put together."""

    document: dict[str, dict[str, object]]
    path: str
    found: dict[str, Profile]
    done: set[str] = dataclasses.field(default_factory=set)

    def add(self, name: str, above: tuple[str, ...] = ()) -> None:
        """Put the profile, and first the one that it is based on, into ``found``."""
        if name in self.done:
            return
        body = self.document[name]
        start = self.found.get(name)
        if _BASED_ON in body:
            start = self._parent(name, typing.cast(str, body[_BASED_ON]), (*above, name))
        values = dict(start.values) if start else {}
        values.update(_values(name, body, self.path))
        description = body.get(_DESCRIPTION, start.description if start else '')
        self.found[name] = Profile(name, types.MappingProxyType(values),
                                   typing.cast(str, description), self.path)
        self.done.add(name)

    def _parent(self, name: str, parent: str, above: tuple[str, ...]) -> Profile:
        if parent in above:
            raise exception.BadProfiles(
                self.path, 'profiles are based on each other in a circle', profile=name,
                key=_BASED_ON, value=parent)
        if parent in self.document:
            self.add(parent, above)
        elif parent not in self.found:
            raise exception.BadProfiles(
                self.path, f'there is no such profile; there are {", ".join(sorted(self.found))}',
                profile=name, key=_BASED_ON, value=parent)
        return self.found[parent]


def _values(name: str, body: dict[str, object], path: str) -> dict[str, keys.Value]:
    values: dict[str, keys.Value] = {}
    for key, given in body.items():
        if key in (_DESCRIPTION, _BASED_ON):
            continue
        try:
            if key == 'profile':
                raise exception.BadValue(key, given, f'use {_BASED_ON} to build on a profile')
            values[key] = keys.find(key).parse(given)
        except exception.BadValue as error:
            raise exception.BadProfiles(
                path, error.reason, profile=name, key=key, value=given) from error
        except exception.UnknownKey as error:
            raise exception.BadProfiles(
                path, str(error), profile=name, key=key, value=given) from error
    return values
