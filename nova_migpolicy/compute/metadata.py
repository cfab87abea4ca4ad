# SPDX-License-Identifier: Apache-2.0
"""Reads what a server's flavor and image say about migrations, as they were at its boot.

Nova freezes the flavor into the server, and keeps the properties of the image, which its own
objects would drop, in the server's system metadata.  What the values mean is not known here.
"""

from __future__ import annotations

from collections import abc
from typing import Any

from nova_migpolicy.policy import resolve

FLAVOR_PREFIX = 'migpolicy:'
# Nova's prefix for what comes from the image, and ours.
IMAGE_PREFIX = 'image_migpolicy_'
# Nova keeps no more than these bytes of a property.
KEPT_BYTES = 255


def read_flavor(instance: Any) -> dict[str, str]:
    """The policy keys that the server's flavor sets."""
    return _read(instance.flavor.extra_specs or {}, FLAVOR_PREFIX)


def read_image(instance: Any) -> tuple[dict[str, str], tuple[resolve.Problem, ...]]:
    """The policy keys that the server's image sets, and problems for those that were cut.

    Half of a value may well be a value, but not the one that was meant.
    """
    whole: dict[str, str] = {}
    problems = []
    for name, value in _read(instance.system_metadata or {}, IMAGE_PREFIX).items():
        # A character that did not fit as a whole leaves up to three bytes unused.
        if len(value.encode('utf-8')) > KEPT_BYTES - 4:
            problems.append(resolve.Problem(
                name, value, 'image', f'ignored, Nova keeps {KEPT_BYTES} bytes of a property '
                'and may have cut it'))
        else:
            whole[name] = value
    return whole, tuple(problems)


def _read(given: abc.Mapping[str, Any], prefix: str) -> dict[str, str]:
    return {name[len(prefix):]: str(value) for name, value in sorted(given.items())
            if name.startswith(prefix) and value is not None}
