# SPDX-License-Identifier: Apache-2.0
"""The only place that calls libvirt for a running migration.

Each method is one libvirt call made from the migration's own threads; each
libvirtError becomes a GuestError that names the call, libvirt's code and its
message. It decides nothing. It keeps the domain that it found, and the call
that is unanswered with its time, for other threads to read.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import time
from typing import Any, TypeVar
from xml.etree import ElementTree

import libvirt
from oslo_log import log as logging

from nova_migpolicy.engine import remedies
from nova_migpolicy import exception
from nova_migpolicy.monitor import mirrors

LOG = logging.getLogger(__name__)

# What libvirt itself takes for "no limit" (INT64_MAX bytes/s in whole MiB/s):
# its bandwidth call has no other word for it.
UNLIMITED_MIB_S = (2 ** 63 - 1) // 2 ** 20
MIB = 1 << 20
# The seconds for which QEMU measures what a guest dirties before its migration; 1 to 60.
MEASURED_S = 1

# All that libvirt keeps beside a definition goes with it.
UNDEFINE = (libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
            libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
            libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
            libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
# The domain is not, or no longer, on this host.
GONE = frozenset((libvirt.VIR_ERR_NO_DOMAIN,))
# The call came when no job (any more) could take it.
NO_JOB = frozenset((libvirt.VIR_ERR_OPERATION_INVALID,))
# This libvirt or QEMU cannot do it at all.
UNSUPPORTED = frozenset((
    libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, libvirt.VIR_ERR_CONFIG_UNSUPPORTED))

# How long libvirt may take to end a job, and how often it is asked.
ENDS_IN_S, ENDING_LOOK_S = 10.0, 0.2
_BROKEN_OFF = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
# From this call on the guest may be on both hosts.
START_POST_COPY = 'migrateStartPostCopy'
# A call that takes longer counts as unanswered. libvirt's usual calls take some ms.
SILENT_S = 5.0

Domain = Any
T = TypeVar('T')
# Sends one QMP command (JSON) to the domain and returns its JSON answer.
Qmp = Callable[[Domain, str], str]


def bandwidth_for_libvirt(mib_s: int) -> int:
    """libvirt's number for a cap in MiB/s, where our 0 means no cap."""
    return mib_s if mib_s > 0 else UNLIMITED_MIB_S


