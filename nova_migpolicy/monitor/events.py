# SPDX-License-Identifier: Apache-2.0
"""Subscribe a monitor's inbox to libvirt's events of one domain.

The callbacks run in libvirt's event thread, which under eventlet is a native
one: they only append to the inbox, they neither log nor lock nor call libvirt.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
from typing import Any

import libvirt
from oslo_log import log as logging

from nova_migpolicy.monitor import inbox as inbox_mod

LOG = logging.getLogger(__name__)


def _pass_started(_conn: Any, _domain: Any, iteration: int, inbox: inbox_mod.Inbox) -> None:
    inbox.put(inbox_mod.PassStarted(inbox.clock(), iteration))


def _job_completed(
    _conn: Any, _domain: Any, stats: dict[str, Any], inbox: inbox_mod.Inbox,
) -> None:
    inbox.put(inbox_mod.JobCompleted(inbox.clock(), dict(stats)))


def _changed(
    _conn: Any, _domain: Any, event: int, detail: int, inbox: inbox_mod.Inbox,
) -> None:
    if (event, detail) == (libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
                           libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED):
        inbox.put(inbox_mod.Switchover(inbox.clock()))


def _disk_changed(
    _conn: Any, _domain: Any, _disk: str, _kind: int, status: int, inbox: inbox_mod.Inbox,
) -> None:
    if status == libvirt.VIR_DOMAIN_BLOCK_JOB_READY:
        inbox.put(inbox_mod.DiskReady(inbox.clock()))


@contextlib.contextmanager
def subscribed(connection: Any, domain: Any, inbox: inbox_mod.Inbox,
               is_left: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Deliver the domain's migration events to `inbox` inside the block.

    Yields whether libvirt took the subscription. Without it the monitor still
    works, sampling at its watchdog's ticks alone: a refusal must not stop a migration.

    :param is_left: whether the process ends, and the migrate call goes on. It is on the same
        connection, where a call beside it may hang.
    """
    wanted = (
        (libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, _pass_started),
        (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, _job_completed),
        (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, _changed),
        (libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, _disk_changed),
    )
    ids = []
    try:
        for event, callback in wanted:
            ids.append(connection.domainEventRegisterAny(domain, event, callback, inbox))
    except libvirt.libvirtError as error:
        LOG.warning('No events for this migration (%s): its statistics will be read at each '
                    'watchdog tick only', error, instance_uuid=domain.UUIDString())
    try:
        yield len(ids) == len(wanted)
    finally:
        for callback_id in () if is_left() else ids:
            try:
                connection.domainEventDeregisterAny(callback_id)
            except libvirt.libvirtError as error:
                # The connection is gone, and the subscription with it.
                LOG.debug('Event %d was not deregistered: %s', callback_id, error)
