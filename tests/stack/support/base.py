# SPDX-License-Identifier: Apache-2.0
"""One OpenStack for all tests of a run, and a test case that leaves it as it was.

Starting it takes 15 to 30 s, so a test class says what it needs and gets the one that is up: the
computes are restarted if another driver or other options are wanted (some 5 s), and only another
release of Nova, or other options of its API, conductor and scheduler, make a new one. Who runs
the tests orders the classes by what they need (`StackTest.needs`), and runs several lanes of them,
each a process with a stack of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import tempfile
from typing import Any, ClassVar

from keystoneauth1 import exceptions
import testtools
from testtools import content

from lab import client as lab_client
from lab import guests
from lab import needs
from lab.openstack import services
from lab import stack as lab_stack
from lab import turns
from lab import workdir
from tests import ending
from tests import folders
from tests import telling

# Those of all lanes and runs: several that start at once are ready as late as the last one.
STARTING = workdir.DEFAULT / workdir.CACHE / 'starting.lock'
#: who has waited so long starts beside the other, which may hang: the turn only saves time
TURN_S = 240.0
# The names of our loggers, and no folder.
_OURS = r'(?<![\w/])nova_migpolicy\.'
HOSTS = ('n1', 'n2')
IDLE = guests.Guest(kind='idle', memory_mib=128)


@functools.cache
def work() -> pathlib.Path:
    """Return the work folder of this run's stack."""
    return folders.unused(folders.STACK) / 'stack'


@dataclasses.dataclass
class _Shared:
    """What is up: one stack, or none."""

    stack: lab_stack.Stack | None = None
    images: dict[Any, str] = dataclasses.field(default_factory=dict)
    count: int = 0

    def get(self, nova: str, threads: bool | None, driver: str,
            nova_conf: lab_stack.NovaConf, ports: bool = False,
            hosts: Sequence[str] = HOSTS,
            control_conf: lab_stack.NovaConf | None = None) -> lab_stack.Stack:
        """Return the stack, made or changed as needed."""
        up = self.stack
        if up is None or (up.where.nova, up.where.threads, tuple(up.hosts.names),
                          up.control_conf) != (nova, threads, tuple(hosts), control_conf or {}):
            self.down()
            up = lab_stack.Stack(work(), driver=driver, nova=nova, threads=threads, names=hosts,
                                 nova_conf=nova_conf, control_conf=control_conf, say=_say)
            with turns.turn(STARTING, _say, 'another OpenStack is starting', most_s=TURN_S):
                up.up()
            self.stack = up
        elif up.driver != driver or up.nova_conf != nova_conf:
            telling.say('restarting the computes')
            up.configure(nova_conf, driver=driver)
            up.restart()
        if ports:
            telling.say('giving ports')
            up.give_ports()
        telling.say()
        return up

    def down(self) -> None:
        """Stop what is up."""
        self.images.clear()
        if self.stack is not None:
            self.stack.down()
            self.stack = None


def _say(line: str) -> None:
    # Without its time, which says nothing to who looks now and then.
    telling.say(line.split(' s  ', 1)[-1])


SHARED = _Shared()
ending.at_end(SHARED.down)


