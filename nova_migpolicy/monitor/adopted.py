# SPDX-License-Identifier: Apache-2.0
"""The migrate call of a migration that another process has begun, and did not live to see ended.

libvirt goes on with it, but there is no call here that would return. A thread of its own looks
whether the job is still there.
"""

from __future__ import annotations

import threading

from oslo_log import log as logging

from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import outcome as outcome_mod

LOG = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class CallerGone(exception.MigPolicyError):
    """The process that made the call is gone, so nobody was told how it ended."""


class AdoptedCall:
    """Stands in for the thread that makes the migrate call, from entering the block to leaving it.

    :param guest: calls of this thread alone
    :param call: is marked as done when the job is over; its error says that nothing was returned
    """

    def __init__(self, guest: guest_mod.MigratingGuest, call: outcome_mod.MigrateCall,
                 inbox: inbox_mod.Inbox) -> None:
        self._guest, self._call, self._inbox = guest, call, inbox
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name='adopted', daemon=True)
        call.started = True

    def __enter__(self) -> AdoptedCall:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._left.set()

    def is_over(self) -> bool:
        """Whether the job is over."""
        return self._call.done

    def _run(self) -> None:
        while not self._left.wait(LOOK_EVERY_S):
            try:
                if not outcome_mod.is_over(self._guest, self._call):
                    continue
            except exception.GuestError as error:
                LOG.debug('It is not known whether the job runs: %s', error,
                          instance_uuid=self._guest.uuid)
                continue
            self._call.error = CallerGone('the nova-compute that began it is gone')
            self._call.done = True
            self._inbox.put(inbox_mod.CallReturned(self._inbox.clock()))
            return
