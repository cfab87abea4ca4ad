# SPDX-License-Identifier: Apache-2.0
"""Determine the outcome of a migration from the ended libvirt call and the domain's state.

The rule that matters: the guest runs on exactly one host. An error from the
call alone says nothing (the connection may have broken while QEMU went on), so
the source domain is asked, and asked again until it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import enum
from typing import Any

import libvirt
from oslo_log import log as logging

from nova_migpolicy.engine import samples
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

# Seconds between two questions while libvirt does not answer or the job goes on.
ASK_EVERY_S = 1.0
SAY_EVERY_S = 60.0

POST_COPY_REASONS = frozenset((
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED))
# The reason for which a guest stands still that no migration has paused.
OWN_TROUBLE = {
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: 'an I/O error on a disk',
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: 'been stopped by its watchdog',
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: 'crashed',
}
# Nova calls such a server active, so it takes no unpause.
RESUME = 'let it run by "virsh resume {uuid}" on this host, or reboot the server hard'
INACTIVE = frozenset((libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED))


class End(enum.Enum):
    """The end of a migration for the guest."""

    COMPLETED = vocabulary.COMPLETED      # it runs on the destination
    CANCELLED = vocabulary.CANCELLED      # the migration was stopped; it runs on the source
    FAILED = vocabulary.FAILED            # the migration failed; the guest is the source's
    BROKEN = vocabulary.BROKEN            # post-copy broke: its memory is on both hosts
    UNDECIDED = vocabulary.UNDECIDED      # another host may run it: that is recovery's to find out


@dataclasses.dataclass
class MigrateCall:
    """The libvirt migrate call, written by the thread that makes it.

    `started` is set just before the call and `done` last of all; `targets` are the addresses to
    which it sends, as URIs, the one in use first; `left_out` names the features that libvirt or
    QEMU refused at the start, so that the call was made without them. It only grows, and is
    replaced as a whole. `is_left` says that the thread did not wait for the end of the call.
    """

    started: bool = False
    targets: tuple[str, ...] = ()
    done: bool = False
    left_out: tuple[str, ...] = ()
    is_left: bool = False
    error: Exception | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end, in a sentence, with libvirt's error where there was one.

    is_certain: no other host can run the guest, or it is known that another does.
    """

    end: End
    reason: str
    error: Exception | None = None
    is_certain: bool = True


def was_aborted(error: Exception | None) -> bool:
    """Whether libvirt says that the job was ended by a request."""
    return (isinstance(error, libvirt.libvirtError) and
            error.get_error_code() == libvirt.VIR_ERR_OPERATION_ABORTED)


def settle(
    guest: guest_mod.MigratingGuest,
    call: MigrateCall,
    *,
    abort_reason: str | None,
    may_abort: bool,
    sleep: Callable[[float], None],
    say: Callable[[str], object] = lambda why: None,
    is_left: Callable[[], bool] = lambda: False,
) -> Outcome | None:
    """Wait until the outcome is certain and return it; the operation's thread is over.

    :param abort_reason: the reason for an abort by this monitor, None if there was none
    :param may_abort: False once post-copy has begun
    :param sleep: waits some seconds, in the way of the threading mode
    :param say: called each time with the reason for not being certain yet, empty once it is
    :param is_left: whether the migration is left to the next nova-compute; then None is returned
        where it is not certain
    """
    if call.done and call.error is None:
        say('')
        return Outcome(End.COMPLETED, 'the guest runs on the destination')
    waited_s = 0.0
    while True:
        outcome, why = _ask(guest, call, abort_reason, may_abort)
        say('' if outcome is not None else why)
        if outcome is not None:
            return outcome
        if waited_s % SAY_EVERY_S == 0:
            LOG.warning('Waiting to learn where the guest runs: %s', why,
                        instance_uuid=guest.uuid)
        if is_left():
            return None
        sleep(ASK_EVERY_S)
        waited_s += ASK_EVERY_S


def _ask(guest: guest_mod.MigratingGuest, call: MigrateCall, abort_reason: str | None,
         may_abort: bool) -> tuple[Outcome | None, str]:
    """Judge the outcome; None where it is not certain, and the reason."""
    try:
        outcome, stoppable = _judge(guest, call, abort_reason)
    except exception.GuestError as error:
        return None, str(error)
    why = 'its job is still running, though the call has ended'
    if outcome is None and may_abort and stoppable:
        why = _stop_orphan(guest, why)
    return outcome, why


def is_over(guest: guest_mod.MigratingGuest, call: MigrateCall) -> bool:
    """Whether libvirt has no job of it any more; for a call that another process has made.

    :raises exception.GuestError: libvirt does not answer
    """
    return _judge(guest, call, None)[0] is not None


def has_stayed(guest: guest_mod.MigratingGuest) -> bool:
    """Whether the source alone tells that a guest runs nowhere else, whose migration has failed.

    For a migration that another monitor has watched. False where libvirt does not answer.
    """
    try:
        outcome, _ = _judge(guest, MigrateCall(started=True), None)
    except exception.GuestError as error:
        LOG.warning('libvirt does not say whether the guest has stayed: %s', error,
                    instance_uuid=guest.uuid)
        return False
    return outcome is not None and outcome.end is End.FAILED and outcome.is_certain


