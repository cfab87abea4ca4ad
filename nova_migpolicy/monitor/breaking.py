# SPDX-License-Identifier: Apache-2.0
"""Break off a post-copy over which nothing comes any more, so that it can be taken up again.

QEMU does not notice a link that dies without a word: TCP tries again for a quarter of an hour and
more, with growing pauses, while the guest waits for its memory. Both halves of that stay. Whether
it can be taken up where it broke off is asked before, and that is not done here.
"""

from __future__ import annotations

from collections.abc import Callable
import threading
import time

from oslo_log import log as logging

from nova_migpolicy.engine import samples
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import hung

LOG = logging.getLogger(__name__)

# Between two looks at one that is being taken up again.
LOOK_EVERY_S = 5.0
# Nothing has come for so long; and from a try to the next.
HANGS_S = hung.GRACE_S
AGAIN_S = hung.AGAIN_S


class Breaking:
    """The watch over one post-copy; used by one thread, such as its monitor's.

    A call that libvirt does not answer is told as any other is (see silence), and waited for. Once
    it is broken off, the migrate call returns when the destination has noticed, too: when the link
    is back.

    :param obstacle: returns the reason for which post-copy could not be taken up again, or that it
        is not known; None where it can be
    :param say: takes a sentence for the timeline
    """

    def __init__(self, guest: guest_mod.MigratingGuest, obstacle: Callable[[], str | None],
                 say: Callable[[str], object]) -> None:
        self._guest = guest
        self._obstacle = obstacle
        self._say = say
        self._counters: tuple[int, int] | None = None
        self._since_s = 0.0
        self._next_s = 0.0
        self._told = ''
        self._is_broken = False

    def look(self, sample: samples.Sample) -> None:
        """Break it off where nothing has moved for HANGS_S, at most once in AGAIN_S."""
        sent, left = sample.memory_processed_bytes, sample.memory_remaining_bytes
        if sent is None or left is None:
            return
        if self._counters != (sent, left):
            self._counters = sent, left
            self._since_s, self._next_s = sample.at_s, sample.at_s + HANGS_S
            self._is_broken = False
        elif sample.at_s >= self._next_s and not self._is_broken:
            self._next_s = sample.at_s + AGAIN_S
            self._break_off(f'nothing has come through in post-copy for '
                            f'{sample.at_s - self._since_s:.0f} s')

    def _break_off(self, why: str) -> None:
        obstacle = self._obstacle()
        if obstacle is None:
            try:
                self._guest.break_off_post_copy()
            except exception.GuestError as error:
                obstacle = f'it could not be: {error}'
            else:
                self._is_broken = True
                self._say(f'{why}: it was broken off, and can be taken up again when the link '
                          'carries it')
                return
        if obstacle != self._told:
            self._told = obstacle
            self._say(f'{why}, and it is not broken off but watched on, for {obstacle}')


class Watch:
    """A thread that watches a post-copy, in the block, while another waits for the call of it.

    :param guest: calls of this thread alone
    :param obstacle: as of Breaking
    :param say: likewise
    :param clock: seconds
    """

    def __init__(self, guest: guest_mod.MigratingGuest, obstacle: Callable[[], str | None],
                 say: Callable[[str], object],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._guest = guest
        self._breaking = Breaking(guest, obstacle, say)
        self._clock = clock
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name='breaking off', daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Look no longer; a call that libvirt does not answer is not waited for."""
        self._left.set()

    def _run(self) -> None:
        while not self._left.wait(LOOK_EVERY_S):
            try:
                stats = self._guest.job_stats() or {}
                self._breaking.look(samples.Sample.from_stats(
                    self._clock(), stats, post_copy=True))
            except exception.GuestError as error:
                LOG.debug('It is not known whether anything moves: %s', error,
                          instance_uuid=self._guest.uuid)
            except Exception:
                LOG.exception('A post-copy that hangs may not be broken off',
                              instance_uuid=self._guest.uuid)
