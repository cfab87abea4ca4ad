# SPDX-License-Identifier: Apache-2.0
"""A guest of the lab on hosts without OpenStack: booted, watched and migrated through libvirt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import contextlib
import pathlib
import shutil
import threading
import time
from typing import Any
from xml.sax import saxutils

import libvirt

from lab import guests
from lab import heartbeat
from lab import hosts
from lab import libvirtd
from lab import needs

#: what a plain migration is started with
FLAGS = (libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
         | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE | libvirt.VIR_MIGRATE_PERSIST_DEST)
MIB = 1 << 20
_XML = """
<domain type='{kind}'>
  <name>{name}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{processors}</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
{disks}
    <controller type='usb' model='none'/>
    <serial type='pty'><log file='{console}' append='off'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""
_DISK = """
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source file='{path}'/>
      <target dev='{target}' bus='virtio'/>{readonly}
    </disk>
"""


class LabDomain:
    """A guest on one of the hosts; `host` follows it when it is migrated.

    The boot disk is read-only and lies on every host, so a migration copies memory only,
    unless the guest has data disks.
    """

    def __init__(self, lab: hosts.Hosts, name: str, guest: guests.Guest, *,
                 host: str = 'n1', disks_mib: Sequence[int] = (), kind: str = 'qemu',
                 unknown_mib: int = 0) -> None:
        """Describe a guest that is not running yet.

        :param disks_mib: sizes of data disks, full of data
        :param kind: 'qemu' (emulated) or 'kvm'
        :param unknown_mib: memory that the domain has beside what the guest knows of
        """
        self.lab = lab
        self.name = name
        self.guest = guest
        self.host = lab[host]
        self.disks_mib = tuple(disks_mib)
        self.kind = kind
        self.memory_mib = guest.memory_mib + unknown_mib

    @property
    def domain(self) -> libvirt.virDomain:
        """libvirt's domain, on the host where it is now."""
        return self.host.connect().lookupByName(self.name)

    def console(self, host: str) -> pathlib.Path:
        """Return the log of the serial line on a host, as seen from outside."""
        return self.lab[host].consoles / f'{self.name}.log'

    def recorder(self) -> heartbeat.Recorder:
        """Begin to record the beats; log 0 is the first host's, 1 the second's, ..."""
        return heartbeat.Recorder(*(self.console(name) for name in self.lab.names))

    def boot(self, timeout: float = 30.0) -> LabDomain:
        """Define and start the guest, and wait until its memory is filled and it beats."""
        boot = self.guest.image(self.lab.work / f'{self.name}.boot')
        for name in self.lab.names:
            shutil.copy(boot, self._file(name, 'boot'))
        block = b'\xa5' * MIB
        for number, size in enumerate(self.disks_mib):
            with open(self._file(self.host.name, number), 'wb') as f:
                for _ in range(size):
                    f.write(block)
        with self.recorder() as recorder:
            self.host.connect().defineXML(self.xml()).create()
            if not recorder.wait_for_beats(1, timeout=timeout * needs.PATIENCE):
                raise needs.LabError(f'{self.name} does not beat after {timeout:g} s')
        return self

    def destroy(self) -> None:
        """Stop it and forget it, on whichever hosts it is."""
        for name in self.lab.names:
            connection = self.lab[name].connect()
            for domain in connection.listAllDomains():
                if domain.name() == self.name:
                    # It may end by itself in between.
                    with contextlib.suppress(libvirt.libvirtError):
                        domain.destroy()
                    with contextlib.suppress(libvirt.libvirtError):
                        domain.undefine()

    def migrate(self, destination: str, *, flags: int = 0, without: int = 0,
                params: Mapping[str, Any] | None = None) -> Migration:
        """Start to migrate to another host; returns at once.

        :param flags: added to FLAGS
        :param without: taken from FLAGS
        :param params: libvirt's typed parameters, by libvirt's names: {'bandwidth': 50}
        """
        own, usual = self.arguments(destination)
        return Migration(self, self.lab[destination], flags | usual & ~without,
                         {**own, **(params or {})})

    def arguments(self, destination: str) -> tuple[dict[str, Any], int]:
        """Return libvirt's parameters and flags for a migration; the disks are made there."""
        all_params: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_URI: f'tcp://{self.lab[destination].address}'}
        flags = FLAGS
        if self.disks_mib and self.lab.storage == 'block':
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
            all_params[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = [
                _target(number) for number in range(len(self.disks_mib))]
            for number, size in enumerate(self.disks_mib):
                with open(self._file(destination, number), 'wb') as f:
                    f.truncate(size * MIB)
        elif self.disks_mib:
            flags |= libvirt.VIR_MIGRATE_UNSAFE
        return all_params, flags

    def _file(self, host: str, number: int | str) -> pathlib.Path:
        return self.lab[host].images / f'{self.name}.{number}'

    def xml(self) -> str:
        """Return libvirt's definition of it."""
        def disk(number: int | str, target: str, readonly: bool) -> str:
            path = f'{libvirtd.IMAGES}/{self.name}.{number}'
            return _DISK.format(path=saxutils.escape(path), target=target,
                                readonly='<readonly/>' if readonly else '')

        disks = [disk('boot', 'vda', True)]
        disks += [disk(number, _target(number), False) for number in range(len(self.disks_mib))]
        return _XML.format(
            kind=self.kind, name=saxutils.escape(self.name), memory=self.memory_mib,
            processors=self.guest.processors, disks=''.join(disks),
            console=f'{libvirtd.CONSOLES}/{self.name}.log')


class Migration:
    """A migration that runs in a thread of its own, with what libvirt said about it."""

    def __init__(self, guest: LabDomain, to: hosts.Host, flags: int,
                 params: dict[str, Any]) -> None:
        self.guest = guest
        self.source = guest.host
        self.to = to
        self.domain = guest.domain
        self.error: libvirt.libvirtError | None = None
        self.iterations: list[tuple[float, int]] = []
        self.completed: dict[str, Any] | None = None
        self.began_s = time.monotonic()
        self.ended_s: float | None = None
        self._events = self._listen()
        self._thread = threading.Thread(
            target=self._run, args=(flags, params), name='migration', daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Tell whether libvirt's call has not returned yet."""
        return self._thread.is_alive()

    def wait(self, timeout: float = 120.0) -> Migration:
        """Wait for the end; `error` then has what libvirt said, or None for success.

        :raises LabError: if it does not end in time (seconds)
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise needs.LabError(f'the migration did not end in {timeout:g} s')
        return self

    def stats(self) -> dict[str, Any]:
        """Return libvirt's job statistics; empty if there is no job."""
        try:
            return dict(self.domain.jobStats())
        except libvirt.libvirtError:
            return {}

    def wait_for(self, condition: Callable[[dict[str, Any]], bool],
                 timeout: float = 30.0) -> dict[str, Any]:
        """Wait until the job's statistics fulfil a condition; returns those.

        :raises LabError: if that does not happen in time (seconds), or before the end
        """
        def look() -> dict[str, Any]:
            stats = self.stats()
            return stats if condition(stats) else {}

        try:
            found: dict[str, Any] = wait_until(
                look, timeout, 'the migration to come so far', lambda: self.running)
            return found
        except needs.LabError as e:
            raise needs.LabError(f'{e}; it is {"running" if self.running else "over"}, '
                                 f'error {self.error}, iterations {self.iterations}') from e

    def _run(self, flags: int, params: dict[str, Any]) -> None:
        try:
            # On a connection of its own: before libvirt 10.0 a call may hang while another thread
            # sits in a long call on the same connection, until the next message comes.
            mine = libvirtd.connect(self.source.machine)
            try:
                mine.lookupByName(self.guest.name).migrateToURI3(self.to.uri, params, flags)
            finally:
                mine.close()
            self.guest.host = self.to
        except libvirt.libvirtError as e:
            self.error = e
        self.ended_s = time.monotonic()
        # A last event may be on its way: it was sent before the call returned.
        end = self.ended_s + 0.2
        while self.error is None and self.completed is None and time.monotonic() < end:
            time.sleep(0.005)
        for number in self._events:
            # A libvirtd that was started again in between knows nothing of them.
            with contextlib.suppress(libvirt.libvirtError):
                self.source.connect().domainEventDeregisterAny(number)

    def _listen(self) -> list[int]:
        def iteration(_connection: Any, _domain: Any, number: int, _opaque: Any) -> None:
            self.iterations.append((time.monotonic(), number))

        def completed(_connection: Any, _domain: Any, stats: Any, _opaque: Any) -> None:
            self.completed = dict(stats)

        register = self.source.connect().domainEventRegisterAny
        return [register(self.domain, libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION,
                         iteration, None),
                register(self.domain, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                         completed, None)]


def wait_until(condition: Callable[[], Any], timeout: float = 30.0, what: str = 'a condition',
               still: Callable[[], bool] = lambda: True, *,
               found: Callable[[], object] | None = None) -> Any:
    """Wait until a function returns something true, and return that.

    :param timeout: seconds on an idle machine
    :param what: for the error
    :param still: gives up early when this is no longer true
    :param found: what there is instead, for the error
    :raises LabError: if it does not happen
    """
    began = time.monotonic()
    end = began + timeout * needs.PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end or not still():
            instead = f': there is {found()}' if found else ''
            raise needs.LabError(f'waited for {what}, in vain{instead}')
        time.sleep(needs.pause_s(time.monotonic() - began, 0.005, 0.03))


def _target(number: int) -> str:
    return f'vd{"bcdefghijklmnop"[number]}'
