# SPDX-License-Identifier: Apache-2.0
"""One storm on a stack that is up: its guests are booted, moved at once, watched and removed."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
import time
from typing import Any

from keystoneauth1 import exceptions

from bench.storm import plan
from bench.storm import result
from bench.storm import watch as watch_mod
from lab import client as lab_client
from lab import heartbeat
from lab import needs
from lab import stack as lab_stack
from lab import workdir

#: between two questions to Nova's API; each takes a busy machine a tenth of a second
LOOK_S = 2.0
#: between two lines about how far it is
TELL_S = 15.0
#: what was cancelled is over by then
CANCEL_S = 120.0
#: a guest is moved when it has beaten that often
FIRST_BEATS = 100
#: so many requests are on their way to Nova at once, as its API has threads
ASKING = 4
#: from where to where a guest goes before the storm
WARM_UP = (('n1', 'n2'), ('n2', 'n1'), ('n3', 'n1'))
Say = Callable[[str], None]


@dataclasses.dataclass
class _Server:
    """A guest of the storm as a server; times are of time.monotonic."""

    load: plan.Load
    source: str
    uuid: str
    beats: heartbeat.Beats
    asked_s: float = 0.0
    migration: int = 0
    status: str = ''
    settled_s: float | None = None
    overdue: bool = False


class Site:
    """A stack whose destination has a slow link, and what its servers are made from."""

    def __init__(self, stack: lab_stack.Stack) -> None:
        self.stack = stack
        self.admin = stack.client()
        self._made: dict[str, tuple[str, str]] = {}
        stack.hosts.shape(plan.DESTINATION, rate_mib_s=plan.LINK_MIB_S)

    def set(self, config: plan.Config) -> None:
        """Start the nova-computes anew with other options, and with nothing learnt of the link."""
        self.stack.configure(config.nova_conf(), driver=config.driver)
        for name in plan.HOSTS:
            self.stack.kill_compute(name)
            (self.stack.state_path(name) / 'migpolicy/links.json').unlink(missing_ok=True)
        self.stack.restart()

    def warm_up(self) -> None:
        """Migrate a guest from each host: a nova-compute's first migration takes longer.

        None of them goes to the destination of the storm, so that nothing is learnt of its link.
        """
        image, flavor = self._make(plan.LOADS[0])
        servers = [(self.admin.boot(f'warm-up-{source}', image, flavor, host=source), to)
                   for source, to in WARM_UP]
        for server, _ in servers:
            self.admin.wait_server(server)
        moved = [(server, self.admin.live_migrate(server, to)) for server, to in servers]
        for server, migration in moved:
            self.admin.wait_migration(server, migration, status={'completed'})
            self.admin.wait_server(server)
        self.remove()

    def boot(self, config: plan.Config, loads: Sequence[plan.Load]) -> list[str]:
        """Boot the guests, each at its source; returns the servers."""
        servers: list[str] = []
        for number, load in enumerate(loads):
            image, flavor = self._make(load)
            servers.append(self.admin.boot(f'{config.name}-{load.name}', image, flavor,
                                           host=plan.source(number)))
        for server in servers:
            self.admin.wait_server(server)
        return servers

    def keep(self, config: plan.Config) -> None:
        """Keep what Nova has logged and its computes have written down, in the cache."""
        folder = self.stack.work / workdir.CACHE / f'storm-{config.name}'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for log in self.stack.where.log.glob('nova-*.log'):
            shutil.copy(log, folder)
        for name in plan.HOSTS:
            journals = self.stack.state_path(name) / 'migpolicy/journal'
            if journals.exists():
                shutil.copytree(journals, folder / f'journal-{name}')

    def remove(self) -> None:
        """Delete all servers, and wait until they are gone."""
        def left() -> list[str]:
            found = self.admin.compute('GET', '/servers?all_tenants=1')['servers']
            return [str(one['id']) for one in found]

        for server in left():
            with contextlib.suppress(exceptions.NotFound):
                self.admin.compute('DELETE', f'/servers/{server}')
        lab_client.wait(left, lambda found: not found, 60, 'the servers to be gone')

    def _make(self, load: plan.Load) -> tuple[str, str]:
        """Return the image and the flavor of a guest."""
        if load.name not in self._made:
            with tempfile.TemporaryDirectory() as folder:
                path = load.guest.image(pathlib.Path(folder) / 'guest.raw')
                self._made[load.name] = (
                    self.admin.image(load.name, path),
                    self.admin.flavor(load.name, load.guest.memory_mib, disk_gib=0))
        return self._made[load.name]


def play(site: Site, config: plan.Config, loads: Sequence[plan.Load], timeout_s: float,
         say: Say) -> result.Storm:
    """Play one storm; the computes are set for it. Its servers stay.

    :param timeout_s: from the first request; what is not over by then is cancelled
    :raises LabError: a guest does not boot, or a cancelled migration does not end
    """
    try:
        site.warm_up()
        say('warm')
        uuids = site.boot(config, loads)
        with _following(site.stack, uuids) as crowd:
            servers = [_Server(load, plan.source(number), uuids[number], crowd.guests[number])
                       for number, load in enumerate(loads)]
            for one in servers:
                if not one.beats.wait_for_beats(FIRST_BEATS):
                    raise needs.LabError(f'{one.load.name} on {one.source} does not beat')
            say(f'{len(servers)} guests beat; moving all to {plan.DESTINATION}')
            return _Play(site, config, servers, timeout_s, say).run()
    finally:
        site.keep(config)


@contextlib.contextmanager
def _following(stack: lab_stack.Stack, servers: Sequence[str]) -> Iterator[heartbeat.Crowd]:
    """Follow the beats of servers: log 0 is the source's, 1 the destination's."""
    place = {name: number for number, name in enumerate(stack.hosts.names)}
    logs = []
    for number, server in enumerate(servers):
        consoles = stack.consoles(server)
        logs.append([consoles[place[plan.source(number)]], consoles[place[plan.DESTINATION]]])
    crowd = heartbeat.Crowd(logs)
    try:
        yield crowd
    finally:
        crowd.stop()


class _Play:
    """The storm itself, from the first request until all is over."""

    def __init__(self, site: Site, config: plan.Config, servers: list[_Server],
                 timeout_s: float, say: Say) -> None:
        self._admin = site.admin
        self._config = config
        self._servers = servers
        self._timeout_s = timeout_s
        self._say = say
        self._watch = watch_mod.Watch(site.stack.hosts)
        self._began_s = time.monotonic()
        self._told_s = self._began_s

    def run(self) -> result.Storm:
        """Ask for all migrations, and wait for their ends."""
        try:
            self._ask()
            while not self._is_over():
                self._watch.check()
                self._cancel_overdue()
                self._tell()
                time.sleep(LOOK_S)
            moves = tuple(map(self._move, self._servers))
        finally:
            self._watch.stop()
        changes = [(self._since(at_s), server, begins)
                   for at_s, server, begins in self._watch.destination.changes]
        return result.Storm(
            config=self._config.name, set_to=self._config.told(), limit=self._config.limit,
            moves=moves, incoming=result.counted(changes),
            most_outgoing={name: one.most for name, one in self._watch.sources.items()},
            timeout_s=self._timeout_s,
            ideal_s=plan.ideal_s(tuple(one.load for one in self._servers)))

    def _since(self, at_s: float) -> float:
        return at_s - self._began_s

    def _ask(self) -> None:
        def ask(server: _Server) -> None:
            server.asked_s = time.monotonic()
            self._admin.ask_live_migrate(server.uuid, plan.DESTINATION)

        self._began_s = time.monotonic()
        with futures.ThreadPoolExecutor(ASKING) as pool:
            try:
                list(pool.map(ask, self._servers))
            except exceptions.ClientException as error:
                raise needs.LabError(f'{self._config.name}: {error}') from error
        self._say(f'all asked for in {self._since(time.monotonic()):.1f} s')

    def _is_over(self) -> bool:
        """Look at Nova; whether all is over there and in libvirt."""
        found: dict[str, Any] = {}
        for one in self._admin.compute(
                'GET', '/os-migrations?migration_type=live-migration')['migrations']:
            found.setdefault(one['instance_uuid'], one)
        now_s = time.monotonic()
        for server in self._servers:
            migration = found.get(server.uuid, {'id': 0, 'status': ''})
            server.migration, server.status = migration['id'], str(migration['status'])
            if server.status in lab_client.FINAL and server.settled_s is None:
                server.settled_s = now_s
        return (all(one.settled_s is not None for one in self._servers)
                and not self._watch.sending())

    def _cancel_overdue(self) -> None:
        late_s = self._since(time.monotonic()) - self._timeout_s
        if late_s < 0:
            return
        left = [one for one in self._servers if one.settled_s is None]
        if late_s > CANCEL_S:
            names = ', '.join(f'{one.load.name} ({one.status})' for one in left)
            raise needs.LabError(f'{self._config.name}: cancelled, and not over: {names}')
        for one in left:
            if one.migration:
                one.overdue = True
                # One that ends by itself right now cannot be cancelled.
                with contextlib.suppress(exceptions.ClientException):
                    self._admin.abort(one.uuid, one.migration)

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < TELL_S:
            return
        self._told_s = now_s
        over = sum(one.settled_s is not None for one in self._servers)
        self._say(f'{self._since(now_s):.0f} s: {over} of {len(self._servers)} over, '
                  f'{self._watch.sending()} flow, {self._watch.destination.coming()} come')

    def _move(self, server: _Server) -> result.Move:
        job = self._watch.sources[server.source].jobs.get(server.uuid)
        if server.status == 'completed':
            server.beats.wait_for_beats(1, 1, timeout=10)
        switches = [one for one in server.beats.switches() if one.destination == 1]
        last = switches[-1] if switches else None
        settled_s = server.settled_s
        return result.Move(
            name=server.load.name, load=server.load.told(), source=server.source,
            memory_mib=server.load.guest.memory_mib, ideal_bytes=server.load.ideal_bytes,
            asked_s=self._since(server.asked_s),
            flowed_s=None if job is None else self._since(job.began_s),
            left_s=None if last is None else self._since(last.at_s - last.blackout_ms / 1000),
            came_s=None if last is None else self._since(last.at_s),
            blackout_ms=None if last is None else last.blackout_ms,
            least_blackout_ms=None if last is None else last.least_ms,
            ended_s=None if job is None or job.ended_s is None else self._since(job.ended_s),
            settled_s=None if settled_s is None else self._since(settled_s),
            sent_bytes=self._watch.sent_bytes(server.uuid, server.source),
            outcome=server.status, overdue=server.overdue and server.status != 'completed',
            homes=self._watch.homes(server.uuid), why=self._why(server))

    def _why(self, server: _Server) -> str:
        """Return why a migration is over without having arrived: our last word, or Nova's."""
        if server.status == 'completed':
            return ''
        reasons: list[str] = []
        if self._config.driver == 'migpolicy':
            # One that ended before it flowed may have no timeline.
            with contextlib.suppress(exceptions.ClientException):
                records = self._admin.timeline(server.uuid, server.migration, limit=1000,
                                               kind=['decision', 'end'])['timeline']
                reasons = [str(one['reason']) for one in records if one.get('reason')]
        if not reasons:
            [newest, *_] = self._admin.actions(server.uuid)
            reasons = [str(event['details']) for event in newest['events'] if event.get('details')]
        return reasons[-1] if reasons else ''
