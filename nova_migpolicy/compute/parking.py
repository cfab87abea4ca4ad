# SPDX-License-Identifier: Apache-2.0
"""A migration that waits for its slots, before any of its data flows.

It is woken when it has them and by each order; nothing is asked of libvirt, the database or
another host meanwhile. The time that it waits counts for no deadline. It is given up where its
destination says nothing for longer than a host takes to start again, but not while the message bus
is what is silent.
"""

from __future__ import annotations

from collections.abc import Callable

from oslo_log import log as logging

from nova_migpolicy.capacity import waits
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import slots as slots_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

#: what it waits for is looked at so often, to be told
LOOK_EVERY_S = 10.0
#: a destination that has not answered for so long is something to wait for
ANSWER_S = 5.0
#: it is given up where nothing was heard of its destination for so long
SILENT_S = 600.0


class Parking:
    """One migration that waits.

    :param obstacle: returns why it is not to begin any more, or None
    """

    def __init__(self, slots: slots_mod.Slots, current: migration_mod.Migration,
                 obstacle: Callable[[migration_mod.Migration], str | None]) -> None:
        self._slots = slots
        self._current = current
        self._obstacle = obstacle
        self._told: tuple[str, str] | None = None

    def wait(self, want: slots_mod.Want) -> str | None:
        """Wait until it has its slots; return why it is not to begin, or None.

        Where it is not to begin, it has none.
        """
        current = self._current
        current.parked = lambda: self._slots.wait(want.migration)
        if current.session is not None:
            current.session.park(current.parked)
        begins = False
        try:
            why_not = self._obstacle(current) or self._wait(want)
            begins = why_not is None
        finally:
            current.parked = migration_mod.not_parked
            if not begins:
                self._slots.end(want.migration)
        return why_not

    def _wait(self, want: slots_mod.Want) -> str | None:
        current = self._current
        began_s = current.inbox.clock()
        self._slots.ask(want, current.stir.set)
        while True:
            current.stir.clear()
            why_not = self._obstacle(current) or self._silence(want)
            if why_not is not None:
                return why_not
            waited_s = current.inbox.clock() - began_s
            if self._slots.has_both(want.migration):
                if self._told is not None:
                    self._tell(f'it has its slots, after {waited_s:.0f} s')
                if current.session is not None:
                    current.session.begin(waited_s)
                return None
            self._say(self._slots.wait(want.migration), waited_s)
            current.stir.wait(LOOK_EVERY_S)

    def _silence(self, want: slots_mod.Want) -> str | None:
        if self._slots.silent_s(want.migration) > SILENT_S and self._slots.hears_itself():
            return (f'{want.destination} has not said for {SILENT_S:.0f} s whether it has a slot '
                    'for it; see whether nova-compute runs there')
        return None

    def _say(self, wait: waits.Wait | None, waited_s: float) -> None:
        """Tell what it waits for, where that is another thing than before."""
        if wait is None or self._told == (wait.host, wait.kind):
            return
        # Most have their slots with the first answer.
        if wait.kind == vocabulary.AN_ANSWER and not wait.note and waited_s < ANSWER_S:
            return
        self._told = wait.host, wait.kind
        self._tell(f'waiting {wait.sentence}')

    def _tell(self, text: str) -> None:
        LOG.info('Migration %(migration)s: %(text)s',
                 {'migration': self._current.migration, 'text': text})
        if self._current.session is not None:
            self._current.session.tell(text)
