# SPDX-License-Identifier: Apache-2.0
"""Saves changed values in a thread of its own, so that a save that hangs blocks nothing else.

Only the newest values are saved. A value that could not be saved is tried again, unless a newer
one has taken its place. What is saved, and where, is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
import threading
import time
from typing import Any

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

# How often the thread calls `idle`, in seconds; a save under way puts it off.
IDLE_S = 5.0
# How long leaving the block waits for a save under way, in seconds. One that would undo what is
# written next is waited for a little longer than Nova's calls over the bus take at most by default
# (rpc_response_timeout). That is also how long a call takes whose answer was lost with the bus, so
# one that may as well come late is waited for a moment only.
CLOSE_S = 70.0
LATE_S = 1.0


class Saver:
    """One thread, from entering the block to leaving it.

    :param save: takes the newest values by name, returns whether they were saved
    :param idle: called about each IDLE_S, whether there is something to save or not
    :param ordered: the names of values that may not be saved after the block was left
    :ivar closed: nothing more may be saved.
    :ivar is_left: leaving the block does not wait for a save under way.
    """

    def __init__(self, save: Callable[[Mapping[str, Any]], bool],
                 idle: Callable[[], object] = lambda: None,
                 ordered: Collection[str] = ()) -> None:
        self._save = save
        self._idle = idle
        self._ordered = frozenset(ordered)
        self._lock = threading.Lock()
        self._owed: dict[str, Any] = {}
        self._arrived = threading.Event()
        self._under_way: Mapping[str, Any] = {}
        self.closed = self.is_left = False
        self._idle_s = time.monotonic() + IDLE_S
        self._thread = threading.Thread(target=self._run, name='saver', daemon=True)

    def __enter__(self) -> Saver:
        try:
            self._thread.start()
        except RuntimeError as error:
            # The system has no thread left; the values are not worth more than a warning.
            LOG.warning('Nothing is saved: %s', error)
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop; values that have not been sent by now never are."""
        self.closed = True
        self._arrived.set()
        if self._thread.ident is not None and not self.is_left:
            saved = self._under_way
            may_be_late = saved and self._ordered.isdisjoint(saved)
            self._thread.join(LATE_S if may_be_late else CLOSE_S)

    def put(self, values: Mapping[str, Any]) -> None:
        """Have these saved; never blocks."""
        with self._lock:
            self._owed.update(values)
        self._arrived.set()

    def _run(self) -> None:
        while not self.closed:
            try:
                self._round()
            except Exception:
                LOG.exception('Saving goes on after an error')

    def _round(self) -> None:
        arrived = self._arrived.wait(max(0.0, self._idle_s - time.monotonic()))
        if time.monotonic() >= self._idle_s:
            self._idle_s = time.monotonic() + IDLE_S
            self._idle()
        if not arrived:
            return
        self._arrived.clear()
        with self._lock:
            values, self._owed = self._owed, {}
        # Before `closed` is read: who closes this looks at it after that.
        self._under_way = values
        try:
            if values and not self.closed and not self._save(values):
                with self._lock:
                    self._owed = {**values, **self._owed}
        finally:
            self._under_way = {}
