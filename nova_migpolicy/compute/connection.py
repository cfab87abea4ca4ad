# SPDX-License-Identifier: Apache-2.0
"""A connection to libvirt for the monitors' short calls, beside Nova's own.

Nova's connection carries the migrate call for as long as the migration takes.
In a libvirt client before 10.0 another thread's call on that connection may
then hang until the next message arrives on it: for a whole pass. Short calls
alone, on a connection of their own, do not.
"""

from __future__ import annotations

import functools
from typing import Any

import libvirt_qemu
from oslo_log import log as logging

from nova_migpolicy.monitor import guest as guest_mod

LOG = logging.getLogger(__name__)


class ControlConnection:
    """A connection that is opened when it is first needed, and again once it is dead.

    :param host: Nova's Host, which knows how to connect in this threading mode
    """

    def __init__(self, host: Any) -> None:
        self._host = host
        self._connection: Any = None

    def find(self, domain_uuid: str) -> Any:
        """Find the domain on this connection.

        :raises libvirt.libvirtError: libvirt cannot be reached, or has no such domain
        """
        return self.get().lookupByUUIDString(domain_uuid)

    def get(self) -> Any:
        """Return the connection.

        :raises libvirt.libvirtError: libvirt cannot be reached
        """
        # Two monitors that find it dead at once open two; the one that is not
        # kept goes with its last domain. That is cheaper than a lock held
        # while libvirt is called.
        connection = self._connection
        if connection is None or not connection.isAlive():
            connection = self._host._connect(self._host._uri, False)
            LOG.debug('Opened a connection to libvirt for control calls')
            self._connection = connection
        return connection

    def another(self) -> Any:
        """Open a connection of the caller's own, to be closed by it.

        :raises libvirt.libvirtError: libvirt cannot be reached
        """
        return self._host._connect(self._host._uri, False)

    def guest(self, server: str, allow_qmp: bool) -> guest_mod.MigratingGuest:
        """Return the calls that may be made on a server's domain.

        :param allow_qmp: monitor commands are among them
        """
        return guest_mod.MigratingGuest(
            functools.partial(self.find, server), self._qmp() if allow_qmp else None, server)

    def _qmp(self) -> guest_mod.Qmp:
        """Return a sender of monitor commands for the threading mode, as Nova's own calls do."""
        proxy = self._host._wrap_libvirt_proxy(libvirt_qemu)

        def send(domain: Any, command: str) -> str:
            answer: str = proxy.qemuMonitorCommand(
                domain, command, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
            return answer

        return send
