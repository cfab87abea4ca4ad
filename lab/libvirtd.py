# SPDX-License-Identifier: Apache-2.0
"""A libvirtd of its own in a lab machine: its folders, its settings, its connection.

It listens on TCP without authentication, on the lab's network only, so that one libvirtd can
hand a guest to another; and on its usual socket, which is reached from outside through /proc.
"""

from __future__ import annotations

import pathlib
import shutil
import threading
import time
import uuid

import libvirt

from lab import machine
from lab import needs
from lab import processes

SOCKET = '/run/libvirt/libvirt-sock'
IMAGES = '/var/lib/libvirt/images'
CONSOLES = '/var/log/libvirt/consoles'
_FOLDERS = {'/etc/libvirt': 'etc', '/var/lib/libvirt': 'lib', '/var/log/libvirt': 'log',
            '/var/cache/libvirt': 'cache'}
_DAEMON = """
listen_tls = 0
listen_tcp = 1
listen_addr = "{address}"
auth_tcp = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "{uuid}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""
# No security driver, cgroup or namespace: the machine already is one, and root inside.
_QEMU = """
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
migration_address = "{address}"
max_core = 0
"""
_loop_lock = threading.Lock()
_loop: threading.Thread | None = None


def folders(folder: pathlib.Path, root: pathlib.Path | None,
            images: pathlib.Path) -> dict[str, pathlib.Path]:
    """Make a host's own copies of libvirt's folders; returns what to bind over what.

    :param folder: the machine's own folder
    :param root: the tree that the host runs in, None for the real one
    :param images: what the host is to see as /var/lib/libvirt/images
    :raises LabError: if libvirt is not installed there
    """
    tree = root or pathlib.Path('/')
    if not (tree / 'etc/libvirt/qemu.conf').exists():
        raise needs.LabError(f'libvirt is not installed in {tree}; install with: '
                             'apt-get install --no-install-recommends libvirt-daemon-system')
    shutil.copytree(tree / 'etc/libvirt', folder / 'etc', symlinks=True)
    shutil.rmtree(folder / 'etc/qemu/networks/autostart', ignore_errors=True)
    for name in ('lib/images', 'log/consoles', 'cache'):
        (folder / name).mkdir(parents=True)
    images.mkdir(parents=True, exist_ok=True)
    return {**{inside: folder / name for inside, name in _FOLDERS.items()}, IMAGES: images}


def configure(node: machine.Machine) -> None:
    """Write the settings of a machine's libvirtd."""
    number = uuid.uuid5(uuid.NAMESPACE_URL, str(node.folder))
    text = _DAEMON.format(address=node.address, uuid=number)
    (node.folder / 'etc/libvirtd.conf').write_text(text)
    (node.folder / 'etc/qemu.conf').write_text(_QEMU.format(address=node.address))


def start(node: machine.Machine) -> processes.Process:
    """Start libvirtd in a machine; it may take some 100 ms more until it answers."""
    return node.spawn(['libvirtd', '--listen', '-p', '/run/libvirtd.pid'],
                      node.folder / 'libvirtd.out', first=True)


def connect(node: machine.Machine, timeout: float = 20.0) -> libvirt.virConnect:
    """Open a connection from outside, with events delivered on a thread of their own.

    :param timeout: seconds to wait for a libvirtd that is starting, on an idle machine
    :raises LabError: if it does not answer in that time
    """
    start_events()
    libvirt.registerErrorHandler(lambda *_: None, None)
    uri = f'qemu+unix:///system?socket={node.path(SOCKET)}'
    end = time.monotonic() + timeout * needs.PATIENCE
    while True:
        try:
            connection = libvirt.open(uri)
            connection.setKeepAlive(5, 3)
            return connection
        except libvirt.libvirtError as e:
            if time.monotonic() > end or not node.running:
                log = node.folder / 'libvirtd.out'
                said = log.read_text(errors='replace').strip() if log.exists() else ''
                raise needs.LabError(
                    f'libvirtd of {node.name} does not answer: {e}. {said}') from e
        time.sleep(0.02)


def start_events() -> None:
    """Run libvirt's own event loop on a thread, once in a process."""
    global _loop
    with _loop_lock:
        if _loop is None:
            libvirt.virEventRegisterDefaultImpl()
            _loop = threading.Thread(target=_run_events, name='libvirt events', daemon=True)
            _loop.start()


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
