# SPDX-License-Identifier: Apache-2.0
"""The policies to compare, each resolved as nova-compute would.

A server's flavor and image make one of them, a recorded migration makes one, and so does each
named profile. nova.conf counts as unchanged; the keys of `--set` outrank all, as a request's
policy does.
"""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy.cmd.simulate import inputs
from nova_migpolicy.cmd.simulate import metadata
from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import resolve

Known = abc.Mapping[str, profiles.Profile]
Given = abc.Mapping[str, object]
# nova.conf decides whether images may set a key; here they may, within the built-in bounds.
IMAGE_KEYS = frozenset(key.name for key in keys.KEYS.values() if 'image' in key.sources)


@dataclasses.dataclass(frozen=True)
class Case:
    """A policy to try. warnings: sentences about values that do not count."""

    name: str
    policy: keys.Policy
    origins: abc.Mapping[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def settings(pairs: abc.Iterable[str]) -> dict[str, object]:
    """Return the keys and values of ``--set KEY=VALUE``, as often as it was given.

    :raises inputs.BadInput: if one is not of that form, or given twice.
    """
    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition('=')
        name = name.strip()
        if not equals or not name:
            raise inputs.BadInput('--set', pair, (
                'write it as KEY=VALUE, like --set max_downtime_ms=300'))
        if name in found:
            raise inputs.BadInput('--set', pair, f'{name} is given twice')
        if name == 'profile':
            raise inputs.BadInput('--set', pair, 'use --profile')
        found[name] = value
    return found


def of_profile(name: str, known: Known, request: Given) -> Case:
    """Resolve a profile as if nova.conf named it.

    :raises inputs.BadInput: if there is no such profile.
    :raises exception.PolicyError: if what is requested cannot be.
    """
    if name not in known:
        raise inputs.BadInput('--profile', name, (
            f'there is no such profile; there are {", ".join(sorted(known))}'))
    return _case(name, resolve.Sources(profiles=known, operator={'profile': name},
                                       request=request))


def of_server(flavor: metadata.Entry | None, image: metadata.Entry | None, known: Known,
              request: Given) -> Case:
    """Resolve a server's own policy, from its flavor and its image.

    :raises exception.PolicyError: if what is requested cannot be.
    """
    name = ' + '.join(one.name for one in (flavor, image) if one is not None)
    return _case(name, resolve.Sources(
        profiles=known, flavor=flavor.keys if flavor else {}, image=image.keys if image else {},
        image_keys=IMAGE_KEYS, request=request))


def of_recording(policy: keys.Policy, known: Known, request: Given) -> Case:
    """Resolve a recorded policy, with the present request on top.

    :raises exception.PolicyError: if what is requested cannot be.
    """
    if not request:
        return Case('recorded', policy)
    values = {key: getattr(policy, key) for key in keys.KEYS if key != 'profile'}
    found = _case('recorded', resolve.Sources(profiles=known, operator=values, request=request))
    return dataclasses.replace(
        found, policy=dataclasses.replace(found.policy, profile=policy.profile))


def _case(name: str, sources: resolve.Sources) -> Case:
    try:
        found = resolve.resolve(sources)
    except exception.BadRequest as error:
        raise exception.PolicyError(f'--set {error}') from error
    # Nothing else counts under the stock profile, and nothing is tried.
    problems = () if found.policy.is_stock else found.problems
    return Case(name, found.policy, found.origins,
                tuple(problem.sentence for problem in problems))