class StackTest(testtools.TestCase):
    """A test in an OpenStack such as its class describes."""

    nova: ClassVar[str] = '34'
    threads: ClassVar[bool | None] = None
    driver: ClassVar[str] = 'migpolicy'
    #: whether servers may have ports; such a stack does for a class without ports as well
    ports: ClassVar[bool] = False
    #: the computes
    hosts: ClassVar[tuple[str, ...]] = HOSTS
    nova_conf: ClassVar[dict[str, dict[str, Any]]] = {}
    #: of the API, the conductor and the scheduler
    control_conf: ClassVar[dict[str, dict[str, Any]]] = {}
    stack: ClassVar[lab_stack.Stack]

    @classmethod
    def needs(cls) -> tuple[str, str]:
        """Return what must be the same for two classes to share a stack, and its settings."""
        return (repr((cls.nova, cls.threads, cls.hosts, cls.control_conf)),
                json.dumps([cls.driver, cls.nova_conf, cls.ports], sort_keys=True))

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if os.geteuid():
            raise cls.skipException('needs root')
        cls.stack = SHARED.get(cls.nova, cls.threads, cls.driver, cls.nova_conf, cls.ports,
                               cls.hosts, cls.control_conf)

    def setUp(self) -> None:
        super().setUp()
        self.admin = self.stack.client()
        self._sizes = {path: path.stat().st_size for path in self._logs()}
        self.addOnException(self._attach_logs)

    def image(self, guest: guests.Guest = IDLE, **properties: object) -> str:
        """Return the id of a guest's image, uploaded at most once."""
        key = (guest, tuple(sorted(properties.items())))
        if key not in SHARED.images:
            with tempfile.TemporaryDirectory() as folder:
                path = guest.image(pathlib.Path(folder) / 'guest.raw')
                SHARED.images[key] = self.admin.image(f'guest-{len(SHARED.images)}', path,
                                                      properties)
        return SHARED.images[key]

    def flavor(self, memory_mib: int, *, disk_gib: int = 1, **keys: object) -> str:
        """Make a flavor with `migpolicy:` keys; it is deleted after the test."""
        SHARED.count += 1
        extra_specs = {f'migpolicy:{key}': value for key, value in keys.items()}
        flavor = self.admin.flavor(f'flavor-{SHARED.count}', memory_mib, disk_gib=disk_gib,
                                   extra_specs=extra_specs)
        self._later(self.admin.compute, 'DELETE', f'/flavors/{flavor}')
        return flavor

    def boot(self, guest: guests.Guest = IDLE, *, image: str | None = None,
             flavor: str | None = None, host: str = 'n1',
             owner: lab_client.Client | None = None, port: bool = False) -> str:
        """Boot a guest and wait until it runs; it is deleted after the test.

        :param owner: a tenant whose server it is to be; it cannot choose the host
        :param port: it gets a port; its class has `ports`
        """
        server = (owner or self.admin).boot(
            self.id().rsplit('.', 1)[-1], image or self.image(guest),
            flavor or self.flavor(guest.memory_mib), host=None if owner else host,
            network=self.stack.network if port else None)
        self._later(self._delete, server)
        self.admin.wait_server(server)
        return server

    def migrate(self, server: str, timeout: float = 60.0) -> dict[str, Any]:
        """Live-migrate a server to its end, and wait until Nova has settled."""
        migration = self.admin.live_migrate(server)
        found = self.admin.wait_migration(server, migration, timeout=timeout)
        self.admin.wait_server(server)
        return found

    def wait_logged(self, host: str, text: str, timeout: float = 30.0) -> None:
        """Wait until a host's nova-compute has logged something."""
        lab_client.wait(lambda: self.stack.log(host).read_text(errors='replace'),
                        lambda log: text in log, timeout, f'{text!r} in the log of {host}')

    def _later(self, call: Callable[..., object], *args: object) -> None:
        """Call after the test, unless the stack has gone by then."""
        self.addCleanup(lambda: SHARED.stack is self.stack and call(*args))

    def _delete(self, server: str) -> None:
        # Whatever the test left: a migration still under way goes first.
        with contextlib.suppress(exceptions.ClientException, needs.LabError):
            under_way = self.admin.progress(server)
            if under_way:
                self.admin.abort(server, under_way['id'])
                self.admin.wait_migration(server, under_way['id'], timeout=30)
        with contextlib.suppress(exceptions.NotFound):      # the test has deleted it
            self.admin.delete(server)

    def _logs(self) -> list[pathlib.Path]:
        return sorted(self.stack.where.log.glob('nova-*.log'))

    def _attach_logs(self, exc_info: Any) -> None:
        for path in self._logs():
            with open(path, errors='replace') as log:
                log.seek(min(self._sizes.get(path, 0), path.stat().st_size))
                text = services.noteworthy(log.read(), _OURS)
            if text:
                self.addDetail(f'log {path.name}', content.text_content(text))