class MigratingGuest:
    """The calls that a migration's monitor may make on its domain.

    :param find: looks the domain up on the source host, as a libvirt virDomain
        (or a proxy of one); called again after an error, since libvirtd may
        have been restarted
    :param qmp: sends a QMP command; None when the operator forbids it
    :param uuid: the server's, for lines in the log
    :param clock: seconds, for how long a call is unanswered
    :ivar on_late_answer: called after a silence with the call, its seconds, and the error that
        ended it, empty where libvirt answered
    """

    def __init__(self, find: Callable[[], Domain], qmp: Qmp | None = None,
                 uuid: str = '', clock: Callable[[], float] = time.monotonic) -> None:
        self.uuid = uuid
        self._find = find
        self._found: Domain = None
        self._qmp = qmp
        self._clock = clock
        self._asked: tuple[str, float] | None = None
        self._unanswered: tuple[str, float] | None = None
        self.on_late_answer: Callable[[str, float, str], object] = lambda *answer: None

    @property
    def silence(self) -> tuple[str, float] | None:
        """The call that libvirt has not answered for SILENT_S or more, and when it was made.

        None where it answers. Any thread may ask.
        """
        asked = self._asked
        if asked is None:
            return None
        return asked if self._clock() - asked[1] >= SILENT_S else None

    @property
    def unanswered(self) -> tuple[str, float] | None:
        """The last call, and since when libvirt has answered none; None below SILENT_S.

        A call that ends because libvirt cannot get its lock is not answered either: another one
        waits for QEMU with it. Any thread may ask.
        """
        found = self._unanswered
        return None if found is None or self._clock() - found[1] < SILENT_S else found

    def _ask(self, name: str, call: Callable[[Domain], T]) -> T:
        """Make one call on the domain.

        :param name: the call's name in errors
        :raises GuestError: libvirt refused, or cannot be reached
        """
        asked_s, failed, answered = self._clock(), '', True
        self._asked = name, asked_s
        self._unanswered = name, self._unanswered[1] if self._unanswered else asked_s
        try:
            return call(self._domain())
        except libvirt.libvirtError as error:
            failed = str(error)
            answered = error.get_error_code() != libvirt.VIR_ERR_OPERATION_TIMEOUT
            raise self._error(name, error) from error
        finally:
            self._asked = None
            if answered:
                self._unanswered = None
            silent_s = self._clock() - asked_s
            if silent_s >= SILENT_S:
                self.on_late_answer(name, silent_s, failed)

    def _domain(self) -> Domain:
        # Another thread must not drop the found domain between check and use.
        found = self._found or self._find()
        self._found = found
        return found

    def _error(self, call: str, error: libvirt.libvirtError) -> exception.GuestError:
        """The error as ours; the domain is dropped where its connection may be dead."""
        code = error.get_error_code()
        if code not in NO_JOB | UNSUPPORTED:
            self._found = None
        return _guest_error(call, error)

    def apply(self, action: remedies.Action) -> None:
        """Carry out an action of a decision.

        :raises GuestError: libvirt refused; the guest is as it was
        """
        if isinstance(action, remedies.SetBandwidth):
            self.set_bandwidth(action.mib_s)
        elif isinstance(action, remedies.SetMaxDowntime):
            self.set_max_downtime(action.limit_ms)
        elif isinstance(action, remedies.SetThrottle):
            self.set_throttle(action.percent)
        elif isinstance(action, remedies.StartPostCopy):
            self._call(START_POST_COPY, 0)
        elif isinstance(action, remedies.Pause):
            self._call('suspend')
        elif isinstance(action, remedies.Abort):
            self.abort()
        else:
            raise TypeError(f'not an action: {action!r}')

    def set_bandwidth(self, mib_s: int) -> None:
        """Cap the memory stream at `mib_s` MiB/s (0: no cap)."""
        self._call('migrateSetMaxSpeed', bandwidth_for_libvirt(mib_s), 0)

    def bandwidth(self) -> int:
        """Return the cap of the memory stream in MiB/s (0: no cap), as libvirt has it.

        :raises GuestError: libvirt does not know it
        """
        mib_s = int(self._ask('migrateGetMaxSpeed', lambda domain: domain.migrateGetMaxSpeed(0)))
        return mib_s if mib_s < UNLIMITED_MIB_S else 0

    def set_disk_bandwidth(self, mib_s: int) -> tuple[mirrors.Mirror, ...]:
        """Share `mib_s` MiB/s (0: no cap) among the disks that are being copied.

        libvirt's own call for it does not return before the migration ends. A disk that has its
        share already is left alone, so this may be called at each sample.

        :returns: the disks as they were, if anything was changed; else nothing
        :raises GuestError: not permitted here, or refused
        """
        found = mirrors.mirrors(self.qmp('query-block-jobs', {}))
        changed = mirrors.changes(found, mib_s * MIB)
        for one in changed:
            self.qmp('block-job-set-speed', {'device': one.device, 'speed': one.speed})
        return found if changed else ()

    def set_max_downtime(self, limit_ms: int) -> None:
        """Set QEMU's own limit, in ms; valid before the start, too."""
        self._call('migrateSetMaxDowntime', limit_ms, 0)

    def max_downtime(self) -> int:
        """Return QEMU's own limit in ms; also before the start.

        :raises GuestError: libvirt does not know it
        """
        return int(self._ask('migrateGetMaxDowntime',
                             lambda domain: domain.migrateGetMaxDowntime(0)))

    def set_throttle(self, percent: int) -> None:
        """Let auto-converge take at most `percent` (1 to 99) of the guest's CPU time.

        libvirt has no call for this after the start; the monitor command has.
        QEMU goes there in one step: the engine asked for what is needed, and
        each smaller step would slow the guest for two more passes in vain.
        """
        self.qmp('migrate-set-parameters', {
            'max-cpu-throttle': percent,
            'cpu-throttle-initial': percent,
            'cpu-throttle-increment': percent,
            'throttle-trigger-threshold': 50,
        })

    def hold_throttle(self) -> None:
        """Keep an armed auto-converge from slowing the guest until it is asked to.

        QEMU keeps this from before the start; see `free_throttle`.
        """
        self.qmp('migrate-set-parameters', {
            'cpu-throttle-initial': 1,
            'max-cpu-throttle': 1,
            'throttle-trigger-threshold': 100,
        })

    def free_throttle(self) -> None:
        """Give QEMU its own defaults back, for a guest that stays and may migrate again."""
        self.qmp('migrate-set-parameters', {
            'cpu-throttle-initial': 20,
            'max-cpu-throttle': 99,
            'cpu-throttle-increment': 10,
            'throttle-trigger-threshold': 50,
        })

    def start_measuring(self) -> None:
        """Let QEMU look for MEASURED_S how much the guest dirties; it returns at once.

        Not while it migrates: QEMU refuses that. It compares samples of pages, and looks at
        memory of 128 MiB and more only.

        :raises GuestError: not possible with this libvirt or QEMU, or not now
        """
        self._call('startDirtyRateCalc', MEASURED_S, 0)

    def measured(self) -> int | None:
        """The number of different bytes dirtied in MEASURED_S; None when not known (yet).

        :raises GuestError: libvirt does not answer
        """
        # Under eventlet Nova's domains are proxies, which libvirt's list does not take.
        found = self._ask('domainListGetStats', lambda domain: domain.connect().domainListGetStats(
            [getattr(domain, '_obj', domain)], libvirt.VIR_DOMAIN_STATS_DIRTYRATE, 0))
        try:
            [(_, stats)] = found
        except ValueError:
            return None
        rate, period_s = (stats.get(f'dirtyrate.{name}') for name in (
            'megabytes_per_second', 'calc_period'))
        if (stats.get('dirtyrate.calc_status') != libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED
                or period_s != MEASURED_S or not isinstance(rate, int) or rate < 0):
            return None
        return rate * MEASURED_S * MIB

    def abort(self) -> None:
        """Ask libvirt to end the job; the migrate call then returns with an error."""
        self._call('abortJob')

    def break_off_post_copy(self) -> None:
        """Let QEMU break off post-copy, so that it can be resumed; both halves stay.

        QEMU itself does not notice a link that dies without a word.
        """
        self._call('abortJobFlags', libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY)

    def end_job(self, pause: Callable[[float], object]) -> None:
        """End the job of a migration for good, and return when libvirt has let the guest go.

        In post-copy the guest is lost by it, unless that is resumed.

        :param pause: waits, for seconds
        :raises GuestError: libvirt holds on to it
        """
        for _ in range(round(ENDS_IN_S / ENDING_LOOK_S)):
            if not self._has_job() or self.state() == _BROKEN_OFF:
                return
            # libvirt hears of post-copy a moment after QEMU has begun with it.
            for end in (self.abort, self.break_off_post_copy):
                try:
                    end()
                    break
                except exception.GuestError as error:
                    LOG.debug('Its job is not ended yet: %s', error)
            pause(ENDING_LOOK_S)
        raise exception.GuestError('abortJob', f'libvirt holds on to it for {ENDS_IN_S:g} s')

    def _has_job(self) -> bool:
        stats = self.job_stats()
        return stats is not None and stats.get(
            'type', libvirt.VIR_DOMAIN_JOB_NONE) != libvirt.VIR_DOMAIN_JOB_NONE

    def resume_post_copy(self, uri: str, params: Mapping[str, Any], flags: int) -> None:
        """Take up a post-copy that broke off; return when all of the memory has arrived.

        :param uri: of the destination's libvirt
        :param params: libvirt's, as the migration was begun with
        :param flags: likewise
        :raises GuestError: refused, or broken off again; both halves stay
        """
        again = flags | libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_POSTCOPY_RESUME
        self._ask('migrateToURI3', lambda domain: domain.migrateToURI3(
            uri, dict(params), again))

    def resume(self) -> None:
        """Run a guest that was paused here."""
        self._call('resume')

    def remove(self) -> None:
        """End and undefine the domain here, whose guest runs elsewhere.

        :raises GuestGone: it is not here, or was not defined
        :raises GuestError: it runs here, or libvirt holds on to it
        """
        state = self.state()
        if state is not None and state[0] == libvirt.VIR_DOMAIN_RUNNING:
            raise exception.GuestError('destroy', 'it runs here, and is not ended')
        if self.is_active():
            self._call('destroy')
        try:
            self._call('undefineFlags', UNDEFINE)
        except exception.GuestError as error:
            if error.code != libvirt.VIR_ERR_OPERATION_TIMEOUT:
                raise
            # libvirt forgets the job of a QEMU that was killed in post-copy only when it starts.
            raise exception.GuestError(
                error.action, f'{error.reason}; if that stays so, start libvirt on this host again'
                ', which ends no guest', error.code) from error

    def is_active(self) -> bool:
        """Whether there is a QEMU of it here."""
        return bool(self._ask('isActive', lambda domain: domain.isActive()))

    def job_stats(self) -> dict[str, Any] | None:
        """libvirt's statistics of the running job; None when the domain is gone.

        :raises GuestError: libvirt does not answer
        """
        try:
            stats = self._ask('jobStats', lambda domain: domain.jobStats(0))
        except (exception.GuestGone, exception.JobGone):
            return None
        return dict(stats) if isinstance(stats, Mapping) else None

    def final_stats(self) -> dict[str, Any]:
        """The statistics of the last completed job; empty where there are none."""
        flags = (libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED |
                 libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED)
        try:
            stats = self._ask('jobStats', lambda domain: domain.jobStats(flags))
        except exception.GuestError:
            return {}
        return dict(stats) if isinstance(stats, Mapping) else {}

    def state(self) -> tuple[int, int] | None:
        """(virDomainState, its reason) on this host; None when the domain is gone.

        :raises GuestError: libvirt does not answer
        """
        try:
            state, reason = self._ask('state', lambda domain: domain.state(0))
        except exception.GuestGone:
            return None
        return int(state), int(reason)

    def definition(self) -> ElementTree.Element:
        """The domain's definition as it runs, devices and all.

        :raises GuestError: libvirt does not answer, or not with XML
        """
        text = self._ask('XMLDesc', lambda domain: domain.XMLDesc(0))
        try:
            return ElementTree.fromstring(text)
        except (ElementTree.ParseError, TypeError) as error:
            raise exception.GuestError('XMLDesc', f'libvirt answered no XML: {error}') from None

    def qemu_version(self) -> int:
        """The version of the QEMU that runs this guest, in libvirt's way of numbering.

        QEMU may have been upgraded on the host since the guest was started.

        :raises GuestError: not permitted here, or not answered as it should be
        """
        said = self.qmp('query-version', {})
        try:
            major, minor, micro = (int(said['qemu'][part]) for part in ('major', 'minor', 'micro'))
        except (KeyError, TypeError, ValueError):
            raise exception.GuestError(
                'query-version', f'QEMU answered {exception.shown(said)}') from None
        return major * 1_000_000 + minor * 1000 + micro

    def failed_disks(self) -> list[str]:
        """The disks on which QEMU has an I/O error that nobody has dealt with, such as vda.

        QEMU stops a guest for one; a guest that stood still already shows it only here.

        :raises GuestError: libvirt does not answer
        """
        try:
            found = self._ask('diskErrors', lambda domain: domain.diskErrors(0))
        except exception.Unsupported:
            return []
        return sorted(found) if isinstance(found, Mapping) else []

    def disk_bytes(self, paths: Sequence[str]) -> int:
        """The bytes to be copied of the disks at `paths`, as far as known before the start.

        That is the allocated part of a sparse disk, and all of one where that is not known. A
        disk that libvirt does not know counts as nothing, with a warning: its size shows when it
        is copied.
        """
        def size(path: str) -> int:
            capacity, allocated, *_ = self._ask(
                'blockInfo', lambda domain: domain.blockInfo(path, 0))
            return int(allocated if 0 < allocated < capacity else capacity)

        total = 0
        for path in paths:
            try:
                total += size(path)
            except exception.GuestError as error:
                LOG.warning('The size of disk %s is not known: %s', path, error,
                            instance_uuid=self.uuid)
        return total

    def qmp(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """Send one QMP command and return its result; no argument may be a user's text.

        :raises GuestError: not permitted here, refused, or answered with an error
        """
        if self._qmp is None:
            raise exception.Unsupported(
                command, 'monitor commands are not permitted ([migpolicy] allow_qmp)')
        send = self._qmp
        request = json.dumps({'execute': command, 'arguments': dict(arguments)})
        answer = self._ask(command, lambda domain: send(domain, request))
        try:
            said = json.loads(answer)
            refused = said.get('error')
        except (ValueError, AttributeError, TypeError):
            raise exception.GuestError(command, f'QEMU answered {answer!r}') from None
        if refused:
            raise exception.GuestError(command, f'QEMU says {refused!r}')
        return said.get('return')

    def _call(self, name: str, *args: int) -> None:
        self._ask(name, lambda domain: getattr(domain, name)(*args))


def _guest_error(call: str, error: libvirt.libvirtError) -> exception.GuestError:
    code = error.get_error_code()
    kind = exception.GuestError
    if code in GONE:
        kind = exception.GuestGone
    elif code in NO_JOB:
        kind = exception.JobGone
    elif code in UNSUPPORTED:
        kind = exception.Unsupported
    return kind(call, str(error), code)
