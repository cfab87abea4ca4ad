# SPDX-License-Identifier: Apache-2.0
"""What libvirt on this host says of a server's domain, as evidence of a migration of it.

It only asks. libvirt gives a state without QEMU, but a job only with it: while a guest is switched
over to another host, the answer may take as long as that does. A libvirtd that was started again
while its guest still received the rest of its memory answers when all of it is there.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import libvirt
from oslo_log import log as logging

from nova_migpolicy.recovery import evidence

LOG = logging.getLogger(__name__)

Source = evidence.Source
Destination = evidence.Destination
Connection = Any
Domain = Any


class Job(enum.Enum):
    """What libvirt does with a domain."""

    NONE = 'none'
    #: sends it to another host
    OUT = 'out'
    #: receives it from another host
    IN = 'in'
    #: something else, such as a backup
    OTHER = 'other'


class Answers(NamedTuple):
    """A domain as the source of a migration has it, and as a destination does.

    job: libvirt on this host sends it, or keeps the job of a post-copy that broke off.
    """

    source: Source
    job: bool
    destination: Destination


ABSENT = Answers(Source.ABSENT, False, Destination.ABSENT)
SILENT = Answers(Source.SILENT, False, Destination.SILENT)

_RUNNING, _PAUSED = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED
# The source's half of a guest in post-copy is paused, the destination's runs.
_POST_COPY = frozenset((
    (_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY),
    (_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY)))
_POST_COPY_FAILED = frozenset((
    (_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED),
    (_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)))
# QEMU has been started, and its guest has not run in it yet.
_NOT_BEGUN = frozenset((
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
    libvirt.VIR_DOMAIN_PAUSED_UNKNOWN))
# Neither paused nor off: one that has shut down still has its QEMU, and one that sleeps is woken
# by its own devices, not by libvirt's resume.
_ON = frozenset((_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_SHUTDOWN,
                 libvirt.VIR_DOMAIN_PMSUSPENDED))
_OFF = frozenset((libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED))
_LEFT = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)


def look(connection: Connection, server_uuid: str) -> Answers:
    """Return both answers of one look; only a libvirt that says so has no such domain.

    The job is asked for first: without one the state will not change any more, while a guest that
    runs here beside a job may be gone a moment later.
    """
    try:
        domain = connection.lookupByUUIDString(server_uuid)
        job = _job(domain)
        state, reason = domain.state(0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return ABSENT
        LOG.warning('libvirt does not say where the guest is: %s', error,
                    instance_uuid=server_uuid)
        return SILENT
    found = read(job, int(state), int(reason))
    if found == SILENT:
        LOG.warning('libvirt answers with a state that is not known: %d, for the reason %d',
                    state, reason, instance_uuid=server_uuid)
    return found


def read(job: Job, state: int, reason: int) -> Answers:
    """Return what libvirt's job, state and reason mean; SILENT where they mean nothing known."""
    sends = job is Job.OUT
    if (state, reason) in _POST_COPY:
        return Answers(Source.POST_COPY, sends, Destination.POST_COPY)
    if (state, reason) in _POST_COPY_FAILED:
        return Answers(Source.POST_COPY_FAILED, sends, Destination.POST_COPY_FAILED)
    if state == _PAUSED:
        # It has been here for long where it is about to leave.
        awaited = reason in _NOT_BEGUN and not sends
        return Answers(Source.PAUSED, sends,
                       Destination.INCOMING if awaited else Destination.ARRIVED)
    if state in _ON:
        return Answers(Source.RUNNING, sends, Destination.ARRIVED)
    if (state, reason) == _LEFT:
        # It is not here: it was once.
        return Answers(Source.MIGRATED, sends, Destination.ABSENT)
    if state in _OFF:
        return Answers(Source.SHUT_OFF, sends, Destination.SHUT_OFF)
    return SILENT


def _job(domain: Domain) -> Job:
    """Return what libvirt does with a domain.

    :raises libvirt.libvirtError: libvirt does not answer, or has no such domain
    """
    try:
        stats = domain.jobStats(0)
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code == libvirt.VIR_ERR_OPERATION_INVALID:
            # It is not active.
            return Job.NONE
        if code == libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            # libvirt has the statistics of a migration on the source alone.
            return Job.IN
        raise
    if stats.get('type', libvirt.VIR_DOMAIN_JOB_NONE) == libvirt.VIR_DOMAIN_JOB_NONE:
        return Job.NONE
    if stats.get('operation') == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT:
        return Job.OUT
    return Job.OTHER
