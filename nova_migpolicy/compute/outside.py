# SPDX-License-Identifier: Apache-2.0
"""Actions on a migration while QEMU does not answer libvirt.

libvirt is asked on a connection that is opened for it: on the monitor's own, another call waits.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import socket
from typing import Any
from urllib import parse

import libvirt
from oslo_log import log as logging

from nova_migpolicy.compute import privileged

LOG = logging.getLogger(__name__)


class Outside:
    """The other way to one server's QEMU.

    :param connect: opens a connection to libvirt
    """

    def __init__(self, connect: Callable[[], Any], server: str) -> None:
        self._connect = connect
        self._server = server

    def state(self) -> tuple[int, int] | None:
        """Return libvirt's state of the domain and its reason; None where libvirt does not say."""
        try:
            connection = self._connect()
            try:
                state, reason = connection.lookupByUUIDString(self._server).state(0)
            finally:
                connection.close()
        except libvirt.libvirtError as error:
            LOG.warning('libvirt does not tell the state of the domain: %s', error,
                        instance_uuid=self._server)
            return None
        return int(state), int(reason)

    def close(self, targets: Sequence[str]) -> tuple[list[str], str]:
        """Close QEMU's connection to the destination; return the connections, or the obstacle.

        :param targets: URIs to which it sends; the first counts
        """
        try:
            found: tuple[list[str], str] = privileged.close_migration(
                self._server, addresses(targets[0]))
        except Exception as error:
            # Any failure of the daemon, the name service or the bus to them.
            return [], str(error) or type(error).__name__
        return found


def addresses(uri: str) -> list[str]:
    """Look up the addresses of the host that a URI names.

    :raises OSError: its name is not known
    """
    host = parse.urlsplit(uri).hostname or ''
    return sorted({str(one[4][0]) for one in socket.getaddrinfo(
        host, None, type=socket.SOCK_STREAM)})
