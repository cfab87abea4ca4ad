# SPDX-License-Identifier: Apache-2.0
"""The controller's network, and HTTP into it from outside of its namespace.

The hosts' first link (lab.link) carries migrations and may be slowed or cut; RPC and HTTP have a
second one, `ctl0` in each machine, so that a slow migration is not a slow control plane.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import ctypes
import os
from typing import Any

from keystoneauth1 import session
import requests
import requests.adapters
import urllib3.connection
import urllib3.connectionpool

from lab import machine
from lab import needs
from lab.openstack import layout

_BRIDGE = 'br-ctl'
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def make(controller: machine.Machine) -> None:
    """Give the controller its bridge and address."""
    controller.network(['ip', 'link', 'add', 'name', _BRIDGE, 'type', 'bridge'])
    controller.network(['ip', 'addr', 'add', f'{layout.CONTROLLER}/{layout.PREFIX}',
                        'dev', _BRIDGE])
    controller.network(['ip', 'link', 'set', _BRIDGE, 'up'])


def plug(node: machine.Machine, controller: machine.Machine, address: str) -> None:
    """Join a host to the controller's network."""
    port = f'ctl-{node.name}'
    controller.network(['ip', 'link', 'add', 'name', port, 'type', 'veth',
                        'peer', 'name', 'ctl0', 'netns', str(node.pid)])
    controller.network(['ip', 'link', 'set', port, 'master', _BRIDGE, 'up'])
    node.network(['ip', 'addr', 'add', f'{address}/{layout.PREFIX}', 'dev', 'ctl0'])
    node.network(['ip', 'link', 'set', 'ctl0', 'up'])


@contextlib.contextmanager
def entered(pid: int) -> Iterator[None]:
    """Let this thread make its sockets in the network of another process.

    A socket stays where it was made, so this is needed around connecting only.

    :raises LabError: if that process is gone or this is not root
    """
    home = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
    try:
        there = os.open(f'/proc/{pid}/ns/net', os.O_RDONLY)
    except OSError as e:
        os.close(home)
        raise needs.LabError(f'the lab is not running: {e}') from e
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(there)
        os.close(home)


def http(pid: int) -> requests.Session:
    """Return an HTTP session whose connections begin in the network of a process."""
    found = requests.Session()
    found.trust_env = False
    found.mount('http://', _Adapter(pid))
    return found


def keystone_session(auth: Any, pid: int) -> Any:
    """Return a keystoneauth session that reaches the lab's services from outside."""
    return session.Session(auth=auth, session=http(pid))


def _enter(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise needs.LabError(f'cannot enter the network: {os.strerror(ctypes.get_errno())}')


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, pid: int) -> None:
        self._pid = pid
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {'http': _pool_class(self._pid)}


def _pool_class(pid: int) -> type[urllib3.connectionpool.HTTPConnectionPool]:
    class Connection(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            with entered(pid):
                super().connect()

    class Pool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = Connection

    return Pool
