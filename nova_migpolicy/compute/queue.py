# SPDX-License-Identifier: Apache-2.0
"""Nova's own queue of live migrations on their source host, for those who wait in it.

Nova starts no more of them at once than [DEFAULT] max_concurrent_live_migrations says. Nothing is
changed here.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

import nova.conf

CONF = nova.conf.CONF

# By the server's UUID, in the order in which they came, the record and the future; both are None
# for a moment at first.
Waiting = Mapping[str, tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a migration is in the queue.

    :ivar waits_for: a sentence; None where it has left it and is being prepared.
    :ivar request_id: of the request to migrate; None where that is not known yet.
    """

    waits_for: str | None
    request_id: str | None


class Queue:
    """The queue of this host.

    :param waiting: gives Nova's own
    """

    def __init__(self, waiting: Callable[[], Waiting], host: str) -> None:
        self._waiting = waiting
        self._host = host

    def find(self, server: str, migration: str) -> Place | None:
        """The place of a server's migration; None where it is not in the queue.

        :param migration: the UUID of Nova's record
        """
        before = 0
        for uuid, (record, future) in list(self._waiting().items()):
            if uuid != server:
                before += _waits(future)
            elif record is None:
                return Place(self._sentence(before), None)
            elif record.uuid != migration or future.done():
                # Nova leaves one here whose preparation failed.
                return None
            else:
                return Place(self._sentence(before) if _waits(future) else None,
                             getattr(record._context, 'request_id', None))
        return None

    def _sentence(self, before: int) -> str:
        limit = CONF.max_concurrent_live_migrations
        at_once = (f'{limit} live migration{"s" if limit != 1 else ""} at a time' if limit
                   else "as many live migrations at a time as Nova's threads allow")
        ahead = f'{before} more before it' if before else 'it is the next'
        return (f'{self._host} runs {at_once} ([DEFAULT] max_concurrent_live_migrations of '
                f'nova.conf), {ahead}')


def _waits(future: Any) -> bool:
    return future is None or not (future.running() or future.done())
