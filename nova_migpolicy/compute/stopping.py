# SPDX-License-Identifier: Apache-2.0
"""What becomes of this host's migrations when nova-compute is stopped, as on_shutdown says.

It may be killed at any moment of it: then the next nova-compute finds what a crash leaves. When it
is begun, and how long it may take, is Nova's business (see compat.hook_shutdown).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import threading
import time

from oslo_log import log as logging

from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

NOT_BEGUN = 'nova-compute on the source is being stopped'
# How often it is looked whether all is done.
LOOK_EVERY_S = 0.5
# Nova is asked for that long to take out of its queue what waits there; the rest is rolled back by
# the next nova-compute.
QUEUE_S = 10.0
# A monitor that is told to leave its migration does so by then, unless libvirt does not answer.
LEAVE_S = 5.0


@dataclasses.dataclass(frozen=True)
class Others:
    """What is at work on migrations beside their monitors.

    queued: the servers, by UUID, whose migrations wait in Nova's queue. take_out: takes one out of
    it, and undoes what was done for it. stop: lets recovery begin nothing any more. are_busy:
    whether Nova or recovery is in the middle of anything.
    """

    queued: Callable[[], Iterable[str]]
    take_out: Callable[[str], None]
    stop: Callable[[], None]
    are_busy: Callable[[], bool]


class Stopping:
    """The end of this process for its migrations.

    :param on_shutdown: returns one of vocabulary.ON_SHUTDOWN
    :param current: by the server's UUID, those that Nova has handed over
    :param guest: gives the calls on a server's domain, for a thread of its own
    """

    def __init__(self, on_shutdown: Callable[[], str],
                 current: Mapping[str, migration_mod.Migration], others: Others,
                 guest: Callable[[str], guest_mod.MigratingGuest]) -> None:
        self._on_shutdown = on_shutdown
        self._current = current
        self._others = others
        self._guest = guest
        self._lock = threading.Lock()
        self._wish: str | None = None
        self._orders_given = threading.Event()

    @property
    def has_begun(self) -> bool:
        """Whether a migration that Nova hands over now is not to begin any more."""
        return self._wish is not None

    def begin(self) -> None:
        """Begin nothing new, and give the orders; once, and at once."""
        with self._lock:
            if self._wish is not None:
                return
            wish = self._wish = self._on_shutdown()
        LOG.info('nova-compute is being stopped: %(wish)s (on_shutdown) for %(count)d live '
                 'migrations', {'wish': wish, 'count': len(self._current)})
        self._others.stop()
        for current in list(self._current.values()):
            current.stir.set()
        threading.Thread(target=self._order, args=(wish,), daemon=True, name='stopping').start()

    def wait(self, within_s: float | None,
             needs_time: Callable[[Collection[str]], bool] = lambda servers: False) -> None:
        """Wait until the process may end for the sake of its migrations.

        :param within_s: at most this long; None for ever
        :param needs_time: whether Nova has to do anything else than to wait for the migrations of
            these servers; what is to be left is watched on meanwhile
        """
        began_s = time.monotonic()
        while within_s is None or time.monotonic() - began_s < within_s:
            late = time.monotonic() - began_s >= QUEUE_S
            if (self._orders_given.is_set() or late) and self._is_done(needs_time):
                return
            time.sleep(LOOK_EVERY_S)

    def leave(self) -> None:
        """Leave to libvirt what is still under way; no monitor of ours keeps the process then."""
        for current in list(self._current.values()):
            current.leave.give()
        end_s = time.monotonic() + LEAVE_S
        while time.monotonic() < end_s and any(
                current.is_watched for current in list(self._current.values())):
            time.sleep(LOOK_EVERY_S / 10)

    def _is_done(self, needs_time: Callable[[Collection[str]], bool]) -> bool:
        if self._wish == vocabulary.LEAVE:
            known = list(self._current.items())
            # One that nobody watches has not begun, and is being rolled back, or is being ended.
            return all(current.is_watched or current.stock is not None for _, current in known
                       ) and not needs_time(frozenset(
                           server for server, current in known if current.is_watched))
        return not self._current and not self._others.are_busy()

    def _order(self, wish: str) -> None:
        try:
            if wish == vocabulary.ABORT_ALL:
                for server, current in list(self._current.items()):
                    self._abort(server, current)
            for server in self._others.queued():
                self._take_out(server)
        finally:
            self._orders_given.set()

    def _abort(self, server: str, current: migration_mod.Migration) -> None:
        if current.stock is None:
            current.inbox.ask(inbox_mod.Command(vocabulary.CANCEL, why=commands.STOPPED))
            return
        try:
            self._guest(server).abort()
        except exception.GuestError as error:
            LOG.warning('It is not aborted: %s', error, instance_uuid=server)

    def _take_out(self, server: str) -> None:
        try:
            self._others.take_out(server)
        except Exception as error:
            # Nova cancels what it still has, and the next nova-compute undoes the rest.
            LOG.warning("Its migration was not taken out of Nova's queue: %s", error,
                        instance_uuid=server)
