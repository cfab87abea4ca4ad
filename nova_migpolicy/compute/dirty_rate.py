# SPDX-License-Identifier: Apache-2.0
"""QEMU's measurement of a server's dirty rate, shortly before its migration, on the source host.

It is begun when Nova checks the source and taken when the migration starts; the destination is
prepared in between, which mostly takes longer. It may fail without harm: the passes show the same
later.
"""

from __future__ import annotations

from collections.abc import Callable

from oslo_log import log as logging

from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod

LOG = logging.getLogger(__name__)

# A server's older activity says little about its present one.
FRESH_S = 300.0
# The time that QEMU needs besides, to look at its samples again.
MARGIN_S = 0.1


class Measurements:
    """The measurements that were begun and not taken yet, by server."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._begun_s: dict[str, float] = {}

    def begin(self, guest: guest_mod.MigratingGuest) -> None:
        """Begin one; never raises."""
        now_s = self._clock()
        for server, begun_s in list(self._begun_s.items()):
            if now_s - begun_s > FRESH_S:
                self._begun_s.pop(server, None)
        try:
            guest.start_measuring()
        except exception.GuestError as error:
            LOG.debug('The dirty rate of this server is not measured: %s', error,
                      instance_uuid=guest.uuid)
        else:
            self._begun_s[guest.uuid] = now_s

    def take(self, guest: guest_mod.MigratingGuest) -> int | None:
        """Return the bytes that the server dirtied in guest.MEASURED_S; never raises.

        Where the destination was ready sooner than that, it waits for the rest of the time.
        """
        begun_s = self._begun_s.pop(guest.uuid, None)
        if begun_s is None or self._clock() - begun_s > FRESH_S:
            return None
        left_s = begun_s + guest_mod.MEASURED_S + MARGIN_S - self._clock()
        if left_s > 0:
            self._sleep(left_s)
        try:
            return guest.measured()
        except exception.GuestError as error:
            LOG.debug('The dirty rate of this server is not known: %s', error,
                      instance_uuid=guest.uuid)
            return None
