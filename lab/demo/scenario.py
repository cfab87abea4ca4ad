# SPDX-License-Identifier: Apache-2.0
"""What the demo does: two servers that never finish under stock Nova are live-migrated.

Both guests write 80 MiB/s over 128 MiB again and again, and the link is capped at 50 MiB/s. One
flavor says `migpolicy:profile=nova`. The other one's policy permits nothing at first, and says so;
then an operator, who watches, permits it to raise the bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import pathlib
import time

from lab import client as lab_client
from lab.demo import screen as screen_mod
from lab.demo import track as track_mod
from lab.demo import watch
from lab import guests
from lab import heartbeat
from lab import needs
from lab import stack as lab_stack

CAP_MIB_S = 50
MAX_DOWNTIME_MS = 500
# The heartbeat tells a blackout to about this.
BEATS_MS = 20
GUEST = guests.Guest(kind='sweep', memory_mib=256, set_mib=128, rate_mib_s=80)
LOOK_EVERY_S = 0.4
# How long the hopeless one is given before an operator's patience ends.
PATIENCE_S = 25.0
MIGRATION_TIMEOUT_S = 90.0
SETTLE_TIMEOUT_S = 30.0

SERVERS = {
    'stock': ('stock Nova', {'migpolicy:profile': 'nova'}),
    'policy': ('with a policy', {
        'migpolicy:profile': 'balanced', 'migpolicy:max_bandwidth_mib_s': '400',
        'migpolicy:max_downtime_ms': str(MAX_DOWNTIME_MS), 'migpolicy:remedies': 'none',
        'migpolicy:on_stall': 'continue'}),
}
WATCH = ('openstack', 'server', 'migration', 'watch', 'policy')
RETUNE = ('openstack', 'server', 'migration', 'policy', 'retune', 'policy', '--remedies',
          'bandwidth,downtime')


@dataclasses.dataclass
class Server:
    """One of the two servers."""

    track: track_mod.Track
    watcher: watch.Watcher
    beats: heartbeat.Recorder


class Demo:
    """One run on a stack that is up."""

    def __init__(self, stack: lab_stack.Stack, screen: screen_mod.Screen,
                 scratch: pathlib.Path) -> None:
        self._stack = stack
        self._admin = stack.client()
        self._screen = screen
        self._scratch = scratch
        self.servers: dict[str, Server] = {}
        # What commands in the background have said, and how much of it was passed on.
        self._said: dict[pathlib.Path, int] = {}

    @property
    def tracks(self) -> list[track_mod.Track]:
        """What is known of both, stock first."""
        return [server.track for server in self.servers.values()]

    def run(self) -> None:
        """Boot, migrate, watch, abort; afterwards `tracks` holds everything."""
        try:
            self._boot()
            self._migrate()
            policy = self.servers['policy'].track
            self._watch_until(lambda: policy.over or bool(policy.decisions), MIGRATION_TIMEOUT_S)
            # What the operator does who has read that it cannot finish as it is.
            self._begin(RETUNE)
            self._watch_until(lambda: policy.over, MIGRATION_TIMEOUT_S)
            self._watch_until(self._patience_is_over, PATIENCE_S + 1)
            self._abort()
            self._conclude()
        finally:
            self._screen.pause_following()
            for server in self.servers.values():
                server.beats.stop()

    def _boot(self) -> None:
        image = self._admin.image('busy', GUEST.image(self._scratch / 'busy.raw'))
        ids = {}
        for name, (_title, specs) in SERVERS.items():
            flavor = self._admin.flavor(
                name, GUEST.memory_mib, disk_gib=0, extra_specs=specs)
            ids[name] = self._admin.boot(name, image, flavor, host='n1')
        journals = self._stack.state_path('n1') / 'migpolicy' / 'journal'
        for name, server_id in ids.items():
            self._admin.wait_server(server_id)
            track = track_mod.Track(name, SERVERS[name][0], server_id)
            consoles = [self._stack.where.host_instances(host) / server_id / 'console.log'
                        for host in ('n1', 'n2')]
            self.servers[name] = Server(
                track,
                watch.Watcher(self._admin, track, self._stack.hosts['n1'].connect(), journals),
                heartbeat.Recorder(*consoles))
        for server in self.servers.values():
            if not server.beats.wait_for_beats(50):
                raise needs.LabError(f'{server.track.title}: the guest does not beat')
        self._screen.step(
            f'two servers of {GUEST.memory_mib} MiB write {GUEST.rate_mib_s:g} MiB/s over '
            f'{GUEST.set_mib:g} MiB; the cap is {CAP_MIB_S} MiB/s')

    def _migrate(self) -> None:
        for server in self.servers.values():
            started_s = time.monotonic()
            migration_id = self._admin.live_migrate(server.track.server_id, 'n2')
            server.watcher.start(migration_id, started_s)
            self._screen.step(f'{server.track.title}: live migration {migration_id} to n2 asked')

        self._begin(WATCH)

    def _begin(self, command: Sequence[str]) -> None:
        """Start a command that goes on beside what follows."""
        self._screen.pause_following()
        self._screen.step(f'$ {" ".join(command)}')
        log = self._scratch / f'command-{len(self._said)}.log'
        self._said[log] = 0
        self._stack.spawn_cli(command, log)

    def _pass_on(self) -> None:
        """Show what the commands have said since."""
        for log, read_bytes in self._said.items():
            with open(log, 'rb') as said:
                said.seek(read_bytes)
                whole, _, _rest = said.read().rpartition(b'\n')
            if whole:
                self._said[log] += len(whole) + 1
                for line in whole.decode(errors='replace').splitlines():
                    self._screen.say(line)

    def _watch_until(self, over: Callable[[], bool], timeout_s: float) -> None:
        end_s = time.monotonic() + timeout_s
        while not over() and time.monotonic() < end_s:
            for server in self.servers.values():
                if not server.track.over:
                    server.watcher.look()
            self._pass_on()
            self._screen.follow(self.tracks)
            time.sleep(LOOK_EVERY_S)

    def _patience_is_over(self) -> bool:
        track = self.servers['stock'].track
        return track.over or bool(track.points and track.points[-1].at_s > PATIENCE_S)

    def _abort(self) -> None:
        self._screen.pause_following()
        server = self.servers['stock']
        if server.track.over:
            return
        words = ('nova', 'live-migration-abort', server.track.server_id,
                 str(server.watcher.migration_id))
        self._screen.step(f'{server.track.title}: $ {" ".join(words)}')
        self._stack.cli(words)
        server.track.aborted = True
        self._watch_until(lambda: server.track.over, MIGRATION_TIMEOUT_S)

    def _conclude(self) -> None:
        for server in self.servers.values():
            track = server.track
            found = lab_client.wait(
                functools.partial(self._admin.server, track.server_id),
                lambda server: not server['OS-EXT-STS:task_state'], SETTLE_TIMEOUT_S,
                f'server {track.title} to settle')
            track.host = str(found['OS-EXT-SRV-ATTR:host'])
            track.server_status = str(found['status'])
            track.blackout_ms = server.beats.blackout_ms
            if not server.beats.wait_for_beats(100):
                raise needs.LabError(f'{track.title}: the guest does not beat any more')
            now_s = time.monotonic()
            track.beats_after = sum(1 for beat in server.beats.beats() if beat.at_s > now_s - 1)


def failures(stock: track_mod.Track, policy: track_mod.Track) -> list[str]:
    """What did not come out as the demo says it would; empty when all is well."""
    wrong = []
    if not any(decided.actions for decided in policy.decisions):
        wrong.append('nothing was done for the server with a policy')
    if not any(decided.rule == 'operator' for decided in policy.decisions):
        wrong.append('the server with a policy was not retuned')
    if (policy.blackout_ms or 0) > MAX_DOWNTIME_MS + BEATS_MS:
        wrong.append(f'a blackout of {policy.blackout_ms:.0f} ms is more than the promised '
                     f'{MAX_DOWNTIME_MS} ms')
    if not stock.aborted:
        wrong.append('the migration without a policy ended by itself')
    if (policy.status, policy.host) != ('completed', 'n2'):
        wrong.append(f'the migration with a policy is {policy.status}, '
                     f'its server on {policy.host}')
    # Nova 32 and later call an aborted migration an error, and its running server too.
    if stock.status not in ('cancelled', 'failed', 'error') or stock.host != 'n1':
        wrong.append(f'the migration without is {stock.status}, its server on {stock.host}')
    for track in (policy, stock):
        if not track.beats_after:
            wrong.append(f'the guest {track.title} is silent')
    return wrong
