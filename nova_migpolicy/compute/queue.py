# SPDX-License-Identifier: Apache-2.0
"""What a migration waits for in Nova's own queue on its source host.

Nova starts no more of them at once than [DEFAULT] max_concurrent_live_migrations says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nova.conf

CONF = nova.conf.CONF


def waits_for(waiting: Mapping[str, tuple[Any, Any]], server: str, host: str) -> str | None:
    """A sentence, or None where the server's migration is not in the queue.

    :param waiting: Nova's own, in the order in which they came: by the server's UUID the record
        and the future, both None for a moment at first
    """
    before = 0
    for uuid, (_migration, future) in list(waiting.items()):
        begun = future is not None and future.running()
        if uuid == server:
            return None if begun else _sentence(before, host)
        before += not begun
    return None


def _sentence(before: int, host: str) -> str:
    limit = CONF.max_concurrent_live_migrations
    at_once = f'{limit} live migration{"s" if limit != 1 else ""} at a time'
    ahead = f'{before} more before it' if before else 'it is the next'
    return (f'{host} runs {at_once} ([DEFAULT] max_concurrent_live_migrations of nova.conf), '
            f'{ahead}')
