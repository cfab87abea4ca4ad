# SPDX-License-Identifier: Apache-2.0
"""HTTP as a hostile client may write it: any bytes on a connection, and what comes back.

A usual client would repair or refuse much of what is to be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import http.client
import json
import socket
from typing import Any

from lab.openstack import layout
from lab.openstack import network

# Nova's slowest answer here comes within seconds.
TIMEOUT_S = 30.0
_PLACE = (layout.CONTROLLER, layout.PORTS['nova-api'])


@dataclasses.dataclass(frozen=True)
class Answer:
    """What nova-api said.

    :ivar status: 0 where the connection was closed without a word, as uwsgi does with what is not
        HTTP for it
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b''

    def json(self) -> Any:
        """The body.

        :raises ValueError: it is not JSON
        """
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """All of it, headers too, for looking something up."""
        lines = [f'{name}: {value}' for name, value in self.headers]
        return '\n'.join([*lines, self.body.decode(errors='replace')])


def request(method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]],
            body: bytes) -> bytes:
    """Put a request together; nothing is added and nothing is checked."""
    lines = [method + b' ' + target + b' HTTP/1.1',
             *(name + b': ' + value for name, value in headers), b'', body]
    return b'\r\n'.join(lines)


def chunked(body: bytes, size: int = 7) -> bytes:
    """A body in the form of Transfer-Encoding: chunked."""
    parts = [body[at:at + size] for at in range(0, len(body), size)]
    return b''.join(b'%x\r\n%s\r\n' % (len(part), part) for part in (*parts, b''))


def send(pid: int, raw: bytes, *, timeout: float = TIMEOUT_S) -> Answer:
    """Send bytes to nova-api and read its answer; nothing more is sent then.

    :param pid: a process in the controller's network
    :raises TimeoutError: there is no answer
    """
    with network.entered(pid):
        connection = socket.create_connection(_PLACE, timeout)
    with connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass        # it has heard enough and hung up, and may have answered
        try:
            return _read(connection, raw.startswith(b'HEAD '))
        except (http.client.HTTPException, ConnectionResetError):
            return Answer(0)


def _read(connection: socket.socket, is_head: bool) -> Answer:
    with http.client.HTTPResponse(connection, method='HEAD' if is_head else 'GET') as response:
        response.begin()
        return Answer(response.status, tuple(response.getheaders()), response.read())
