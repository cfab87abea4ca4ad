# SPDX-License-Identifier: Apache-2.0
"""Our own version of the API, beside Nova's microversions and never among them.

A request may have ``OpenStack-API-Version: migration-policy 1.0``, also behind Nova's own in the
same header (``compute 2.90, migration-policy 1.0``), or ``latest``.
"""

from __future__ import annotations

import re

from nova_migpolicy.api import errors
from nova_migpolicy import exception

HEADER = 'OpenStack-API-Version'
SERVICE = 'migration-policy'
LOWEST = (1, 0)
HIGHEST = (1, 0)

_VERSION = re.compile(r'([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})')


def check(header: str | None) -> None:
    """Check a request's header.

    :raises errors.Refusal: 400 if it is not a version, 406 if it is one that we do not have.
    """
    for part in (header or '').split(','):
        words = part.split()
        if not words or words[0].lower() != SERVICE:
            continue
        wanted = ' '.join(words[1:])
        if wanted == 'latest':
            continue
        found = _VERSION.fullmatch(wanted)
        if found is None:
            raise errors.Refusal(
                400, f'{HEADER}: {SERVICE} {exception.shown(wanted)}: not a version; write '
                f'{text(HIGHEST)} or latest', headers())
        if not LOWEST <= (int(found[1]), int(found[2])) <= HIGHEST:
            raise errors.Refusal(
                406, f'{HEADER}: {SERVICE} {wanted}: there is only {text(LOWEST)} to '
                f'{text(HIGHEST)}; write one of these or latest', headers())


def headers() -> dict[str, str]:
    """Return the headers that each of our answers carries."""
    return {HEADER: f'{SERVICE} {text(HIGHEST)}', 'Vary': HEADER}


def text(version: tuple[int, int]) -> str:
    """Write a version in the usual form."""
    return f'{version[0]}.{version[1]}'
