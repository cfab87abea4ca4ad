# SPDX-License-Identifier: Apache-2.0
"""Merge all sources into one complete policy, and record the origin of each value.

Weakest first: the defaults (profile balanced), nova.conf [libvirt], the profile that nova.conf
names, nova.conf [migpolicy], then the flavor, the image, the request and a retune. A profile
that one of those last four names acts at that source's place, just below the keys beside it.
Reading the sources from Nova is not done here.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import enum
import types
import typing

from nova_migpolicy import exception
from nova_migpolicy.policy import clamp
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import limit as limit_mod
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import settle

Given = abc.Mapping[str, object]


class Level(enum.IntEnum):
    """The sources, weakest first."""

    DEFAULT = 0
    LIBVIRT = 1
    OPERATOR = 2
    FLAVOR = 3
    IMAGE = 4
    REQUEST = 5
    RETUNE = 6

    @property
    def title(self) -> str:
        """The name to show."""
        return _TITLES[self]


_TITLES = {Level.DEFAULT: 'default', Level.LIBVIRT: 'nova.conf [libvirt]',
           Level.OPERATOR: 'nova.conf', Level.FLAVOR: 'flavor', Level.IMAGE: 'image',
           Level.REQUEST: 'request', Level.RETUNE: 'retune'}


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that a source asked for and did not get, for one warning."""

    key: str
    value: object
    source: str
    reason: str

    def __str__(self) -> str:
        return self.sentence

    @property
    def sentence(self) -> str:
        """The problem in a sentence; a tenant's text in it is quoted and cut."""
        key = self.key if self.key in keys.KEYS else exception.shown(self.key).strip('\'"')
        return f'{self.source}: {key} = {exception.shown(self.value)}: {self.reason}'


@dataclasses.dataclass(frozen=True)
class Sources:
    """All sources of a policy; keys are bare, without ``migpolicy:`` or the like.

    :ivar libvirt: nova.conf [libvirt], as policy keys.
    :ivar operator: the keys that nova.conf [migpolicy] sets.
    :ivar image_keys: the keys that images may set.
    :ivar image_limits: how far, by key.
    :ivar request_limits: how far a request and a retune may go, by key; no limit where there is
        none.
    :ivar earlier: problems that were found while the sources were read.
    """

    profiles: abc.Mapping[str, profiles.Profile] = dataclasses.field(
        default_factory=lambda: profiles.BUILT_IN)
    libvirt: Given = dataclasses.field(default_factory=dict)
    operator: Given = dataclasses.field(default_factory=dict)
    flavor: Given = dataclasses.field(default_factory=dict)
    image: Given = dataclasses.field(default_factory=dict)
    request: Given = dataclasses.field(default_factory=dict)
    retune: Given = dataclasses.field(default_factory=dict)
    image_keys: abc.Collection[str] = frozenset()
    image_limits: abc.Mapping[str, limit_mod.Limit] = dataclasses.field(default_factory=dict)
    request_limits: abc.Mapping[str, limit_mod.Limit] = dataclasses.field(default_factory=dict)
    earlier: tuple[Problem, ...] = ()


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A complete policy, the origin of each of its values, and the requests not honoured."""

    policy: keys.Policy
    origins: abc.Mapping[str, str]
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the values, their origins, and the problems' sentences, for the journal."""
        values: dict[str, object] = {}
        for name in keys.KEYS:
            value = getattr(self.policy, name)
            values[name] = list(value) if isinstance(value, tuple) else value
        return {'policy': values, 'origins': dict(self.origins),
                'problems': [problem.sentence for problem in self.problems]}


def read(given: abc.Mapping[str, typing.Any],
         given_origins: abc.Mapping[str, str]) -> Resolved:
    """Return a policy of which only values and origins are left, perhaps of another version.

    Values of keys that are not known here are left out; a key that was not known there has its
    default.

    :raises exception.BadValue: a value is none that its key can have here
    """
    values = {name: keys.KEYS[name].parse(value) for name, value in given.items()
              if name in keys.KEYS}
    origins = dict.fromkeys(keys.KEYS, 'default') | {
        name: str(origin) for name, origin in given_origins.items() if name in keys.KEYS}
    return Resolved(keys.Policy(**typing.cast(dict[str, typing.Any], values)),
                    types.MappingProxyType(origins), ())


