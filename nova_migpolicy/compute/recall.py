# SPDX-License-Identifier: Apache-2.0
"""Takes migrations that were cancelled early out of Nova's own queue once they are in it.

A cancel may come while the conductor has a migration, and Nova's own would be refused then. Such
a migration shall not wait for a slot first, only to be told then that it is not wanted. How it
is taken out is Nova's business.
"""

from __future__ import annotations

from collections.abc import Callable
import threading
import time

from oslo_log import log as logging

from nova_migpolicy.compute import queue as queue_mod

LOG = logging.getLogger(__name__)

EVERY_S = 0.5
# For so long Nova's own cancel, which may be on its way here as well, is waited for: the second
# of two would fail and say so in the server's records.
NOVAS_S = 2.0
# The conductor has lost what has not come by then.
GIVE_UP_S = 600.0
# More are not looked for: they end when they begin.
MOST = 1000


class Recall:
    """Looks for those migrations in a thread of its own, while there are any.

    :param is_wanted: whether a migration, by the UUID of its record, is still to be cancelled
    :param abort: asks Nova to take the migration of a server, by its UUID, out of the queue
    """

    def __init__(self, queue: queue_mod.Queue, is_wanted: Callable[[str], bool],
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
            if len(self._wanted) >= MOST:
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
                LOG.info("The migration of server %s has left Nova's queue by itself, or somebody "
                         'else has taken it out: %s', server, error)
            else:
                LOG.exception("The migration of server %s was not taken out of Nova's queue",
                              server)
        return True
