# SPDX-License-Identifier: Apache-2.0
"""Reads the output of `openstack flavor show -f json` and `openstack image show -f json`.

Only the memory and the policy keys are taken. The meaning of the keys, and the limits of images,
are the business of `policy.resolve`.
"""

from __future__ import annotations

import dataclasses
import typing

from nova_migpolicy.cmd.simulate import inputs

FLAVOR_PREFIX = 'migpolicy:'
IMAGE_PREFIX = 'migpolicy_'
_NAME_LENGTH = 30


@dataclasses.dataclass(frozen=True)
class Entry:
    """A flavor or an image.

    keys: the policy keys that it sets, without their prefix. memory_mib: None of an image, and of
    a flavor that does not tell.
    """

    name: str
    keys: dict[str, object]
    memory_mib: int | None = None


def flavor(path: str) -> Entry:
    """Read a flavor.

    :raises inputs.BadInput: if the file does not hold one.
    """
    found = inputs.json_object('--flavor', path)
    memory = found.get('ram')
    memory_mib = None if memory is None else int(inputs.MEMORY_MIB.read(
        f'--flavor {path}, ram', memory))
    return Entry(_name(found, 'flavor'), _keys('--flavor', path, found, FLAVOR_PREFIX),
                 memory_mib)


def image(path: str) -> Entry:
    """Read an image.

    :raises inputs.BadInput: if the file does not hold one.
    """
    found = inputs.json_object('--image', path)
    # The image API has them beside its own fields, the openstack command in a field of their own.
    return Entry(_name(found, 'image'), {
        **_taken(found, IMAGE_PREFIX), **_keys('--image', path, found, IMAGE_PREFIX)})


def _name(found: dict[str, typing.Any], kind: str) -> str:
    name = found.get('name')
    text = name if isinstance(name, str) else ''
    text = ''.join(one if one.isprintable() else ' ' for one in text).strip()
    return text[:_NAME_LENGTH] or kind


def _keys(field: str, path: str, found: dict[str, typing.Any], prefix: str) -> dict[str, object]:
    properties = found.get('properties')
    if properties is None:
        properties = {}
    if not isinstance(properties, dict):
        raise inputs.BadInput(f'{field} {path}, properties', properties, (
            'not an object with names and values'))
    return _taken(properties, prefix)


def _taken(given: dict[str, typing.Any], prefix: str) -> dict[str, object]:
    return {name.removeprefix(prefix): value for name, value in sorted(given.items())
            if name.startswith(prefix) and value is not None}
