# SPDX-License-Identifier: Apache-2.0
"""Writes to a data disk of a running guest, as a guest that has a driver for it would."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from typing import Any

import libvirt
import libvirt_qemu

from lab import domain

PIECE_MIB = 2


class DiskWriter:
    """Writes all over a guest's only data disk, through QEMU's own qemu-io, until it is stopped.

    On the host where the guest runs, and until a copy of the disk is in sync: unlike a guest's,
    such a write would also come in the switchover, when QEMU has given up its disks and dies.

    :param size_mib: of the disk
    :param rate_mib_s: to be written; a busy host may do less
    :ivar writes: how often a piece was written
    """

    def __init__(self, guest: domain.LabDomain, size_mib: int, rate_mib_s: float) -> None:
        self._connection = guest.host.another_connection()
        self._domain = self._connection.lookupByName(guest.name)
        self._pieces = size_mib // PIECE_MIB
        self._every_s = PIECE_MIB / rate_mib_s
        self._chance = random.Random(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._began_s = self._ended_s = time.monotonic()
        self.writes = 0
        self._thread.start()

    def stop(self) -> None:
        """Stop writing; returns when the last write is over."""
        self._stop.set()
        self._thread.join()
        self._connection.close()

    @property
    def rate_mib_s(self) -> float:
        """What was written on average, from its beginning to the last write."""
        return self.writes * PIECE_MIB / max(self._ended_s - self._began_s, 0.001)

    def _ask(self, command: str, **arguments: Any) -> Any:
        return json.loads(libvirt_qemu.qemuMonitorCommand(self._domain, json.dumps({
            'execute': command, 'arguments': arguments}), 0))['return']

    def _is_in_sync(self) -> bool:
        return any(job['ready'] for job in self._ask('query-block-jobs'))

    def _run(self) -> None:
        due_s = self._began_s
        # The guest leaves this host in the end.
        with contextlib.suppress(libvirt.libvirtError):
            while not self._stop.wait(max(0.0, due_s - time.monotonic())) and (
                    not self._is_in_sync()):
                place_mib = self._chance.randrange(self._pieces) * PIECE_MIB
                self._ask('human-monitor-command', **{'command-line': (
                    f'qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend '
                    f'"write -P {self.writes % 250 + 1} {place_mib}M {PIECE_MIB}M"')})
                self.writes += 1
                self._ended_s = time.monotonic()
                # What was missed is not made up for.
                due_s = max(due_s + self._every_s, self._ended_s)
