# SPDX-License-Identifier: Apache-2.0
"""Close the connections over which one QEMU sends its migration, from outside by the kernel.

It takes root's privileges, the namespaces of the host for processes and the network, and a kernel
with CONFIG_INET_DIAG_DESTROY. When to do it is not decided here: once post-copy has begun it would
cost the guest.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
import dataclasses
import ipaddress
import pathlib
import re
import subprocess
import typing

PROC = pathlib.Path('/proc')
# Where a destination listens for memory and disks, unless libvirt's qemu.conf says otherwise.
PORTS = range(49152, 49216)
# ss answers at once.
TIMEOUT_S = 10.0
_PID = re.compile(r'pid=(\d+),')


class Unclosable(Exception):
    """A connection cannot be closed here; the text gives the reason."""


@dataclasses.dataclass(frozen=True)
class Socket:
    """A TCP socket as ss lists it; its ends are address and port in the form that ss takes."""

    state: str
    queued: int
    local: str
    peer: str
    pids: frozenset[int]

    @property
    def peer_address(self) -> str:
        """The other end's address in its plain form."""
        return plain(self.peer.rpartition(':')[0])

    @property
    def peer_port(self) -> int:
        """The other end's port; 0 for none."""
        port = self.peer.rpartition(':')[2]
        return int(port) if port.isdecimal() else 0

    @property
    def local_port(self) -> str:
        """This end's port."""
        return self.local.rpartition(':')[2]


def plain(address: str) -> str:
    """Strip brackets and scope from an address, and turn IPv4-mapped IPv6 into IPv4."""
    bare = address.strip('[]').partition('%')[0]
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return bare
    mapped = getattr(found, 'ipv4_mapped', None)
    return str(mapped or found)


def parsed(text: str) -> Iterator[Socket]:
    """Parse the sockets in the output of ss -Htanp; other lines are left out."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and words[2].isdecimal():
            yield Socket(words[0], int(words[2]), words[3], words[4],
                         frozenset(int(pid) for pid in _PID.findall(' '.join(words[5:]))))


def stuck(sockets: Collection[Socket], pid: int, addresses: Collection[str]) -> list[Socket]:
    """The connections of a process to a destination's migration ports that hold unsent data.

    Connections that others made to it (consoles) are never among them.
    """
    wanted = {plain(address) for address in addresses}
    served = {one.local_port for one in sockets if one.state == 'LISTEN' and pid in one.pids}
    return [one for one in sockets
            if pid in one.pids and one.state != 'LISTEN' and one.queued > 0
            and one.peer_port in PORTS and one.peer_address in wanted
            and one.local_port not in served]


def qemu_of(uuid: str, proc: pathlib.Path = PROC) -> int:
    """Find the process of a domain.

    :raises Unclosable: none is seen, or several
    """
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / 'cmdline').read_bytes().split(b'\0')
        except OSError:
            continue        # it has just ended, or is a kernel thread's
        if b'-uuid' in words[:-1] and words[words.index(b'-uuid') + 1] == uuid.encode() and (
                b'qemu' in words[0] or b'kvm' in words[0]):
            found.append(int(entry.name))
    if len(found) != 1:
        raise Unclosable(f'{len(found) or "no"} QEMU processes with -uuid {uuid} are seen here; '
                         'this takes the process namespace of the host')
    return found[0]


def close(uuid: str, addresses: Collection[str]) -> list[str]:
    """Close the connections on which a domain's migration hangs; returns them as text.

    Empty where none hangs.

    :param uuid: the domain's
    :param addresses: of the destination
    :raises Unclosable: it cannot be found out, or the kernel does not do it
    """
    found = stuck(list(parsed(_ss('-Htanp'))), qemu_of(uuid), addresses)
    closed = [one for one in found
              if _ss('-HtnK', 'src', one.local, 'dst', one.peer).strip()]
    if found and not closed:
        raise Unclosable('ss -K closed nothing; the kernel may lack CONFIG_INET_DIAG_DESTROY')
    return [f'{one.local} to {one.peer} ({one.queued} bytes unsent)' for one in closed]


def _ss(*words: str) -> str:
    try:
        done = subprocess.run(['ss', *words], capture_output=True, text=True, check=True,
                              timeout=TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        said = typing.cast(str, getattr(error, 'stderr', '') or '').strip()
        raise Unclosable(f'{said or error}; this takes ss (package iproute2)') from error
    return done.stdout
