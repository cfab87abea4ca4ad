# SPDX-License-Identifier: Apache-2.0
"""Take up a post-copy where it broke off: whether that can be, when it is tried, and one try.

Both halves of the guest's memory are kept whatever comes of a try. A try fails while the link is
dead, and for a while after it is back: the destination's QEMU is the last to notice that post-copy
broke off.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import math
import time
from typing import Any

import libvirt
from oslo_log import log as logging

from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod

LOG = logging.getLogger(__name__)

# Seconds from a try that failed to the next; each pause is twice as long as the one before.
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 30.0
# libvirt at both ends can do it from this version on.
RESUME_LIBVIRT = 8_005_000
# The libvirtd of a destination from the first to below the second of these dies of it.
DIES_LIBVIRT = 11_002_000
MENDED_LIBVIRT = 11_004_000

_POST_COPY = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
_KEPT = 'both halves of the memory are kept'
_WHAT_TO_DO = ('upgrade libvirt there, or give up what the server has in memory: destroy both '
               'domains with virsh, and start the server again')


@dataclasses.dataclass(frozen=True)
class Call:
    """The migrate call of the migration, as it was begun.

    uri: of the destination's libvirt. params, flags: libvirt's, with the address to which QEMU
    sends.
    """

    uri: str
    params: Mapping[str, Any]
    flags: int


def pause_s(tries: int) -> float:
    """Return the seconds to wait after so many tries, from 1 on."""
    # After so many doublings it is the longest pause anyway.
    return min(math.ldexp(FIRST_PAUSE_S, min(tries - 1, 16)), LONGEST_PAUSE_S)


def obstacle(here: int, there: int) -> str | None:
    """Return the reason for which it cannot be done, and what to do; None where it can.

    :param here: the version of libvirt on the source, in libvirt's way of numbering
    :param there: the version on the destination
    """
    for where, version in (('source', here), ('destination', there)):
        if version < RESUME_LIBVIRT:
            return (f'post-copy cannot be resumed, for libvirt on the {where} is '
                    f'{_written(version)}, and it takes {_written(RESUME_LIBVIRT)} at both ends; '
                    f'{_KEPT}; {_WHAT_TO_DO}')
    if DIES_LIBVIRT <= there < MENDED_LIBVIRT:
        return (f'post-copy cannot be resumed, for libvirt on the destination is '
                f'{_written(there)}, which dies of it; {_written(MENDED_LIBVIRT)} does not; '
                f'{_KEPT}; {_WHAT_TO_DO}')
    return None


def _written(version: int) -> str:
    return f'{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}'


class Resuming:
    """The tries to take up one post-copy.

    :param clock: seconds
    :ivar tries: how many there were
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_s: float | None = None
        self._told = ''
        self.tries = 0

    @property
    def is_due(self) -> bool:
        """Whether the pause after the last try is over."""
        return self._next_s is None or self._clock() >= self._next_s

    @property
    def rest_s(self) -> float | None:
        """The seconds until the next try is due; None where none has failed."""
        return None if self._next_s is None else max(0.0, self._next_s - self._clock())

    def attempt(self, guest: guest_mod.MigratingGuest, call: Call, *, libvirt_here: int,
                libvirt_there: int, say: Callable[[str], object]) -> bool:
        """Try once, if a try is due; return whether the guest is whole on the destination.

        Call it only for a post-copy that stands still. It returns when post-copy is complete, or
        has broken off again.

        :param guest: on a connection of its own, for the call takes as long as the rest of it
        :param libvirt_here: the version on the source; 0: not known, and so nothing is tried
        :param libvirt_there: likewise, on the destination
        :param say: told of each try in a sentence, and of an obstacle once
        """
        if not self.is_due or not (libvirt_here and libvirt_there):
            return False
        reason = obstacle(libvirt_here, libvirt_there)
        if reason is not None:
            self._tell_once(reason, say)
            return False
        self.tries += 1
        try:
            state = guest.state()
            if state is not None:
                say(f'post-copy is being resumed, try {self.tries}')
                self._try(guest, call, state)
        except exception.GuestError as error:
            rest_s = pause_s(self.tries)
            self._next_s = self._clock() + rest_s
            say(f'post-copy could not be resumed, try {self.tries}: {error}; {_KEPT}, and it is '
                f'tried again in {rest_s:g} s at the earliest')
            return False
        say('post-copy was resumed, and all of the memory is on the destination')
        return True

    @staticmethod
    def _try(guest: guest_mod.MigratingGuest, call: Call, state: tuple[int, int]) -> None:
        if state == _POST_COPY:
            # QEMU has not noticed that nothing comes through.
            guest.break_off_post_copy()
        guest.resume_post_copy(call.uri, call.params, call.flags)

    def _tell_once(self, reason: str, say: Callable[[str], object]) -> None:
        if reason != self._told:
            self._told = reason
            say(reason)
