# SPDX-License-Identifier: Apache-2.0
"""Names of the lab's OpenStack: addresses, ports, folders, programs. Nothing is run or written."""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
import os
import pathlib
import sys

from lab import needs

#: the network of RPC, databases and HTTP; migrations have the hosts' own link for themselves
CONTROLLER = '10.76.0.1'
PREFIX = 24
PORTS = {'keystone': 5000, 'placement': 8778, 'glance': 9292, 'neutron': 9696, 'nova-api': 8774}
AUTH_URL = f'http://{CONTROLLER}:5000/v3'
TRANSPORT = f'rabbit://guest:guest@{CONTROLLER}:5672/'
PASSWORD = 'secret'
#: as whom all services, and the lab itself, use the databases
DATABASE_USER, DATABASE_PASSWORD = 'os', 'os'
REGION = 'RegionOne'
#: user -> project and role; all have the same password
USERS = {'admin': ('admin', 'admin'), 'manager': ('demo', 'manager'),
         'member': ('demo', 'member'), 'reader': ('demo', 'reader'),
         'stranger': ('other', 'manager')}
RELEASES = ('31', '32', '33', '34')
NEWEST = '34'
#: releases whose nova-api runs under eventlet unless it is told not to
GREEN_API = ('31', '32')
#: what api-paste.ini names, right before the application that answers
API_FILTER = 'egg:nova_migpolicy'
DRIVERS = {'migpolicy': 'migpolicy.LibvirtDriver', 'stock': 'libvirt.LibvirtDriver'}


#: `data`, `etc` and `venv` as all machines see them, too, for programs that take no path with a
#: space: the scripts of MariaDB and RabbitMQ, neutron's migrations, privsep
DATA = pathlib.Path('/run/data')
ETC = pathlib.Path('/run/etc')
VENV = pathlib.Path('/run/venv')


def host_address(number: int) -> str:
    """Return the n-th compute's address on the controller's network."""
    return f'10.76.0.{10 + number}'


def database(name: str) -> str:
    """Return the address of a database, as SQLAlchemy wants it."""
    return f'mysql+pymysql://{DATABASE_USER}:{DATABASE_PASSWORD}@{CONTROLLER}/{name}'


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the stack of one work folder keeps its things.

    :param work: the lab's work folder
    :param nova: release of Nova, '31' to '34'
    :param threads: native threads (True), eventlet (False), or what the release does (None)
    :raises LabError: on an unknown release, or one that is not installed
    """

    work: pathlib.Path
    nova: str = NEWEST
    threads: bool | None = None

    def __post_init__(self) -> None:
        if self.nova not in RELEASES:
            raise needs.LabError(f'no Nova {self.nova}; there is {", ".join(RELEASES)}')
        if not self.program('nova-compute').exists():
            raise needs.LabError(
                f'{self.venv} has no OpenStack in it; run tools/setup and use .venv/bin/python')
        if not self.paste.exists():
            raise needs.LabError(f'Nova {self.nova} is not installed; run tools/setup '
                                 f'nova{self.nova}')

    @property
    def venv(self) -> pathlib.Path:
        """The virtual environment that all services run from: this interpreter's own."""
        return pathlib.Path(sys.prefix)

    @property
    def overlay(self) -> pathlib.Path | None:
        """The folder with an older Nova, to be put before the virtual environment's."""
        return None if self.nova == NEWEST else self.venv / f'nova-{self.nova}'

    @property
    def paste(self) -> pathlib.Path:
        """Nova's api-paste.ini of this release."""
        return (self.overlay or self.venv) / 'etc/nova/api-paste.ini'

    @property
    def etc(self) -> pathlib.Path:
        """The configuration files."""
        return self.work / 'etc'

    @property
    def log(self) -> pathlib.Path:
        """The log files."""
        return self.work / 'log'

    @property
    def data(self) -> pathlib.Path:
        """What the control services store: databases, images, queues."""
        return self.work / 'data'

    @property
    def instances(self) -> pathlib.Path:
        """Nova's instances_path; each host has its own folder mounted there."""
        return self.work / 'instances'

    def state(self, machine: str) -> pathlib.Path:
        """Return the state_path of Nova's services on a machine."""
        return self.work / machine / 'nova'

    def host_instances(self, host: str) -> pathlib.Path:
        """Return what a host sees as instances_path, as it is called outside."""
        return self.work / host / 'instances'

    def make_folders(self, machines: Iterable[str]) -> None:
        """Make the folders that the services on these machines expect."""
        for path in (self.etc, self.log, self.instances,
                     *(self.data / name for name in ('images', 'staging', 'tasks')),
                     *map(self.state, machines)):
            path.mkdir(parents=True, exist_ok=True)

    def program(self, name: str) -> pathlib.Path:
        """Return the path of a program of the virtual environment."""
        return self.venv / 'bin' / name

    def conf(self, name: str) -> pathlib.Path:
        """Return the path of a configuration file, such as 'nova/n1.conf'."""
        return self.etc / name

    @property
    def has_green_api(self) -> bool:
        """Whether nova-api runs under eventlet."""
        return self.nova in GREEN_API if self.threads is None else not self.threads

    def environment(self) -> dict[str, str]:
        """Return the environment in which all services run."""
        path = os.pathsep.join((str(self.venv / 'bin'), '/usr/local/sbin', '/usr/local/bin',
                                '/usr/sbin', '/usr/bin', '/sbin', '/bin'))
        found = {'PATH': path, 'HOME': str(self.data), 'LANG': 'C.UTF-8',
                 'PYTHONWARNINGS': 'ignore'}
        if self.overlay:
            found['PYTHONPATH'] = str(self.overlay)
        if self.threads is not None:
            found['OS_NOVA_DISABLE_EVENTLET_PATCHING'] = str(self.threads).lower()
        return found


def openrc(user: str = 'admin') -> dict[str, str]:
    """Return the environment that makes `openstack` and `nova` act as a user.

    :param user: one of USERS
    """
    return {'OS_AUTH_URL': AUTH_URL, 'OS_IDENTITY_API_VERSION': '3', 'OS_USERNAME': user,
            'OS_PASSWORD': PASSWORD, 'OS_PROJECT_NAME': USERS[user][0],
            'OS_USER_DOMAIN_ID': 'default', 'OS_PROJECT_DOMAIN_ID': 'default',
            'OS_REGION_NAME': REGION}
