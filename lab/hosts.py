# SPDX-License-Identifier: Apache-2.0
"""Hosts with libvirt and QEMU on one machine, joined by links that can be shaped.

    with hosts.Hosts(work) as lab:
        lab.shape('n1', rate_mib_s=50)
        connection = lab['n1'].connect()

A host's images folder is its own (`block`: a migration copies the disks), or one for all
(`shared`; libvirt calls that unsafe, as the file system is a local one, so such a migration is
started with the flag UNSAFE). What runs is found again by looking, see lab.machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import contextlib
import json
import pathlib
from typing import Any
from typing import Literal

import libvirt

from lab import libvirtd
from lab import link
from lab import machine
from lab import needs
from lab import trixie
from lab import turns
from lab import workdir

Storage = Literal['block', 'shared']
Flavour = Literal['bookworm', 'trixie']
_STATE = 'lab.json'
# libvirt's own range for what QEMU sends, memory and disks.
MIGRATION_PORTS = '49152:49215'


class Host:
    """One host: a machine with a libvirtd."""

    def __init__(self, node: machine.Machine, flavour: Flavour) -> None:
        self.machine = node
        self.flavour = flavour
        self.name = node.name
        self.address = node.address
        self._connection: libvirt.virConnect | None = None

    def connect(self) -> libvirt.virConnect:
        """Return this process's connection to the host's libvirtd; waits while it starts."""
        if self._connection is None or not self._connection.isAlive():
            self._connection = libvirtd.connect(self.machine)
        return self._connection

    def another_connection(self) -> libvirt.virConnect:
        """Return a connection of the caller's own: for a call that takes long."""
        return libvirtd.connect(self.machine)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                self._connection.close()
            self._connection = None

    @property
    def uri(self) -> str:
        """Where another host's libvirtd reaches this one's."""
        return f'qemu+tcp://{self.address}/system'

    @property
    def images(self) -> pathlib.Path:
        """The images folder, as seen from outside."""
        return self.machine.binds[libvirtd.IMAGES]

    @property
    def consoles(self) -> pathlib.Path:
        """The folder of the guests' serial logs, as seen from outside."""
        return self.machine.folder / 'log/consoles'


class Hosts:
    """The hosts of a work folder, and the switch between them.

    :param work: work folder, by default .lab in the checkout
    :param names: host names; their addresses are 10.77.0.11, .12, ... in this order
    :param storage: 'block' or 'shared', see the module
    :param flavour: 'bookworm' (libvirt and QEMU of the real system) or 'trixie' (Debian 13's)
    :param binds: for a host name, more to bind over: inside -> outside
    :param say: called with a line when up() has to wait for something
    """

    def __init__(self, work: pathlib.Path | None = None, names: Sequence[str] = ('n1', 'n2'),
                 storage: Storage = 'block', flavour: Flavour = 'bookworm',
                 binds: Mapping[str, Mapping[str, pathlib.Path]] | None = None,
                 say: turns.Say = turns.say_nothing) -> None:
        self.work = (work or workdir.DEFAULT).resolve()
        self.storage = storage
        self.flavour = flavour
        self._binds = binds or {}
        self._say = say
        self.ctl = machine.Machine(self.work, machine.SWITCH, link.address(0))
        self._hosts = {name: self._make(name, number) for number, name in enumerate(names, 1)}

    def __getitem__(self, name: str) -> Host:
        """Return a host by name.

        :raises LabError: if there is none
        """
        try:
            return self._hosts[name]
        except KeyError:
            known = ', '.join(self._hosts)
            raise needs.LabError(f'no host {name}; there is {known}') from None

    def __enter__(self) -> Hosts:
        return self.up()

    def __exit__(self, *exc: object) -> None:
        self.down()

    @property
    def names(self) -> list[str]:
        """The hosts' names, in the order of their addresses."""
        return list(self._hosts)

    def up(self) -> Hosts:
        """Bring the hosts up, after cleaning what an earlier lab of this folder left.

        :raises LabError: saying what is missing, or what failed; nothing is left running then
        """
        needs.require(needs.check_hosts())
        with workdir.locked(self.work):
            workdir.clean(self.work)
            if self.flavour == 'trixie':
                trixie.prepare(self._say)
            try:
                self._start()
            except BaseException:
                workdir.clean(self.work)
                raise
        return self

    def down(self) -> None:
        """Stop everything and remove the files; the cache stays."""
        for host in self._hosts.values():
            host.close()
        workdir.down(self.work)

    def shape(self, name: str, *, rate_mib_s: float | None = None,
              delay_ms: float | None = None) -> None:
        """Slow the link of a host; without values it is fast again. See lab.link.shape."""
        link.shape(self[name].machine, self.ctl, rate_mib_s=rate_mib_s, delay_ms=delay_ms)

    def cut(self, name: str) -> None:
        """Pull a host's cable: packets are lost, no connection is closed."""
        link.cut(self[name].machine, self.ctl)

    def mend(self, name: str) -> None:
        """Plug a host's cable in again."""
        link.mend(self[name].machine, self.ctl)

    def drop(self, name: str) -> None:
        """Lose what a host's QEMU sends to another's, and its answers; libvirt's own goes on."""
        link.drop(self[name].machine, MIGRATION_PORTS)

    def deliver(self, name: str) -> None:
        """Undo drop."""
        link.deliver(self[name].machine, MIGRATION_PORTS)

    def _make(self, name: str, number: int) -> Host:
        root = trixie.tree() if self.flavour == 'trixie' else None
        node = machine.Machine(self.work, name, link.address(number), root=root)
        return Host(node, self.flavour)

    def _start(self) -> None:
        self.ctl.start()
        link.make_switch(self.ctl)
        for host in self._hosts.values():
            node = host.machine
            node.folder.mkdir(parents=True, exist_ok=True)
            images = self.work / 'shared' if self.storage == 'shared' else node.folder / 'images'
            node.binds = {**libvirtd.folders(node.folder, node.root, images),
                          **self._binds.get(node.name, {})}
            libvirtd.configure(node)
            node.start()
            link.plug(node, self.ctl)
            libvirtd.start(node)
        _write_state(self)
        for host in self._hosts.values():
            host.connect()


def attach(work: pathlib.Path | None = None) -> Hosts:
    """Return the hosts that are up in a work folder.

    :raises LabError: if none are
    """
    work = (work or workdir.DEFAULT).resolve()
    try:
        state: dict[str, Any] = json.loads((work / _STATE).read_text())
    except FileNotFoundError:
        raise needs.LabError(f'no lab is up in {work}; start one with: python -m lab up') from None
    lab = Hosts(work, state['names'], state['storage'], state['flavour'])
    for name, binds in state['binds'].items():
        lab[name].machine.binds = {inside: pathlib.Path(out) for inside, out in binds.items()}
    return lab


def _write_state(lab: Hosts) -> None:
    binds = {name: {inside: str(out) for inside, out in lab[name].machine.binds.items()}
             for name in lab.names}
    (lab.work / _STATE).write_text(json.dumps({
        'names': lab.names, 'storage': lab.storage, 'flavour': lab.flavour, 'binds': binds}))
