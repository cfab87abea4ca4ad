# SPDX-License-Identifier: Apache-2.0
"""Looks at one server all the time, from outside: at both libvirts and both logs of its beats."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
import itertools
import threading
import time
from typing import NamedTuple

import libvirt

from bench.faults import judge
from bench.faults import plan as plan_mod
from lab import heartbeat
from lab import hosts as lab_hosts
from lab import libvirtd
from lab import needs
from lab import stack as lab_stack

LOOK_S = 0.2
#: a guest of which nothing has come for so long does not beat, in seconds
SILENCE_S = 2.0
#: so often it has to go back to be another copy, and no beat that was read late
RETURNS = 3
#: two looks: in one the guest may switch over between the first host and the second
TOGETHER = 2

ABSENT = (-1, 0)
RUNNING = libvirt.VIR_DOMAIN_RUNNING
POST_COPY = ((libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY),
             (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY))
_GONE = (libvirt.VIR_ERR_NO_DOMAIN,)
State = tuple[int, int]


class Change(NamedTuple):
    """What both libvirts say, from a moment on; None where one does not answer."""

    at_s: float
    source: State | None
    destination: State | None


class Watch:
    """Follows a server, on threads of its own, until it is stopped.

    :param plan: says which host is the source
    """

    def __init__(self, stack: lab_stack.Stack, server: str, plan: plan_mod.Plan) -> None:
        self._server = server
        self._hosts = [stack.hosts[name] for name in (plan.source, plan.destination)]
        self._connections: dict[str, libvirt.virConnect] = {}
        self.began_s = time.monotonic()
        # The source's first: read late, its last beats must not seem to come after the others.
        self.beats = heartbeat.Recorder(*(
            host.machine.path(str(stack.where.instances / server / 'console.log'))
            for host in self._hosts), from_start=True)
        self.changes: list[Change] = []
        self._together = 0
        self._was_together = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name='watch', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following; what was seen stays available."""
        self._end.set()
        self._thread.join()
        self.beats.stop()

    @property
    def names(self) -> tuple[str, str]:
        """The source and the destination."""
        return self._hosts[0].name, self._hosts[1].name

    def now(self) -> Change:
        """What both libvirts said at the last look."""
        return self.changes[-1] if self.changes else Change(self.began_s, None, None)

    def states(self) -> dict[str, State | None]:
        """Return the same, by host."""
        now = self.now()
        return dict(zip(self.names, (now.source, now.destination), strict=True))

    def is_halved(self) -> bool:
        """Whether each host has a part of its memory."""
        return any(state in POST_COPY for state in self.states().values())

    def beating(self) -> tuple[str, ...]:
        """Return the hosts in whose log it has beaten a moment ago."""
        since_s = time.monotonic() - SILENCE_S
        logs = {beat.log for beat in self.beats.beats()[-1000:] if beat.at_s > since_s}
        return tuple(sorted(self.names[log] for log in logs))

    def last_beat_on(self) -> str:
        """Return the host where it has beaten last; '' if it has not."""
        beats = self.beats.beats()[-1:]
        return self.names[beats[0].log] if beats else ''

    def history(self, *, destroyed: bool, halved: bool) -> judge.History:
        """Return what has been seen so far."""
        return judge.History(
            together=self._was_together, back_and_forth=is_back_and_forth(self.beats.beats()),
            restarted=is_restarted(mark.beats for mark in self.beats.marks()),
            destroyed=destroyed, halved=halved)

    def told(self) -> list[str]:
        """The changes, a line each."""
        return [f'{change.at_s - self.began_s:7.2f} s  source {change.source}, '
                f'destination {change.destination}' for change in self.changes]

    def _run(self) -> None:
        while not self._end.wait(LOOK_S):
            self._look()
        for connection in self._connections.values():
            _close(connection)

    def _look(self) -> None:
        source, destination = self._hosts
        before = self._state(source)
        there = self._state(destination)
        here = self._state(source)
        is_both = all(state is not None and state[0] == RUNNING
                      for state in (before, there, here))
        self._together = self._together + 1 if is_both else 0
        self._was_together = self._was_together or self._together >= TOGETHER
        if not self.changes or self.changes[-1][1:] != (here, there):
            self.changes.append(Change(time.monotonic(), here, there))

    def _state(self, host: lab_hosts.Host) -> State | None:
        try:
            connection = self._connections.get(host.name)
            if connection is None:
                connection = libvirtd.connect(host.machine, timeout=0)
                self._connections[host.name] = connection
            state, reason = connection.lookupByUUIDString(self._server).state()
            return int(state), int(reason)
        except libvirt.libvirtError as error:
            if error.get_error_code() in _GONE:
                return ABSENT
            _close(self._connections.pop(host.name, None))
            return None
        except needs.LabError:
            return None


def is_back_and_forth(beats: Sequence[heartbeat.Beat]) -> bool:
    """Whether beats come from both hosts in turn, the source's log being the first."""
    returns = sum((before.log, beat.log) == (1, 0) for before, beat in itertools.pairwise(beats))
    return returns >= RETURNS


def is_restarted(marks: Iterable[int]) -> bool:
    """Whether a guest's counter of its beats, modulo 2^32, has gone back."""
    return any(0 < before - mark < 1 << 31 for before, mark in itertools.pairwise(marks))


def _close(connection: libvirt.virConnect | None) -> None:
    if connection is not None:
        try:
            connection.close()
        except libvirt.libvirtError:
            pass