def is_from(resolved: Resolved, key: str, level: Level) -> bool:
    """Whether a source gave the value of a key, be it limited by another key or not."""
    return resolved.origins[key].partition(',')[0] == level.title


def resolve(sources: Sources) -> Resolved:
    """Merge the sources; a bad value in any but the request and the retune falls back.

    :raises exception.BadRequest: if the request or the retune holds a key or a value that
        cannot be honoured.
    """
    return _Merge(sources).run()


class _Merge:
    """One merge: the fields so far and the problems so far."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.fields: dict[str, settle.Field] = {}
        self.problems: list[Problem] = list(sources.earlier)

    def run(self) -> Resolved:
        for key in keys.KEYS.values():
            self.fields[key.name] = settle.Field(
                key.default, f'profile {keys.DEFAULT_PROFILE}', Level.DEFAULT, False)
        default = self.sources.profiles.get(keys.DEFAULT_PROFILE)
        if default:
            self._take_profile(default, Level.DEFAULT)
        self._apply(Level.LIBVIRT, self.sources.libvirt)
        self._apply(Level.OPERATOR, self.sources.operator)
        self._apply(Level.FLAVOR, self.sources.flavor)
        self._apply(Level.IMAGE, self.sources.image)
        self._apply(Level.REQUEST, self.sources.request)
        self._apply(Level.RETUNE, self.sources.retune)
        if self.fields['profile'].value == keys.STOCK_PROFILE:
            self._back_to_stock()
        else:
            self._settle()
            self._warn_unbuilt()
        values: dict[str, typing.Any] = {
            name: field.value for name, field in self.fields.items()}
        policy = keys.Policy(**values)
        origins = {name: field.origin for name, field in self.fields.items()}
        return Resolved(policy, types.MappingProxyType(origins), tuple(self.problems))

    def _settle(self) -> None:
        """Settle contradictions.

        A value that a request or a retune gives to a retunable key is used as given, or refused.
        """
        errors = []
        for name, source, reason in settle.settle(self.fields):
            field = self.fields[name]
            if source >= Level.REQUEST and 'retune' in keys.KEYS[name].sources:
                errors.append(exception.BadValue(name, field.asked, (
                    f'{reason}; stay below that or set it as well')))
            else:
                text = f'{reason}, so {keys.KEYS[name].text(field.value)} is used'
                self._problem(Level(source), name, field.asked, text)
        if errors:
            raise exception.BadRequest(errors)

    def _problem(self, level: Level, name: str, value: object, reason: str) -> None:
        self.problems.append(Problem(name, value, level.title, reason))

    def _apply(self, level: Level, given: abc.Mapping[str, object]) -> None:
        values = self._checked(level, given)
        profile = values.pop('profile', None)
        if level >= Level.REQUEST:
            self._refuse(values, profile)
        if profile is not None and self._may_change_profile(level, str(profile)):
            self.fields['profile'] = settle.Field(profile, level.title, level, True)
            self._take_profile(self.sources.profiles[str(profile)], level)
        for name, value in values.items():
            self._set(name, value, level, level.title, True)

    def _checked(self, level: Level, given: abc.Mapping[str, object]) -> dict[str, keys.Value]:
        """Parse a source's values; a value that cannot be used becomes a problem or an error."""
        values: dict[str, keys.Value] = {}
        errors: list[exception.PolicyError] = []
        for name, value in given.items():
            try:
                values[name] = self._check(level, name, value)
            except exception.PolicyError as error:
                errors.append(error)
        if errors and level >= Level.REQUEST:
            raise exception.BadRequest(errors)
        for wrong in errors:
            if isinstance(wrong, exception.BadValue):
                self._problem(level, wrong.key, wrong.value, f'ignored, {wrong.reason}')
            elif isinstance(wrong, exception.UnknownKey):
                self._problem(level, wrong.key, given[wrong.key], f'ignored, {wrong}')
        return values

    def _check(self, level: Level, name: str, given: object) -> keys.Value:
        key = keys.find(name)
        if level >= Level.FLAVOR and level.title not in key.sources:
            raise exception.BadValue(name, given, f'it cannot be set by the {level.title}')
        if level == Level.IMAGE and name not in self.sources.image_keys:
            raise exception.BadValue(name, given, 'images may not set it (image_keys)')
        value = key.parse(given)
        if name == 'profile' and value not in self.sources.profiles:
            known = ', '.join(sorted(self.sources.profiles))
            raise exception.BadValue(name, given, f'there is no such profile; there are {known}')
        if name == 'profile' and value == keys.STOCK_PROFILE and level == Level.RETUNE:
            raise exception.BadValue(
                name, given, "a running migration cannot be handed to Nova's own monitor; choose "
                'another profile, or the keys to change')
        return value

    def _refuse(self, values: abc.Mapping[str, keys.Value], profile: object) -> None:
        """Check a request or a retune, and the profile that it names, against the limits.

        :raises exception.BadRequest: if it goes too far.
        """
        wanted = dict(values)
        # The stock profile is Nova's own behaviour, which is always permitted.
        if profile is not None and profile != keys.STOCK_PROFILE:
            wanted = {**self.sources.profiles[str(profile)].values, **values}
        errors = []
        for name, bound in self.sources.request_limits.items():
            if name not in wanted:
                continue
            why = limit_mod.refuses(keys.KEYS[name], wanted[name], self.fields[name].value, bound)
            if why is not None:
                if name not in values:
                    why += f'; profile {profile} has this value'
                errors.append(exception.BadValue(name, wanted[name], why))
        if errors:
            raise exception.BadRequest(errors)

    def _may_change_profile(self, level: Level, wanted: str) -> bool:
        """Whether the profile may change: an image can neither choose nor end stock behaviour."""
        now = self.fields['profile']
        if level != Level.IMAGE or wanted == now.value:
            return True
        if keys.STOCK_PROFILE not in (wanted, now.value):
            return True
        self.fields['profile'] = dataclasses.replace(
            now, origin=f'image, clamped by {now.origin}')
        return False

    def _take_profile(self, profile: profiles.Profile, level: Level) -> None:
        origin = f'profile {profile.name}'
        if level >= Level.FLAVOR:
            origin += f' ({level.title})'
        for name, value in profile.values.items():
            # Nova's own figures are only shown, and are not meant for a profile that is chosen
            # later and has none of its own; the policy keys from [libvirt] are.
            if profile.name != keys.STOCK_PROFILE or name not in self.sources.libvirt:
                self._set(name, value, level, origin, False)

    def _set(self, name: str, value: keys.Value, level: Level, origin: str,
             explicit: bool) -> None:
        now = self.fields[name]
        if level == Level.IMAGE:
            # A profile and a key beside it in the same image are both checked against the
            # value without the image.
            before = now.before or now
            value, by = clamp.clamp(
                keys.KEYS[name], value,
                clamp.Before(before.value, before.origin, before.level == Level.FLAVOR),
                self.sources.image_limits.get(name))
            if by:
                origin = f'{origin}, clamped by {by}'
            self.fields[name] = settle.Field(value, origin, level, explicit, before=before)
        else:
            self.fields[name] = settle.Field(value, origin, level, explicit)

    def _back_to_stock(self) -> None:
        """Drop all else under the stock profile; add a problem for each value that was set."""
        stock = self.sources.profiles[keys.STOCK_PROFILE]
        chosen = self.fields['profile']
        for name, field in self.fields.items():
            if name == 'profile':
                continue
            if field.explicit and field.level >= max(chosen.level, Level.FLAVOR):
                self._problem(Level(field.level), name, field.value,
                              f'no effect under profile {stock.name}')
            self.fields[name] = settle.Field(
                stock.values.get(name, keys.KEYS[name].default), f'profile {stock.name}',
                chosen.level, False)

    def _warn_unbuilt(self) -> None:
        for name, field in self.fields.items():
            if field.explicit and not keys.KEYS[name].in_effect:
                self._problem(Level(field.level), name, field.value,
                              'accepted, but this version does not act on it')
