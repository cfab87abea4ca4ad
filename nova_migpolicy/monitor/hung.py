# SPDX-License-Identifier: Apache-2.0
"""End a migration that hangs, where libvirt cannot.

QEMU's main thread sends the end of the memory while the guest stands still. On a link that dies
in that moment it waits in the kernel, and with it all that libvirt asks of QEMU: statistics and
aborts alike. Closing its connection ends that; the guest runs again at once. It is done for an
operator's cancel, a deadline, or after a grace period, and only while the guest belongs to the
source: once post-copy has begun, or may have, it would cost the guest.

If a cancel comes just before that, libvirt reports the guest as running, but QEMU first waits for
the last writes of mirrored disks, which are on the dead link: the guest stands still all the same.
So a migration that is to be aborted is also ended where libvirt is silent and reports the guest as
running.

An abort that libvirt has taken may hang as well: disks that are mirrored over such a link are not
given up before the requests on their way have returned.

The monitor's thread is the one that waits, so another thread checks from time to time.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Protocol

import libvirt
from oslo_log import log as logging

from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

# libvirt must have been silent in the switchover for this many times the promised blackout, and
# this many seconds at least; or for GRACE_S where neither an operator nor a deadline ends it.
TIMES = 20
LEAST_S = 10.0
GRACE_S = 120.0
# An abort that libvirt has taken is over by then.
ABORTED_S = 30.0
# One that could not be closed is tried again after this.
AGAIN_S = 30.0
# The reason to end a migration whose call has failed while QEMU goes on, as when libvirtd was
# restarted. It has failed by then, and is not cancelled.
CALL_FAILED = 'The call that migrates it failed'
# libvirt's state of a guest that is stopped for its switchover, or was paused for it.
STOPPED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)


@dataclasses.dataclass(frozen=True)
class Switchover:
    """A migration whose guest may stand still at the source.

    :ivar since_s: on the monitor's clock; None where not known: the event may wait behind the very
        call that libvirt does not answer
    :ivar wanted: the reason to end it, as a sentence; None where there is none
    :ivar is_abort: it is to end by an abort, so it may as well end before its switchover
    :ivar has_grace: it is also to end after the grace period, whatever on_stall says: that is
        about a guest that runs
    """

    since_s: float | None
    promised_s: float
    wanted: str | None
    is_abort: bool
    has_grace: bool = True


@dataclasses.dataclass(frozen=True)
class Aborted:
    """A migration that was brought to its end, and is not over; not one in post-copy.

    :ivar since_s: on the monitor's clock
    :ivar reason: the cause, as a sentence to which the time is added
    """

    since_s: float
    reason: str

    def text(self, at_s: float) -> str:
        """The reason to end it another way now, as a sentence."""
        return f'{self.reason} {at_s - self.since_s:.0f} s ago, and the migration is not over'


@dataclasses.dataclass(frozen=True)
class _Silent:
    """A migration that is to end, and in which libvirt does not answer a call."""

    wanted: str
    is_abort: bool
    call: str
    silent_s: float
    since_switchover_s: float

    def text(self, is_stopped: bool) -> str:
        """The reason to end it now, as a sentence."""
        stands = '' if not is_stopped else (
            f' the guest has been standing still in its switchover for '
            f'{self.since_switchover_s:.0f} s, and')
        return (f'{self.wanted};{stands} libvirt has not answered {self.call} for '
                f'{self.silent_s:.0f} s')


class Outside(Protocol):
    """Calls that do not need QEMU's main thread, none of them on the monitor's own connection."""

    def state(self) -> tuple[int, int] | None:
        """libvirt's state of the domain and its reason; None where libvirt does not say."""

    def close(self, targets: Sequence[str]) -> tuple[list[str], str]:
        """Close QEMU's connection to the destination; returns those closed, or the trouble.

        :param targets: URIs to which it sends; the first counts
        """


class Hung:
    """The watch for a hang of one migration; used by one thread.

    :param targets: the URIs to which QEMU sends
    :param switchover: its state; None where it is over, or the guest is no longer the source's
    :param aborted: None where it was not aborted, is over, or the guest is no longer the source's
    :ivar reason: the reason for ending the migration by closing the connection; None where that
        was not done, or the migration had failed before
    """

    def __init__(self, guest: guest_mod.MigratingGuest, journal: journal_mod.Journal,
                 clock: Callable[[], float], outside: Outside,
                 targets: Callable[[], Sequence[str]],
                 switchover: Callable[[], Switchover | None],
                 aborted: Callable[[], Aborted | None]) -> None:
        self._guest = guest
        self._journal = journal
        self._clock = clock
        self._outside = outside
        self._targets = targets
        self._switchover = switchover
        self._aborted = aborted
        self._again_s = float('-inf')
        self._trouble: str | None = None
        self.reason: str | None = None

    def look(self) -> None:
        """Close the connection of a migration that hangs and is to end."""
        at_s = self._clock()
        if at_s < self._again_s:
            return
        silent, goes_on = self._hangs(at_s), self._goes_on(at_s)
        if silent is None and goes_on is None:
            return
        state = self._outside.state()
        is_stopped = state == STOPPED
        is_running = state is not None and state[0] == libvirt.VIR_DOMAIN_RUNNING
        if silent is not None and (is_stopped or (is_running and silent.is_abort)):
            self._end(silent.wanted, silent.text(is_stopped), at_s)
        elif goes_on is not None and (is_stopped or is_running):
            self._end(goes_on.reason, goes_on.text(at_s), at_s)

    def _hangs(self, at_s: float) -> _Silent | None:
        """The silence of libvirt in a migration that is to end now; None where there is none."""
        asked, now = self._guest.unanswered, self._switchover()
        if asked is None or now is None or asked[0] == guest_mod.START_POST_COPY:
            return None
        since_s = asked[1] if now.since_s is None else now.since_s
        silent_s = at_s - max(asked[1], since_s)
        if silent_s < max(LEAST_S, TIMES * now.promised_s):
            return None
        if now.wanted is not None:
            return _Silent(now.wanted, now.is_abort, asked[0], silent_s, at_s - since_s)
        if now.has_grace and silent_s >= GRACE_S:
            return _Silent('Nothing else ends it', False, asked[0], silent_s, at_s - since_s)
        return None

    def _goes_on(self, at_s: float) -> Aborted | None:
        """The abort that hangs; None where there is none."""
        now = self._aborted()
        return None if now is None or at_s - now.since_s < ABORTED_S else now

    def _end(self, cause: str, why: str, at_s: float) -> None:
        """Close the connection of a guest that belongs to the source, as libvirt says.

        :param cause: the reason to end the migration
        :param why: that, with the reason to do it this way
        """
        self._again_s = at_s + AGAIN_S
        before = self.reason
        said = f'{why}, so the connection of QEMU to the destination was closed'
        if cause != CALL_FAILED:
            # The migration may be over before it is known here that the connection is closed.
            self.reason = said
        closed, trouble = self._outside.close(self._targets())
        if closed:
            self._say(f'{said}: {", ".join(closed)}')
            return
        self.reason = before
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(f'{why}, and the connection of QEMU to the destination cannot be closed: '
                      f'{trouble or "it has none that holds unsent data"}')

    def _say(self, text: str) -> None:
        LOG.warning('%s', text, instance_uuid=self._guest.uuid)
        self._journal.add(vocabulary.EVENT, self._clock(), text=text)
