# SPDX-License-Identifier: Apache-2.0
"""Hands what libvirt tells of its domains over to Nova in a thread of its own, in order.

With native threads Nova does it in the thread that reads libvirt's events, and asks its database
there. While the message bus or the database is away that thread hangs; libvirt then closes the
connections of this process, which hears nothing, and Nova's libvirt driver may wait for itself
for ever.
"""

from __future__ import annotations

from collections.abc import Callable
import queue
import threading
from typing import Any

from nova.virt import event as virtevent
from oslo_log import log as logging

from nova_migpolicy.compute import compat

LOG = logging.getLogger(__name__)


class Lifecycle:
    """The thread, which is started when it is needed first.

    :param emit: Nova's own way, which may take long
    """

    def __init__(self, emit: Callable[[Any], None]) -> None:
        self._emit = emit
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def pass_on(self, event: Any) -> None:
        """Have an event handed over; wait for that where Nova's own way does not hang."""
        # Under eventlet Nova does this in a thread of its own already; and what somebody waits
        # for in this process must not wait for the database.
        if not compat.is_threaded() or not isinstance(event, virtevent.LifecycleEvent):
            self._emit(event)
            return
        self._events.put(event)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name='lifecycle', daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._emit(self._events.get())
            except Exception:
                LOG.exception('Nova has not taken what libvirt told of a domain')
