# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack on the lab's hosts, up in half a minute.

RabbitMQ, MariaDB, keystone, placement, glance, neutron, nova-api, conductor and scheduler run on
the machine `ctl`, and a nova-compute on each host.

    with stack.Stack(work, nova_conf={'libvirt': {'live_migration_bandwidth': 50}}) as lab:
        admin = lab.client()
        ...

It runs from this interpreter's virtual environment, with the plugin or, for comparison, without.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from typing import Any

from keystoneauth1 import exceptions

from lab import client
from lab import hosts
from lab import machine
from lab import needs
from lab.openstack import databases
from lab.openstack import dying
from lab.openstack import layout
from lab.openstack import network
from lab.openstack import services
from lab.openstack import settings
from lab.openstack import switches
from lab import processes
from lab import workdir

NovaConf = Mapping[str, Mapping[str, Any]]
_STATE = 'stack.json'
_PROGRAMS = {'mariadbd': 'mariadb-server', 'mariadb-install-db': 'mariadb-server',
             '/usr/lib/rabbitmq/bin/rabbitmq-server': 'rabbitmq-server'}
_SWITCHES = {'ovs-vswitchd': 'openvswitch-switch', 'ovn-northd': 'ovn-central',
             'ovn-controller': 'ovn-host'}


class Stack:
    """An OpenStack with two or more computes.

    :param work: the lab's work folder, by default .lab in the checkout
    :param driver: 'migpolicy' or 'stock'
    :param nova: '31' to '34'
    :param threads: native threads (True), eventlet (False), or what the release does (None)
    :param names: the computes
    :param nova_conf: sections and options laid over the computes' nova.conf
    :param control_conf: and over that of the API, the conductor and the scheduler
    :param say: called with a line at each step of up()
    """

    def __init__(self, work: pathlib.Path | None = None, *, driver: str = 'migpolicy',
                 nova: str = layout.NEWEST, threads: bool | None = None,
                 names: Sequence[str] = ('n1', 'n2'), nova_conf: NovaConf | None = None,
                 control_conf: NovaConf | None = None,
                 say: Callable[[str], None] = lambda line: None) -> None:
        if driver not in layout.DRIVERS:
            raise needs.LabError(f'no driver {driver}; there is {", ".join(layout.DRIVERS)}')
        self.work = (work or workdir.DEFAULT).resolve()
        self.driver = driver
        self.hosts = hosts.Hosts(self.work, names)
        self.where = layout.Layout(self.work, nova, threads)
        self.services = services.Services(self.where, self.hosts.ctl)
        self.nova_conf: NovaConf = nova_conf or {}
        self.control_conf: NovaConf = control_conf or {}
        # The hosts whose nova-compute dies where the file `death` says, from its next start on.
        self.mortal: frozenset[str] = frozenset()
        #: the network of servers, once they may have ports (`give_ports`)
        self.network: str | None = None
        self._say = say
        self._clients: dict[str, client.Client] = {}

    def __enter__(self) -> Stack:
        return self.up()

    def __exit__(self, *exc: object) -> None:
        self.down()

    def up(self) -> Stack:
        """Bring everything up, after cleaning what an earlier lab of this folder left.

        :raises LabError: saying what is missing or what failed, with the end of the log; nothing
            runs then, and the logs are in cache/failed-logs of the work folder
        """
        needs.require([*needs.check_hosts(), *needs.missing(_PROGRAMS)])
        began = time.monotonic()

        def say(line: str) -> None:
            self._say(f'{time.monotonic() - began:5.1f} s  {line}')

        self.hosts.up()
        try:
            self._start(say)
        except BaseException:
            try:
                self._keep_logs()
            finally:
                self.down()
            raise
        say(f'OpenStack is up: Nova {self.where.nova}, driver {self.driver}')
        return self

    def down(self) -> None:
        """Stop everything and remove the files; the cache stays."""
        self._clients.clear()
        self.hosts.down()

    def status(self) -> list[str]:
        """Return a line for each of Nova's services."""
        return [f'{one["binary"]} on {one["host"]}: {one["state"]}, {one["status"]}'
                for one in self.client().services()]

    def client(self, user: str = 'admin') -> client.Client:
        """Return the client of one of layout.USERS."""
        if user not in self._clients:
            self._clients[user] = client.Client(self.hosts.ctl.pid, user)
        return self._clients[user]

    def cli(self, argv: Sequence[str], user: str = 'admin', *,
            check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `openstack …` or `nova …` as a user, and wait for it.

        :raises LabError: if it fails and check is true
        """
        words, env = self._cli(argv, user)
        return self.hosts.ctl.run(words, check=check, env=env)

    def spawn_cli(self, argv: Sequence[str], log: pathlib.Path,
                  user: str = 'admin') -> processes.Process:
        """Start `openstack …` or `nova …` as a user; what it says is appended to log."""
        words, env = self._cli(argv, user)
        return self.hosts.ctl.spawn(words, log, env=env)

    def _cli(self, argv: Sequence[str], user: str) -> tuple[list[str], dict[str, str]]:
        env = {**self.where.environment(), **layout.openrc(user)}
        return [str(self.where.program(argv[0])), *argv[1:]], env

    def log(self, host: str) -> pathlib.Path:
        """Return the log file of the nova-compute of a host."""
        return self.where.log / f'nova-{host}.log'

    def consoles(self, server: str) -> list[pathlib.Path]:
        """Return where a server's console log is, or would be, on each host in turn.

        Nova removes the one on a host that the server has left.
        """
        return [self.where.host_instances(name) / server / 'console.log'
                for name in self.hosts.names]

    def state_path(self, host: str) -> pathlib.Path:
        """Return the state_path of the nova-compute of a host."""
        return self.where.state(host)

    def configure(self, nova_conf: NovaConf, names: Sequence[str] | None = None, *,
                  driver: str | None = None) -> None:
        """Lay other options over the computes' nova.conf; reload() or restart() makes it act.

        :param nova_conf: replaces what was given before
        :param names: the computes to change, by default all
        :param driver: 'migpolicy' or 'stock', by default as it was
        """
        self.driver = driver or self.driver
        if names is None:
            self.nova_conf = nova_conf
        for number, name in enumerate(self.hosts.names, 1):
            if names is None or name in names:
                sections = settings.compute(self.where, name, number, self.hosts[name].address,
                                            self.driver)
                settings.write(self.where.conf(f'nova/{name}.conf'),
                               settings.merge(sections, nova_conf))

    def reload(self, host: str) -> None:
        """Tell a host's nova-compute to read its configuration again (SIGHUP)."""
        services.send(self.hosts[host].machine, 'nova-compute', signal.SIGHUP)

    def kill_compute(self, host: str) -> None:
        """Kill a host's nova-compute, as a crash would; libvirt and the guests run on."""
        node = self.hosts[host].machine
        for pid in services.find(node, 'nova-compute'):
            os.kill(pid, signal.SIGKILL)
        client.wait(lambda: services.find(node, 'nova-compute'), lambda pids: not pids, 10,
                    f'nova-compute on {host} to die')

    def start_compute(self, host: str) -> None:
        """Start a host's nova-compute, without waiting until it serves."""
        within = [self.where.venv / 'bin/python', dying.__file__, self.death(host)]
        self.services.nova(self.hosts[host].machine, 'nova-compute', host,
                           within if host in self.mortal else ())

    def death(self, host: str) -> pathlib.Path:
        """Return the file that names the place at which a mortal nova-compute dies."""
        return self.state_path(host) / 'dies'

    def restart(self, names: Sequence[str] | None = None) -> None:
        """Kill nova-computes, start them again and wait until they serve.

        :param names: by default all
        """
        chosen = self.hosts.names if names is None else names
        for name in chosen:
            self.kill_compute(name)
            self.log(name).rename(self.log(name).with_suffix('.log.1'))
            self.start_compute(name)
        for name in chosen:
            # Nova shows a service as up for a while after it has gone.
            self.services.wait_logged(f'nova-{name}', 'Join ServiceGroup membership')
        self.wait_computes()

    def wait_computes(self, timeout: float = 90.0) -> None:
        """Wait until all nova-computes report themselves, and placement has what they offer.

        A compute is up before it has written down its inventory, without which no scheduler
        chooses it; and it may have disabled itself while it had no connection to libvirt.
        """
        admin, names = self.client(), set(self.hosts.names)

        def all_up() -> bool:
            try:
                up = {one['hypervisor_hostname'] for one in admin.hypervisors()
                      if (one['state'], one['status']) == ('up', 'enabled')}
                return up == names == admin.offers()
            except exceptions.ClientException:
                return False

        for name in self.hosts.names:
            self.services.wait(f'nova-{name}', all_up, timeout)

    def give_ports(self) -> None:
        """Let servers have ports from now on, which OVN binds, on a network made for them.

        It stays so until the stack is down. Servers without a port are as before.

        :raises LabError: saying what is missing or what failed
        """
        if self.network is not None:
            return
        needs.require(needs.missing(_SWITCHES))
        switches.make(self.services)
        for number, name in enumerate(self.hosts.names, 1):
            switches.plug(self.services, self.hosts[name].machine, number)
        settings.write(self.where.conf('neutron/neutron.conf'),
                       settings.neutron_with_ports(self.where))
        self.services.stop('neutron')
        self._start_neutron()
        self.services.wait_http('neutron')
        self._warm_neutron()
        self.network = self.client().make_network('servers', switches.PHYSICAL_NETWORK)
        client.wait(self.client().chassis, lambda names: names >= set(self.hosts.names), 60,
                    'all hosts to be known to OVN')

    def plugged_into(self, port: str) -> str:
        """Return the host whose switch has a port, as OVN says; '' for none.

        :param port: its id
        """
        return switches.chassis(self.hosts.ctl, port)

    def _start(self, say: Callable[[str], None]) -> None:
        run, node = self.services, self.hosts.ctl
        self.where.make_folders(('ctl', *self.hosts.names))
        self._name_folders(node)
        network.make(node)
        for number, name in enumerate(self.hosts.names, 1):
            self._join(name, number)
        say(f'{len(self.hosts.names)} hosts with libvirt')
        run.rabbitmq()
        settings.write_all(self.where, self.control_conf)
        self.configure(self.nova_conf)
        (self.work / _STATE).write_text(json.dumps({
            'driver': self.driver, 'nova': self.where.nova, 'threads': self.where.threads,
            'names': self.hosts.names, 'nova_conf': self.nova_conf,
            'control_conf': self.control_conf}))
        self._databases(say)
        where = self.where
        run.nova(node, 'nova-conductor', 'conductor')
        # Under eventlet what comes back over the bus reaches the thread alone that asked first.
        workers = {'processes': 2, 'threads': 1} if where.has_green_api else {}
        run.uwsgi('nova-api', 'nova.wsgi.osapi_compute:application', {
            'OS_NOVA_CONFIG_DIR': str(where.conf('nova')),
            'OS_NOVA_CONFIG_FILES': 'api-paste.ini;api.conf'}, **workers)
        run.uwsgi('placement', 'placement.wsgi.api:application', {
            'OS_PLACEMENT_CONFIG_DIR': str(where.conf('placement'))})
        # A compute that asks before the conductor listens tries again only after 10 s.
        run.wait_logged('nova-conductor', 'Starting conductor node')
        for name in self.hosts.names:
            self.start_compute(name)
        run.nova(node, 'nova-scheduler', 'scheduler')
        self._start_neutron()
        run.uwsgi('glance', 'glance.wsgi.api:application', {
            'OS_GLANCE_CONFIG_DIR': str(where.conf('glance'))})
        for name in ('keystone', 'placement', 'glance', 'neutron', 'nova-api'):
            run.wait_http(name)
        say('keystone, placement, glance, neutron and nova-api answer')
        self._warm_neutron()
        self.wait_computes()

    def _start_neutron(self) -> None:
        self.services.uwsgi('neutron', 'neutron.wsgi.api:application', {
            'OS_NEUTRON_CONFIG_DIR': str(self.where.conf('neutron')),
            'OS_NEUTRON_CONFIG_FILES': 'neutron.conf'})

    def _join(self, name: str, number: int) -> None:
        node = self.hosts[name].machine
        self._name_folders(node)
        network.plug(node, self.hosts.ctl, layout.host_address(number))
        # The path must be the same on all hosts, and what is there must not: else Nova would
        # take it for shared storage.
        inside, outside = self.where.instances, self.where.host_instances(name)
        outside.mkdir(parents=True, exist_ok=True)
        node.run(['mount', '--bind', str(outside), str(inside)])

    def _name_folders(self, node: machine.Machine) -> None:
        for outside, inside in ((self.where.data, layout.DATA), (self.where.etc, layout.ETC),
                                (self.where.venv, layout.VENV)):
            node.run(['mkdir', str(inside)])
            node.run(['mount', '--bind', str(outside), str(inside)])

    def _databases(self, say: Callable[[str], None]) -> None:
        kept = databases.cache_folder(self.where)
        with databases.turn(self.where, say):
            restored = databases.restore(self.where, kept)
            if not restored:
                say('making the databases (kept for later runs)')
                databases.create(self.services, kept)
                say('databases; starting the services')
        if restored:
            databases.start(self.services)
            databases.start_keystone(self.services)
            say('databases, from the cache; starting the services')

    def _warm_neutron(self) -> None:
        # neutron 29 answers the first GET /ports with 500 until another resource was asked for,
        # also where that is still being answered.
        def ask() -> list[int]:
            return [self.client().network(path) for path in ('/v2.0/networks', '/v2.0/ports')]

        try:
            client.wait(ask, lambda codes: codes == [200, 200], 10, 'neutron to answer')
        except needs.LabError as error:
            raise needs.LabError(f'{error}{self.services.trouble("neutron")}') from error

    def _keep_logs(self) -> None:
        failed = self.work / workdir.CACHE / 'failed-logs'
        shutil.rmtree(failed, ignore_errors=True)
        if self.where.log.exists():
            shutil.copytree(self.where.log, failed)


def attach(work: pathlib.Path | None = None) -> Stack:
    """Return the stack that is up in a work folder.

    :raises LabError: if none is
    """
    work = (work or workdir.DEFAULT).resolve()
    try:
        state = json.loads((work / _STATE).read_text())
    except FileNotFoundError:
        raise needs.LabError(f'no stack is up in {work}; start one with: '
                             'python -m lab up stack') from None
    return Stack(work, **state)
