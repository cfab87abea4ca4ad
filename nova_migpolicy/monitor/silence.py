# SPDX-License-Identifier: Apache-2.0
"""Journal that libvirt does not answer a call about a migration, and the end of that silence.

The thread that waits for libvirt cannot report it itself. Others do when they check: those that
serve requests for progress, and the thread that saves it.
"""

from __future__ import annotations

from collections.abc import Callable
import datetime
import threading

from oslo_log import log as logging

from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)


class Silence:
    """The silences of libvirt in one migration; any thread may use it."""

    def __init__(self, guest: guest_mod.MigratingGuest, journal: journal_mod.Journal,
                 clock: Callable[[], float]) -> None:
        self._guest = guest
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._since_s: float | None = None
        self._text = ''
        guest.on_late_answer = self._ended

    def note(self) -> str | None:
        """Return a phrase on the call that libvirt does not answer; None where it answers.

        Each silence is journaled once, when it is first noted.
        """
        asked = self._guest.silence
        if asked is None:
            return None
        call, since_s = asked
        with self._lock:
            is_new, self._since_s = self._since_s != since_s, since_s
            if is_new:
                since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(
                    seconds=self._clock() - since_s)
                self._text = (f'libvirt, which has not answered {call} since '
                              f'{since.isoformat(timespec="seconds")}')
            text = self._text
        if is_new:
            self._write(f'waiting for {text}')
        return text

    def _ended(self, call: str, silent_s: float, error: str) -> None:
        self._write(f'{call} has failed after {silent_s:.0f} s without an answer: {error}'
                    if error else f'libvirt has answered {call} after {silent_s:.0f} s')

    def _write(self, text: str) -> None:
        LOG.warning('%s', text, instance_uuid=self._guest.uuid)
        self._journal.add(vocabulary.EVENT, self._clock(), text=text)
