# SPDX-License-Identifier: Apache-2.0
"""Many small guests of the lab whose migrations go on, pass after pass, until they are dropped.

Each guest has a writable set of half a MiB and writes all of it every 0.2 s, so each pass of its
migration sends the whole set and the length of a pass follows from the cap alone. The guest is
the few bytes below rather than lab.guests, which beats 100 times a second: 100 of those are more
than two cores can emulate. Nothing is measured here.
"""

from __future__ import annotations

from concurrent import futures
import json
import threading
from typing import Any

import libvirt
import libvirt_qemu

from lab import domain as lab_domain
from lab import hosts
from lab import libvirtd
from lab import needs

MEMORY_MIB = 8
# libvirt can cap at whole MiB/s alone; so migrations begin, and QEMU is told of less.
START_MIB_S = 1
# So many begin at a time: a guest that starves while others are started would converge.
STARTING = 6
# libvirt's own range of ports for incoming migrations has only 64.
FIRST_PORT = 50000
# Beside those that carry a migration each.
WORKERS = 50
_CODE = bytes.fromhex(
    'ba f8 03'            # mov dx, 0x3f8
    'b0 21 ee'            # out '!': it works
    'fa'                  # cli
    '31 c0 8e d8'         # ds = 0
    'c7 06 20 00 40 7c'   # interrupt 8, the timer's, goes to `tick`: the firmware's own way
    'c7 06 22 00 00 00'   # costs more than all else here
    'fb f4 fa'            # again: sti, hlt, cli; 18.2 times a second
    '41'                  # inc cx
    'f6 c1 03'            # test cl, 3
    '75 f7'               # jnz again
    # QEMU before 8.0 forgets to reset its emulated TLB when it reads the dirty bitmap, and does
    # not see the next writes. A change of CR0.WP empties that TLB.
    '0f 20 c0'            # mov eax, cr0
    '66 35 00 00 01 00'   # xor eax, 0x10000
    '0f 22 c0'            # mov cr0, eax
    'b8 00 10'            # mov ax, 0x1000
    '8e d8'               # page: ds = ax
    'c6 06 00 00 01'      # mov byte [0], 1: never a page of zeros
    '05 00 01'            # add ax, 0x100
    '3d 00 90'            # cmp ax, 0x9000
    '72 f1'               # jb page
    'eb d7'               # jmp again
    'b0 20 e6 20 cf')     # tick: end of interrupt
_XML = f"""
<domain type='qemu'>
  <name>{{name}}</name>
  <memory unit='MiB'>{MEMORY_MIB}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source file='{libvirtd.IMAGES}/crowd'/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='pty'><log file='{libvirtd.CONSOLES}/{{name}}.log' append='off'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def image() -> bytes:
    """The boot disk of all of them, which they only read."""
    return (_CODE.ljust(510, b'\0') + b'\x55\xaa').ljust(1 << 20, b'\0')


class Crowd:
    """Guests on n1 of a lab that is up, on their endless way to n2."""

    def __init__(self, lab: hosts.Hosts, count: int) -> None:
        self.names = [f'crowd{number}' for number in range(count)]
        self._lab = lab
        self._source = lab['n1']
        self._domains: list[libvirt.virDomain] = []
        self._ended: list[str] = []

    def boot(self) -> None:
        """Start the guests and wait until each of them works.

        :raises LabError: one does not, or libvirtd's pool cannot be made large enough
        """
        # Each migration holds a thread of libvirtd for as long as it goes on; it has 20.
        self._source.machine.run(['virt-admin', 'server-threadpool-set', 'libvirtd',
                                  '--max-workers', str(len(self.names) + WORKERS)])
        for name in self._lab.names:
            (self._lab[name].images / 'crowd').write_bytes(image())
        connection = self._source.connect()
        self._domains = [connection.createXML(_XML.format(name=name)) for name in self.names]
        for name in self.names:
            lab_domain.wait_until((self._source.consoles / f'{name}.log').read_bytes,
                                  what=f'{name} to boot')

    def migrate(self, cap_kib_s: int) -> None:
        """Start the migrations and wait until each is behind its first copy, under this cap."""
        with futures.ThreadPoolExecutor(STARTING) as pool:
            list(pool.map(self._start, range(len(self.names)), [cap_kib_s] * len(self.names)))

    def cap(self, kib_s: int) -> None:
        """Give each migration this rate, and wait until one more pass has begun in each."""
        before = self.passes()
        for domain in self._domains:
            _cap(domain, kib_s)
        for domain, number in zip(self._domains, before, strict=True):
            self._wait(domain, number + 1)

    def passes(self) -> list[int]:
        """The number of the pass that each migration is in.

        :raises LabError: one has ended, so that nothing measured of them is worth anything
        """
        if self._ended:
            raise needs.LabError('; '.join(self._ended))
        return [int(domain.jobStats().get('memory_iteration', 0)) for domain in self._domains]

    def _start(self, number: int, cap_kib_s: int) -> None:
        domain = self._domains[number]
        domain.migrateSetMaxDowntime(1, 0)
        threading.Thread(target=self._run, args=(number,), daemon=True).start()
        self._wait(domain, 2)
        _cap(domain, cap_kib_s)

    def _run(self, number: int) -> None:
        """Carry one migration, on a connection of its own; see lab.domain.Migration."""
        to = self._lab['n2']
        params = {libvirt.VIR_MIGRATE_PARAM_URI: f'tcp://{to.address}:{FIRST_PORT + number}',
                  libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: START_MIB_S}
        why = 'it has converged'
        try:
            self._source.another_connection().lookupByName(self.names[number]).migrateToURI3(
                to.uri, params, libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER)
        except libvirt.libvirtError as error:
            why = str(error)
        self._ended.append(f'the migration of {self.names[number]} ended: {why}')

    def _wait(self, domain: libvirt.virDomain, number: int) -> None:
        def there() -> bool:
            stats: dict[str, Any] = domain.jobStats()
            return int(stats.get('memory_iteration', 0)) >= number

        lab_domain.wait_until(there, 60, f'pass {number} of {domain.name()}',
                              lambda: not self._ended)


def _cap(domain: libvirt.virDomain, kib_s: int) -> None:
    libvirt_qemu.qemuMonitorCommand(domain, json.dumps({
        'execute': 'migrate-set-parameters', 'arguments': {'max-bandwidth': kib_s << 10}}), 0)
