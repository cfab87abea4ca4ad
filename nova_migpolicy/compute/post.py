# SPDX-License-Identifier: Apache-2.0
"""Sends messages about slots to other hosts, without keeping who wants to say something.

The newest message of a migration is all that counts, so it replaces one that was not sent yet.
What has come together for a host is sent at once: a hundred migrations that wait there cost no
more calls than one, and keep nobody's answer. A host gets one call after the other, and several
hosts are told side by side: one that does not answer keeps no other waiting.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
import itertools
import threading

from oslo_log import log as logging

from nova_migpolicy.capacity import messages

LOG = logging.getLogger(__name__)

#: so many hosts are told at once
MOST_AT_ONCE = 8
#: so many messages are sent at once; some 50 KiB
MOST_TOGETHER = 200


class Post:
    """What is to be sent.

    :param send: sends messages to a host, which may take seconds
    """

    def __init__(self, send: Callable[[str, list[messages.Message]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        #: by host: by migration, what is to be sent, oldest first
        self._waiting: dict[str, dict[str, messages.Message]] = {}
        #: hosts that nobody is at work on
        self._hosts: collections.deque[str] = collections.deque()
        self._at_work = 0

    def put(self, host: str, message: messages.Message) -> None:
        """Have a message sent."""
        with self._lock:
            if host not in self._waiting:
                self._hosts.append(host)
            self._waiting.setdefault(host, {})[message.migration] = message
            if not self._hosts or self._at_work >= MOST_AT_ONCE:
                return
            self._at_work += 1
        try:
            threading.Thread(target=self._work, daemon=True, name='slots, to others').start()
        except RuntimeError as error:
            # Who is at work takes it, or whoever begins when the next thing is said, in seconds.
            LOG.warning('No more is sent to other hosts just now: %s', error)
            with self._lock:
                self._at_work -= 1

    def _work(self) -> None:
        while (found := self._next()) is not None:
            host, together = found
            try:
                self._send(host, together)
            except Exception:
                LOG.exception('What is to be said of slots was not sent to %s', host)
            with self._lock:
                if self._waiting[host]:
                    self._hosts.append(host)
                else:
                    del self._waiting[host]

    def _next(self) -> tuple[str, list[messages.Message]] | None:
        with self._lock:
            if not self._hosts:
                self._at_work -= 1
                return None
            host = self._hosts.popleft()
            waiting = self._waiting[host]
            first = list(itertools.islice(waiting, MOST_TOGETHER))
            return host, [waiting.pop(migration) for migration in first]