def _judge(
    guest: guest_mod.MigratingGuest, call: MigrateCall, abort_reason: str | None,
) -> tuple[Outcome | None, bool]:
    """Judge the outcome: None while the job still runs in libvirt; and whether it may be stopped.

    The job is asked for first: with no job left the state will not change any
    more, while a guest that runs here beside a job may be gone a moment later.
    """
    stats = guest.job_stats() or {}
    state = guest.state()
    if state == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED):
        # libvirt keeps the job of a post-copy that broke off.
        return _final(state, call, abort_reason), False
    if state is None:
        return _final(state, call, abort_reason), False
    if stats.get('type', libvirt.VIR_DOMAIN_JOB_NONE) in (
            libvirt.VIR_DOMAIN_JOB_UNBOUNDED, libvirt.VIR_DOMAIN_JOB_BOUNDED):
        post_copy = state[0] == libvirt.VIR_DOMAIN_PAUSED and state[1] in POST_COPY_REASONS
        return None, not post_copy
    return _final(state, call, abort_reason), False


def _final(
    state: tuple[int, int] | None, call: MigrateCall, abort_reason: str | None,
) -> Outcome:
    """The outcome that a state without a job stands for."""
    said = f': {call.error}' if call.error else ''
    if state is None:
        if call.started:
            return Outcome(End.COMPLETED, f'the guest has left the source{said}', call.error)
        return Outcome(End.FAILED, f'the guest vanished before the start{said}', call.error)
    value, reason = state
    if value in INACTIVE:
        if value == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED:
            return Outcome(End.COMPLETED, f'the guest has left the source{said}', call.error)
        return Outcome(End.FAILED, f'the guest stopped on the source{said}', call.error,
                       not call.started)
    if value == libvirt.VIR_DOMAIN_PAUSED and reason in POST_COPY_REASONS:
        return Outcome(End.BROKEN, f'post-copy broke off{said}', call.error)
    is_certain = _has_stayed(state, call)
    if abort_reason is not None:
        return Outcome(End.CANCELLED, abort_reason, call.error, is_certain)
    if was_aborted(call.error):
        return Outcome(End.CANCELLED, 'cancelled by a request to libvirt', call.error, is_certain)
    return Outcome(End.FAILED, f'the migration failed{said}', call.error, is_certain)


def _has_stayed(state: tuple[int, int], call: MigrateCall) -> bool:
    """Whether the source alone tells that the guest runs nowhere else.

    libvirt stops the guest before it leaves, and lets it run again where the destination did not
    answer: that one may have let it run as well. Not where it has told the destination to give up.
    """
    if not call.started:
        return True
    return state[0] == libvirt.VIR_DOMAIN_RUNNING and (
        state[1] != libvirt.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED or was_aborted(call.error))


def _stop_orphan(guest: guest_mod.MigratingGuest, why: str) -> str:
    """End a job that nobody waits for any more; the next check shows the result."""
    try:
        guest.abort()
    except exception.GuestError as error:
        return f'{why}, and could not be ended: {error}'
    return f'{why}; it was told to end'


def resume_if_paused(guest: guest_mod.MigratingGuest) -> str | None:
    """Let a guest that stayed on the source run again after it had been paused for the move.

    One that stands still for a reason of its own, such as an I/O error, is left as it is: to run
    on over a disk that does not work is for an operator to decide.

    Returns a sentence when it does not run, with what to do; None when it does.
    """
    try:
        state = guest.state()
        if state is None or state[0] != libvirt.VIR_DOMAIN_PAUSED:
            return None
        disks = guest.failed_disks()
        trouble = OWN_TROUBLE.get(state[1]) if not disks else (
            f'an I/O error on {", ".join(disks)}')
        if trouble is None:
            guest.resume()
            return None
    except exception.GuestError as error:
        return (f'the guest was paused for the migration and could not be resumed: {error}; '
                f'{RESUME.format(uuid=guest.uuid)}')
    return (f'the guest was paused for the migration and is not resumed, for it has {trouble}; '
            f'mend that, then {RESUME.format(uuid=guest.uuid)}')


def figures(stats: Mapping[str, Any]) -> dict[str, int]:
    """The final figures of a finished job, where libvirt gives them: ms, bytes, passes."""
    names = {
        'downtime': 'downtime_ms', 'downtime_net': 'downtime_net_ms',
        'time_elapsed': 'elapsed_ms', 'memory_processed': 'memory_sent_bytes',
        'memory_total': 'memory_total_bytes', 'memory_iteration': 'passes',
        'disk_processed': 'disk_sent_bytes',
    }
    found = {ours: samples.count(stats, theirs) for theirs, ours in names.items()}
    return {name: number for name, number in found.items() if number is not None}
