# SPDX-License-Identifier: Apache-2.0
"""Live migrations before they start on their source host: their queue, and orders for them.

Nova starts no more of them at once than [DEFAULT] max_concurrent_live_migrations says. One may
wait for hours in Nova's queue, and there are moments on its way into it and out of it in which
Nova itself can neither cancel nor complete it: an order at such a moment is remembered.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import threading
import time
from typing import Any

import nova.conf
from oslo_log import log as logging

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

# More orders than can wait at once; beyond it the oldest, which never began, are forgotten.
MOST_ORDERS = 10_000
KEEP_S = 7 * 86400
EVERY_S = 0.5
# How long to wait for Nova's own cancel, which may be on its way here as well: the second of two
# would fail and say so in the server's records.
NOVAS_S = 2.0
# The conductor has lost a migration that has not arrived by then.
GIVE_UP_S = 600.0
# More are not looked for: they end when they begin.
MOST_WANTED = 1000

# By the server's UUID, in the order in which they came, the record and the future; both are None
# for a moment at first.
Waiting = Mapping[str, tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Place:
    """A migration's place in the queue.

    :ivar waits_for: a sentence; None where it has left it and is being prepared.
    :ivar request_id: of the request to migrate; None where that is not known yet.
    """

    waits_for: str | None
    request_id: str | None


class NovaQueue:
    """Nova's own queue on this host, which is only read.

    :param waiting: returns Nova's own
    """

    def __init__(self, waiting: Callable[[], Waiting], host: str) -> None:
        self._waiting = waiting
        self._host = host

    def find(self, server: str, migration: str) -> Place | None:
        """Return the place of a server's migration; None where it is not in the queue.

        :param migration: the UUID of Nova's record
        """
        before = 0
        for uuid, (record, future) in list(self._waiting().items()):
            if uuid != server:
                before += _waits(future)
            elif record is None:
                return Place(self._sentence(before), None)
            elif record.uuid != migration or future.done():
                # Nova leaves a migration here whose preparation failed.
                return None
            else:
                return Place(self._sentence(before) if _waits(future) else None,
                             getattr(record._context, 'request_id', None))
        return None

    def waiting_servers(self) -> list[str]:
        """Return the servers, by UUID, whose migrations Nova has not begun to prepare."""
        return [server for server, (record, future) in list(self._waiting().items())
                if record is not None and _waits(future)]

    def _sentence(self, before: int) -> str:
        limit = CONF.max_concurrent_live_migrations
        at_once = (f'{limit} live migration{"s" if limit != 1 else ""} at a time' if limit
                   else "as many live migrations at a time as Nova's threads allow")
        ahead = f'{before} more before it' if before else 'it is the next'
        return (f'{self._host} runs {at_once} ([DEFAULT] max_concurrent_live_migrations of '
                f'nova.conf), {ahead}')


def _waits(future: Any) -> bool:
    return future is None or not (future.running() or future.done())


class EarlyOrders:
    """The orders for migrations that have not begun, by the UUID of Nova's record."""

    def __init__(self) -> None:
        self._commands: collections.OrderedDict[str, tuple[float, str]] = (
            collections.OrderedDict())

    def remember(self, migration: str, command: str) -> None:
        """Remember a command in place of an earlier one."""
        self._commands.pop(migration, None)
        self._commands[migration] = (time.monotonic(), command)
        while len(self._commands) > MOST_ORDERS:
            self._commands.popitem(last=False)

    def command(self, migration: str) -> str | None:
        """Return the command for a migration, which stays remembered."""
        found = self._commands.get(migration)
        return found[1] if found is not None else None

    def take(self, migration: str) -> str | None:
        """Return the command for a migration that begins now, and forget it."""
        found = self._commands.pop(migration, None)
        if found is None or time.monotonic() - found[0] > KEEP_S:
            return None
        return found[1]


class QueueAborter:
    """Takes migrations that were cancelled early out of Nova's queue once they are in it.

    A cancel may come while the conductor has a migration, and Nova's own would be refused then.
    Such a migration shall not wait for a slot only to be cancelled then.
    They are looked for in a thread of its own, while there are any.

    :param is_wanted: whether a migration, by the UUID of its record, is still to be cancelled
    :param abort: asks Nova to take the migration of a server, by its UUID, out of the queue
    """

    def __init__(self, queue: NovaQueue, is_wanted: Callable[[str], bool],
                 abort: Callable[[str], None],
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self._queue = queue
        self._is_wanted = is_wanted
        self._abort = abort
        self._sleep = sleep
        self._lock = threading.Lock()
        # By the UUID of the record the server's, and since when it is looked for.
        self._wanted: dict[str, tuple[str, float]] = {}
        self._running = False

    def add(self, server: str, migration: str) -> None:
        """Take this one out as soon as it is in the queue."""
        with self._lock:
            if len(self._wanted) >= MOST_WANTED:
                return
            self._wanted[migration] = (server, time.monotonic())
            start, self._running = not self._running, True
        if start:
            threading.Thread(target=self._run, name='recall', daemon=True).start()

    def _run(self) -> None:
        while True:
            for migration, (server, since_s) in list(self._wanted.items()):
                age_s = time.monotonic() - since_s
                if age_s >= NOVAS_S and (
                        self._is_done(server, migration) or age_s > GIVE_UP_S):
                    self._wanted.pop(migration)
            with self._lock:
                self._running = bool(self._wanted)
                if not self._running:
                    return
            self._sleep(EVERY_S)

    def _is_done(self, server: str, migration: str) -> bool:
        if not self._is_wanted(migration):
            return True
        place = self._queue.find(server, migration)
        if place is None or place.request_id is None:
            return False
        try:
            self._abort(server)
        except Exception as error:
            # It stays remembered, and ends when it begins.
            if self._queue.find(server, migration) is None:
                LOG.info("The migration of server %s has left Nova's queue by itself, or another "
                         'caller has taken it out: %s', server, error)
            else:
                LOG.exception("The migration of server %s was not taken out of Nova's queue",
                              server)
        return True
