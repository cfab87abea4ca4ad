# SPDX-License-Identifier: Apache-2.0
"""Ends a migration that hangs, where libvirt cannot.

QEMU's main thread sends the end of the memory while the guest stands still. On a link that dies
in that moment it waits in the kernel, and with it all that libvirt asks of QEMU: statistics and
aborts alike. Closing its connection is what ends that; the guest runs again at once. It is done
for an operator's cancel, a deadline, or after a grace, and only while the guest is the source's:
once post-copy has begun it would cost the guest.

An abort that libvirt has taken may go on waiting as well: disks that are mirrored over such a link
are not given up before what is on its way has come back.

The monitor's thread is the one that waits, so another looks from time to time.
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

LOG = logging.getLogger(__name__)

# libvirt must have been silent in the switchover for so many times the promised blackout, and for
# so many seconds at least; and for so many where neither an operator nor a deadline ends it.
TIMES = 20
LEAST_S = 10.0
GRACE_S = 120.0
# An abort that libvirt has taken is over by then.
ABORTED_S = 30.0
# One that could not be closed is tried again after this.
AGAIN_S = 30.0
# What libvirt says of a guest that stands still for its switchover, or was paused for it.
STOPPED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)


@dataclasses.dataclass(frozen=True)
class Switchover:
    """A migration whose guest may stand still at the source.

    :ivar since_s: on the monitor's clock; None where that is not known: the event may wait behind
        the very call that libvirt does not answer
    :ivar wanted: why it is to end, as a sentence; None where nobody and nothing wants that
    :ivar has_grace: it is to end after a grace, too
    """

    since_s: float | None
    promised_s: float
    wanted: str | None
    has_grace: bool


@dataclasses.dataclass(frozen=True)
class Aborted:
    """A migration whose abort libvirt has taken, and that is not over; not one in post-copy.

    :ivar since_s: on the monitor's clock
    :ivar reason: why it was aborted, as a sentence
    """

    since_s: float
    reason: str


class Outside(Protocol):
    """What can be done without QEMU's main thread, none of it on the monitor's own connection."""

    def state(self) -> tuple[int, int] | None:
        """libvirt's state of the domain and its reason; None where libvirt does not say."""

    def close(self, targets: Sequence[str]) -> tuple[list[str], str]:
        """Close QEMU's connection to the destination: what was closed, or why it cannot be.

        :param targets: URIs to which it sends; the first counts
        """


class Hung:
    """The watch for one migration that hangs; one thread looks.

    :param targets: the URIs to which QEMU sends
    :param switchover: how it stands; None where it is over, or the guest is not the source's
    :param aborted: None where it was not aborted, or is over, or the guest is not the source's
    :ivar reason: why the connection was closed; None where it was not.
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
        self._trouble = ''
        self.reason: str | None = None

    def look(self) -> None:
        """Close the connection of a migration that hangs and is to end."""
        at_s = self._clock()
        if at_s < self._again_s:
            return
        why = self._hangs(at_s)
        if why is not None:
            self._end(why, at_s, self._outside.state() == STOPPED)
            return
        why = self._goes_on(at_s)
        if why is not None:
            state = self._outside.state()
            self._end(why, at_s, state is not None and (
                state == STOPPED or state[0] == libvirt.VIR_DOMAIN_RUNNING))

    def _hangs(self, at_s: float) -> str | None:
        """Why a switchover in which libvirt is silent is to end now; None where it is not."""
        asked, now = self._guest.unanswered, self._switchover()
        if asked is None or now is None:
            return None
        since_s = asked[1] if now.since_s is None else now.since_s
        silent_s = at_s - max(asked[1], since_s)
        if silent_s < max(LEAST_S, TIMES * now.promised_s):
            return None
        why = now.wanted
        if why is None and now.has_grace and silent_s >= GRACE_S:
            why = 'Nothing else ends it'
        return None if why is None else (
            f'{why}; the guest has been standing still in its switchover for '
            f'{at_s - since_s:.0f} s, and libvirt has not answered {asked[0]} for '
            f'{silent_s:.0f} s')

    def _goes_on(self, at_s: float) -> str | None:
        """Why a migration whose abort comes to no end is to end now; None where it is not."""
        now = self._aborted()
        if now is None or at_s - now.since_s < ABORTED_S:
            return None
        return (f'{now.reason}; libvirt took the abort {at_s - now.since_s:.0f} s ago, and the '
                f'migration is not over')

    def _end(self, why: str, at_s: float, is_the_sources: bool) -> None:
        """Close the connection, if libvirt says that the guest is the source's."""
        if not is_the_sources:
            return
        self._again_s = at_s + AGAIN_S
        before = self.reason
        # The migration may be over before it is known here that the connection is closed.
        self.reason = f'{why}, so the connection of QEMU to the destination was closed'
        closed, trouble = self._outside.close(self._targets())
        if closed:
            self._say(f'{self.reason}: {", ".join(closed)}')
            return
        self.reason = before
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(f'{why}, and the connection of QEMU to the destination cannot be closed: '
                      f'{trouble or "it has none that holds unsent data"}')

    def _say(self, text: str) -> None:
        LOG.warning('%s', text, instance_uuid=self._guest.uuid)
        self._journal.add('event', self._clock(), text=text)
