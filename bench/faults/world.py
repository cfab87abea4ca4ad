# SPDX-License-Identifier: Apache-2.0
"""The stack that faults happen to: its servers, its parts by name, and what is seen of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
import contextlib
import dataclasses
import functools
import os
import pathlib
import shutil
import signal
import tempfile
import time
from typing import Any

from keystoneauth1 import exceptions
import libvirt

from bench.faults import judge
from bench.faults import plan as plan_mod
from bench.faults import watch as watch_mod
from lab import client as lab_client
from lab import guests
from lab import jobs
from lab import libvirtd
from lab import machine
from lab import needs
from lab.openstack import databases
from lab.openstack import services
from lab import stack as lab_stack
from nova_migpolicy import exception
from nova_migpolicy import written

MEMORY_MIB = 96
CAP_MIB_S = 30
#: in the phase of disks there is something to be copied for some seconds
DISK_MIB = 192
#: while post-copy is to last
SLOW_MIB_S = 5
GUESTS = {'idle': guests.Guest(kind='idle', memory_mib=MEMORY_MIB),
          'busy': guests.Guest(kind='sweep', memory_mib=MEMORY_MIB, set_mib=32, rate_mib_s=50)}
POLICIES = ('post_copy', 'pause')
#: a freeze of 15 s is longer than that
SERVICE_DOWN_S = 12
CONTROL_CONF = {'DEFAULT': {'service_down_time': SERVICE_DOWN_S}}
_COMPUTE_CONF = {'libvirt': {'live_migration_bandwidth': CAP_MIB_S},
                 'migpolicy': {'link_mib_s': 100}}
_SERVES = 'Join ServiceGroup membership'
_ANSWER_S = 60.0
_REFUSED = (exceptions.ClientException, needs.LabError)


def nova_conf(driver: str, *, is_resumed: bool = False) -> dict[str, dict[str, Any]]:
    """Return the options of the computes; stock Nova has its post-copy from there."""
    conf = {**_COMPUTE_CONF, 'DEFAULT': {'resume_guests_state_on_host_boot': is_resumed,
                                         'service_down_time': SERVICE_DOWN_S}}
    if driver == 'stock':
        conf = {**conf, 'libvirt': {**conf['libvirt'], 'live_migration_permit_post_copy': True}}
        conf.pop('migpolicy')
    return conf


@dataclasses.dataclass
class Run:
    """One server, its migration and what is known of it."""

    plan: plan_mod.Plan
    server: str
    watch: watch_mod.Watch
    migration: int = 0
    uuid: str = ''
    destroyed: bool = False
    halved: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)

    def note(self, text: str) -> None:
        """Write down what has happened, and when."""
        self.notes.append(f'{time.monotonic() - self.watch.began_s:7.2f} s  {text}')

    def history(self) -> judge.History:
        """What has been seen all the time."""
        return self.watch.history(destroyed=self.destroyed, halved=self.halved)


class World:
    """A stack that is up, whose computes are mortal."""

    def __init__(self, stack: lab_stack.Stack) -> None:
        self.stack = stack
        self.admin = stack.client()
        self._images: dict[tuple[str, bool], str] = {}
        self._flavors: dict[str, str] = {}
        self._full: set[str] = set()

    # Servers.

    def prepare(self, plan: plan_mod.Plan) -> Run:
        """Boot the server of a plan, and wait until its guest works."""
        for name in plan_mod.HOSTS:
            self.stack.configure(nova_conf(self.stack.driver, is_resumed=plan.is_resumed), [name])
        if plan.fault is plan_mod.Fault.DISK_FULL:
            self._mount_small(plan.destination)
        server = self.admin.boot(
            f'fault-{plan.number}', self._image(plan), self._flavor(plan.policy),
            host=plan.source)
        try:
            self.admin.wait_server(server)
            run = Run(plan, server, watch_mod.Watch(self.stack, server, plan))
        except BaseException:
            self.remove(server)
            raise
        if not run.watch.beats.wait_for_beats(20):
            run.watch.stop()
            self.remove(server)
            raise needs.LabError(f'the guest of server {server} does not beat')
        return run

    def migrate(self, run: Run) -> None:
        """Ask for the migration of a plan."""
        run.migration = self.admin.live_migrate(run.server, run.plan.destination)
        run.uuid = str(self.admin.migration(run.server, run.migration)['uuid'])
        run.note(f'migration {run.migration} of {run.server} to {run.plan.destination}')

    def status(self, run: Run) -> str:
        """Return Nova's word for the migration; '' where it has none."""
        try:
            return str(self.admin.migration(run.server, run.migration)['status'])
        except _REFUSED:
            return ''

    def job(self, run: Run) -> dict[str, Any]:
        """Return libvirt's statistics of the migration's job; nothing where there is none."""
        try:
            domain = self.stack.hosts[run.plan.source].connect().lookupByUUIDString(run.server)
            return jobs.sending(domain) or {}
        except (libvirt.libvirtError, needs.LabError):
            return {}

    def see(self, run: Run) -> judge.Seen:
        """Look at everything once."""
        running, defined, silent = [], [], []
        for name in plan_mod.HOSTS:
            found = self._domains(name)
            if found is None:
                silent.append(f'libvirt on {name}')
            elif run.server in found:
                defined.append(name)
                running += [name] * found[run.server]
        try:
            nova = self._of_nova(run)
        except _REFUSED as error:
            silent.append(f'{type(error).__name__}: {str(error)[:200]}')
            nova = {}
        records = self._records(run)
        held = [one.undecided for one in records if one.undecided]
        return judge.Seen(
            running=tuple(running), defined=tuple(defined), job=bool(self.job(run)),
            beating=run.watch.beating(), silent=tuple(silent), records=len(records),
            hold=judge.Hold(held[0]['kind'], held[0]['reason']) if held else None,
            files=tuple(name for name in plan_mod.HOSTS
                        if (self._instances(name) / run.server).exists()), **nova)

    def _of_nova(self, run: Run) -> dict[str, Any]:
        found: dict[str, Any] = {
            'allocations': tuple(self.admin.allocations(run.server)),
            'of_the_migration': tuple(self.admin.allocations(run.uuid)) if run.uuid else ()}
        try:
            server = self.admin.server(run.server)
        except exceptions.NotFound:
            return found
        return {**found, 'migration': self.status(run), 'server': (
            server['status'], server['OS-EXT-STS:task_state'],
            server['OS-EXT-SRV-ATTR:host'], server['locked'])}

    def _domains(self, host: str) -> dict[str, bool] | None:
        """Return the domains that a host knows and whether each runs; None if it is silent."""
        try:
            connection = self.stack.hosts[host].connect()
            return {domain.UUIDString(): domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
                    for domain in connection.listAllDomains()}
        except (libvirt.libvirtError, needs.LabError):
            return None

    def _records(self, run: Run) -> list[Any]:
        found = []
        for name in plan_mod.HOSTS:
            with contextlib.suppress(exception.MigPolicyError):
                folder = written.Records(self.stack.state_path(name) / written.FOLDER)
                found += [one for one in folder.look()[0] if one.server == run.server]
        return found

    def _image(self, plan: plan_mod.Plan) -> str:
        is_big = plan.phase is plan_mod.Phase.DISKS
        key = (plan.guest, is_big)
        if key not in self._images:
            with tempfile.TemporaryDirectory() as folder:
                path = GUESTS[plan.guest].image(pathlib.Path(folder) / 'guest.raw',
                                                DISK_MIB if is_big else 1)
                self._images[key] = self.admin.image(f'faults-{key}', path)
        return self._images[key]

    def _flavor(self, policy: str) -> str:
        if policy not in self._flavors:
            keys = {'remedies': 'none', 'on_stall': 'continue', 'timeout_seconds': 600,
                    'on_timeout': policy, 'max_downtime_ms': 500}
            self._flavors[policy] = self.admin.flavor(
                f'faults-{policy}-{os.getpid()}', MEMORY_MIB, disk_gib=0,
                extra_specs={f'migpolicy:{key}': value for key, value in keys.items()})
        return self._flavors[policy]

    # Parts.

    def node(self, name: str) -> machine.Machine:
        """Return the machine of a host, or the controller ('ctl')."""
        return self.stack.hosts.ctl if name == 'ctl' else self.stack.hosts[name].machine

    def send(self, name: str, program: str, number: signal.Signals) -> list[int]:
        """Send a signal to all processes of a program in a machine."""
        pids = services.find_all(self.node(name), program)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def end(self, name: str, program: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a program in a machine, and wait until it is gone."""
        self.send(name, program, number)
        lab_client.wait(lambda: services.find_all(self.node(name), program),
                        lambda pids: not pids, 30, f'{program} on {name} to be gone')

    def freeze(self, name: str, program: str) -> None:
        """Stop a program in a machine, as it is."""
        self.send(name, program, signal.SIGSTOP)

    def thaw(self, name: str, program: str) -> None:
        """Let it go on."""
        for pid in self.send(name, program, signal.SIGCONT):
            # What waits for it outside of the machine stopped together with it.
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
                parent = int(stat.rsplit(')', 1)[1].split()[1])
                if pathlib.Path(f'/proc/{parent}/comm').read_text().strip() == 'nsenter':
                    os.kill(parent, signal.SIGCONT)

    def is_up(self, name: str, program: str) -> bool:
        """Whether a program runs in a machine."""
        return bool(services.find(self.node(name), program))

    def start_libvirtd(self, host: str) -> None:
        """Start a host's libvirtd, and wait until it answers."""
        libvirtd.start(self.node(host))
        self.stack.hosts[host].connect()

    def start_computes(self, hosts: Iterable[str]) -> None:
        """Start the nova-computes of hosts, and wait until they serve."""
        at = {name: _size(self.stack.log(name)) for name in hosts}
        for name in at:
            self.stack.start_compute(name)
        for name, size in at.items():
            self.stack.services.wait(
                f'nova-{name}', functools.partial(self._serves, name, size))

    def _serves(self, host: str, size: int) -> bool:
        return _SERVES in _since(self.stack.log(host), size)

    def start_rabbitmq(self) -> None:
        """Start RabbitMQ, and wait until it listens."""
        self.stack.services.rabbitmq()
        self.stack.services.wait('rabbitmq', lambda: not self.stack.hosts.ctl.run(
            ['bash', '-c', 'exec 3<>/dev/tcp/10.76.0.1/5672'], check=False).returncode)

    def start_database(self) -> None:
        """Start MariaDB, and wait until it answers."""
        databases.start(self.stack.services)

    def start_conductor(self) -> None:
        """Start the conductor."""
        self.stack.services.nova(self.node('ctl'), 'nova-conductor', 'conductor')

    def force_down(self, host: str, is_down: bool) -> None:
        """Say of a host's nova-compute that it is down, as who fences hosts does, or not."""
        [found] = [one for one in self.admin.services()
                   if (one['binary'], one['host']) == ('nova-compute', host)]
        self.admin.compute('PUT', f'/os-services/{found["id"]}', json={'forced_down': is_down})

    def act(self, server: str, **action: Any) -> None:
        """Ask Nova for an action on a server."""
        self.admin.compute('POST', f'/servers/{server}/action', json=action)

    # The destination's disk.

    def _mount_small(self, host: str) -> None:
        """Give a host that has no server a small disk for them."""
        node, disk = self.node(host), self.stack.work / host / 'small.ext4'
        if host in self._full:
            return
        with open(disk, 'wb') as file:
            file.truncate((3 * DISK_MIB + 64) << 20)
        node.run(['mkfs.ext4', '-q', '-F', str(disk)])
        node.run(['mount', '-o', 'loop', str(disk), str(self.stack.where.instances)])
        self._full.add(host)

    def fill(self, host: str) -> None:
        """Leave no space on a host's small disk."""
        self.node(host).run(['dd', 'if=/dev/zero', 'bs=1M', 'status=none', f'of={self._filler}'],
                            check=False)

    def unfill(self, host: str) -> None:
        """Free the space again."""
        self.node(host).run(['rm', '-f', self._filler])

    @property
    def _filler(self) -> str:
        return str(self.stack.where.instances / 'filler')

    def _instances(self, host: str) -> pathlib.Path:
        return self.node(host).path(str(self.stack.where.instances))

    # Repair.

    def repair(self, run: Run) -> list[str]:
        """Undo the fault and remove the server; say what took force.

        :raises LabError: it cannot be done; a new stack is needed
        """
        run.watch.stop()
        forced = self._undo()
        forced += self.remove(run.server)
        for host in sorted(self._full):
            self.node(host).run(['umount', '-l', str(self.stack.where.instances)])
        self._full.clear()
        if forced:
            for name in plan_mod.HOSTS:
                self.end(name, 'nova-compute')
            self.start_computes(plan_mod.HOSTS)
        self.stack.wait_computes()
        return forced

    def _undo(self) -> list[str]:
        forced = []
        for name in plan_mod.HOSTS:
            self.stack.death(name).unlink(missing_ok=True)
            self.thaw(name, 'nova-compute')
            self.stack.hosts.mend(name)
            self.stack.hosts.shape(name)
            if name in self._full:
                self.unfill(name)
        self.thaw('ctl', 'mariadbd')
        starts: dict[tuple[str, str], Callable[[], None]] = {
            ('ctl', 'mariadbd'): self.start_database, ('ctl', 'beam.smp'): self.start_rabbitmq,
            ('ctl', 'nova-conductor'): self.start_conductor}
        for name in plan_mod.HOSTS:
            starts[name, 'libvirtd'] = functools.partial(self.start_libvirtd, name)
        for name in plan_mod.HOSTS:
            starts[name, 'nova-compute'] = functools.partial(self.start_computes, [name])
        for (name, program), start in starts.items():
            if not self.is_up(name, program):
                forced.append(f'{program} on {name} was started')
                start()
        for one in self.admin.services():
            if one['binary'] == 'nova-compute' and one.get('forced_down'):
                self.force_down(one['host'], False)
        return forced

    def remove(self, server: str) -> list[str]:
        """Remove a server, by Nova if that works; say what took force."""
        forced = []
        for state in ('', 'error'):
            try:
                self._delete(server, state)
                break
            except exceptions.NotFound:
                break
            except _REFUSED as error:
                forced.append(f'deleting it: {str(error)[:200]}')
        for name in plan_mod.HOSTS:
            forced += self._clear(name, server)
        return forced

    def _delete(self, server: str, state: str) -> None:
        if self.admin.server(server)['locked']:
            self.act(server, unlock=None)
        if state:
            self.act(server, **{'os-resetState': {'state': state}})
        self.admin.compute('DELETE', f'/servers/{server}')
        lab_client.wait(lambda: self._exists(server), lambda there: not there,
                        20 / needs.PATIENCE, f'server {server} to be gone')

    def _exists(self, server: str) -> bool:
        try:
            self.admin.server(server)
        except exceptions.NotFound:
            return False
        return True

    def _clear(self, host: str, server: str) -> list[str]:
        forced = []
        for domain in self.stack.hosts[host].connect().listAllDomains():
            forced.append(f'domain {domain.UUIDString()} on {host} was removed')
            with contextlib.suppress(libvirt.libvirtError):
                domain.destroy()
            with contextlib.suppress(libvirt.libvirtError):
                domain.undefine()
        files = self._instances(host) / server
        if files.exists():
            forced.append(f'files on {host} were removed')
            shutil.rmtree(files, ignore_errors=True)
        folder = self.stack.state_path(host) / written.FOLDER
        for path in folder.glob(f'*{written.SUFFIX}') if folder.exists() else ():
            forced.append(f'record {path.name} on {host} was removed')
            path.unlink(missing_ok=True)
        return forced


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _since(path: pathlib.Path, at: int) -> str:
    if not path.exists():
        return ''
    with open(path, errors='replace') as file:
        file.seek(at)
        return file.read()


def logs_since(stack: lab_stack.Stack, sizes: dict[pathlib.Path, int]) -> dict[str, str]:
    """Return what each of Nova's logs has had since it was of these sizes."""
    return {path.name: _since(path, sizes.get(path, 0)) for path in logs(stack)}


def logs(stack: lab_stack.Stack) -> list[pathlib.Path]:
    """Return Nova's logs, and libvirt's and QEMU's of both hosts."""
    found = sorted(stack.where.log.glob('nova-*.log'))
    for name in plan_mod.HOSTS:
        found += sorted((stack.hosts[name].machine.folder / 'log').glob('libvirtd.log'))
    return found


def sizes(stack: lab_stack.Stack) -> dict[pathlib.Path, int]:
    """Return how long each of the logs is now."""
    return {path: _size(path) for path in logs(stack)}
