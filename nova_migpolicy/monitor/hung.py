# SPDX-License-Identifier: Apache-2.0
"""Ends a switchover that hangs, where libvirt cannot.

QEMU's main thread sends the end of the memory while the guest stands still. On a link that dies
in that moment it waits in the kernel, and with it all that libvirt asks of QEMU: statistics and
aborts alike. Closing its connection is what ends that; the guest runs again at once. It is done
for an operator's cancel, a deadline, or after a grace, and only while the guest is the source's:
once post-copy has begun it would cost the guest.

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
# One that could not be closed is tried again after this.
AGAIN_S = 30.0
# What libvirt says of a guest that stands still for its switchover, or was paused for it.
STOPPED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)


@dataclasses.dataclass(frozen=True)
class Switchover:
    """A migration whose guest stands still at the source.

    :ivar since_s: on the monitor's clock
    :ivar wanted: why it is to end, as a sentence; None where nobody and nothing wants that
    :ivar has_grace: it is to end after a grace, too
    """

    since_s: float
    promised_s: float
    wanted: str | None
    has_grace: bool


class Outside(Protocol):
    """What can be done without QEMU's main thread, none of it on the monitor's own connection."""

    def state(self) -> tuple[int, int] | None:
        """libvirt's state of the domain and its reason; None where libvirt does not say."""

    def close(self, targets: Sequence[str]) -> tuple[list[str], str]:
        """Close QEMU's connection to the destination: what was closed, or why it cannot be.

        :param targets: URIs to which it sends; the first counts
        """


class Hung:
    """The watch for a switchover that hangs in one migration; one thread looks.

    :param targets: the URIs to which QEMU sends
    :param switchover: how it stands; None where the guest is not stopped, or not the source's
    :ivar reason: why the connection was closed; None where it was not.
    """

    def __init__(self, guest: guest_mod.MigratingGuest, journal: journal_mod.Journal,
                 clock: Callable[[], float], outside: Outside,
                 targets: Callable[[], Sequence[str]],
                 switchover: Callable[[], Switchover | None]) -> None:
        self._guest = guest
        self._journal = journal
        self._clock = clock
        self._outside = outside
        self._targets = targets
        self._switchover = switchover
        self._again_s = float('-inf')
        self._trouble = ''
        self.reason: str | None = None

    def look(self) -> None:
        """Close the connection of a switchover that hangs and is to end."""
        asked, now = self._guest.unanswered, self._switchover()
        at_s = self._clock()
        if asked is None or now is None or at_s < self._again_s:
            return
        silent_s = at_s - max(asked[1], now.since_s)
        why = _why(now, silent_s)
        if why is None or self._outside.state() != STOPPED:
            return
        self._again_s = at_s + AGAIN_S
        hangs = (f'the guest has been standing still in its switchover for '
                 f'{at_s - now.since_s:.0f} s, and libvirt has not answered {asked[0]} for '
                 f'{silent_s:.0f} s')
        before = self.reason
        # The migration may be over before it is known here that the connection is closed.
        self.reason = (f'{why}; {hangs}, so the connection of QEMU to the destination was '
                       f'closed')
        closed, trouble = self._outside.close(self._targets())
        if closed:
            self._say(f'{self.reason}: {", ".join(closed)}')
            return
        self.reason = before
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(f'{why}; {hangs}, and the connection of QEMU to the destination cannot be '
                      f'closed: {trouble or "it has none that holds unsent data"}')

    def _say(self, text: str) -> None:
        LOG.warning('%s', text, instance_uuid=self._guest.uuid)
        self._journal.add('event', self._clock(), text=text)


def _why(now: Switchover, silent_s: float) -> str | None:
    """Why a switchover in which libvirt is silent is to end now; None where it is not."""
    if silent_s < max(LEAST_S, TIMES * now.promised_s):
        return None
    if now.wanted is not None:
        return now.wanted
    return 'Nothing else ends it' if now.has_grace and silent_s >= GRACE_S else None
