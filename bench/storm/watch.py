# SPDX-License-Identifier: Apache-2.0
"""Looks at all hosts of a storm from outside: the jobs at the sources, and what comes.

The sources' libvirts are asked ten times a second for the jobs that send. The destination's tells
by itself of each guest that begins to come, and of its arrival or end, so that no moment at which
more come than are allowed is missed. All of it on connections of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import threading
import time
from typing import Any

import libvirt

from bench.storm import plan
from bench.storm import result
from lab import hosts as lab_hosts
from lab import jobs
from lab import needs

LOOK_S = 0.1
_KEPT = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
_BEGINS = (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED)
_ARRIVES = (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED)


@dataclasses.dataclass
class Job:
    """What libvirt's job of a migration looked like at its source, and when (time.monotonic)."""

    began_s: float
    sent_bytes: int = 0
    ended_s: float | None = None


class Source:
    """The jobs at one source, followed on a thread of its own."""

    def __init__(self, host: lab_hosts.Host) -> None:
        self.jobs: dict[str, Job] = {}
        self.most = 0
        self.error: Exception | None = None
        self._connection = host.another_connection()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f'jobs {host.name}', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following; what was seen stays available."""
        self._end.set()
        self._thread.join()
        _close(self._connection)

    def _run(self) -> None:
        try:
            while not self._end.wait(LOOK_S):
                self._look()
        except libvirt.libvirtError as error:
            self.error = error

    def _look(self) -> None:
        running = set()
        for domain in self._connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            server = domain.UUIDString()
            stats = jobs.sending(domain)
            if stats:
                running.add(server)
                self._note(server, stats)
            elif stats is None and server in self.jobs and self.jobs[server].ended_s is None:
                running.add(server)
        now_s = time.monotonic()
        for server, job in self.jobs.items():
            if server not in running and job.ended_s is None:
                job.ended_s = now_s
        self.most = max(self.most, len(running))

    def _note(self, server: str, stats: Mapping[str, Any]) -> None:
        began_s = time.monotonic() - stats.get('time_elapsed', 0) / 1000
        job = self.jobs.setdefault(server, Job(began_s))
        job.ended_s = None
        job.sent_bytes = max(job.sent_bytes, stats.get('memory_processed', 0))


class Destination:
    """What comes to the destination, as its libvirt tells."""

    def __init__(self, host: lab_hosts.Host) -> None:
        #: when (time.monotonic), which, and whether it began to come
        self.changes: list[tuple[float, str, bool]] = []
        self._connection = host.another_connection()
        self._number = self._connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._event, None)

    def stop(self) -> None:
        """Stop listening; what was told stays available."""
        try:
            self._connection.domainEventDeregisterAny(self._number)
        except libvirt.libvirtError:
            pass
        _close(self._connection)

    def coming(self) -> int:
        """Return how many are coming now."""
        return result.counted(list(self.changes))[-1][1]

    def _event(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        begins = (event, detail) == _BEGINS
        if begins or (event, detail) == _ARRIVES or event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            self.changes.append((time.monotonic(), domain.UUIDString(), begins))


class Watch:
    """All hosts, until it is stopped."""

    def __init__(self, hosts: lab_hosts.Hosts) -> None:
        self._hosts = hosts
        self.destination = Destination(hosts[plan.DESTINATION])
        self.sources = {name: Source(hosts[name]) for name in plan.SOURCES}

    def stop(self) -> None:
        """Stop looking; what was seen stays available."""
        for source in self.sources.values():
            source.stop()
        self.destination.stop()

    def check(self) -> None:
        """See that all are still looked at.

        :raises LabError: a source's libvirt does not answer
        """
        for name, source in self.sources.items():
            if source.error is not None:
                raise needs.LabError(f'libvirt on {name} does not answer: {source.error}')

    def sending(self) -> int:
        """Return how many jobs send now."""
        return sum(job.ended_s is None for source in self.sources.values()
                   for job in list(source.jobs.values()))

    def homes(self, server: str) -> tuple[str, ...]:
        """Return the hosts on which libvirt runs a server now."""
        return tuple(name for name in plan.HOSTS if _runs(self._hosts[name], server))

    def sent_bytes(self, server: str, source: str) -> int:
        """Return what was sent of a server's memory.

        The last look at the source missed the end of it; libvirt keeps the whole at the
        destination of those that have arrived.
        """
        job = self.sources[source].jobs.get(server)
        seen = job.sent_bytes if job is not None else 0
        try:
            domain = self._hosts[plan.DESTINATION].connect().lookupByUUIDString(server)
            kept = domain.jobStats(_KEPT)
        except libvirt.libvirtError:
            return seen
        return max(seen, int(kept.get('memory_processed', 0)))


def _runs(host: lab_hosts.Host, server: str) -> bool:
    try:
        state = host.connect().lookupByUUIDString(server).state()[0]
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise
    return bool(state == libvirt.VIR_DOMAIN_RUNNING)


def _close(connection: libvirt.virConnect) -> None:
    try:
        connection.close()
    except libvirt.libvirtError:
        pass
