# SPDX-License-Identifier: Apache-2.0
"""One real migration, watched and acted upon through libvirt as a scenario says.

The statistics are read in the callback of each event, and once a second. Actions are applied as
soon as the event has come that they follow; no engine is at work. Making a trace of it is left
to bench.traces.command.
"""

from __future__ import annotations

import queue
import time
from typing import Any

import libvirt

from bench.traces import scenarios
from bench.traces import trace
from lab import domain as lab_domain
from lab import needs
from nova_migpolicy.engine import remedies

TICK_S = 1.0
TIMEOUT_S = 90.0
_NO_JOB = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN)


class Watch:
    """One migration, what is seen of it, and what is done to it."""

    def __init__(self, guest: lab_domain.LabDomain, scenario: scenarios.Scenario) -> None:
        self.guest = guest
        self.scenario = scenario
        self.syncs: list[dict[str, Any]] = []
        self.ticks: list[dict[str, Any]] = []
        self.actions: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}
        self.silent: dict[str, float] | None = None
        self._arrived: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()
        self._connection = guest.host.another_connection()
        self._domain = self._connection.lookupByName(guest.name)
        # A second listener to the same event of a domain takes a connection of its own.
        self._listened = guest.host.another_connection()
        self._number = self._listened.domainEventRegisterAny(
            self._listened.lookupByName(guest.name),
            libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, self._iteration, None)

    def close(self) -> None:
        """Stop listening."""
        self._listened.domainEventDeregisterAny(self._number)
        self._listened.close()
        self._connection.close()

    def run(self) -> lab_domain.Migration:
        """Migrate; returns when it is over."""
        migration = self._start()
        try:
            due_s = migration.began_s + TICK_S
            while migration.running:
                try:
                    event = self._arrived.get(timeout=min(0.05, max(0.001, _left_s(due_s))))
                except queue.Empty:
                    if _left_s(due_s) <= 0:
                        self._tick()
                        due_s += TICK_S
                else:
                    self._act(event)
                self._mend()
                if _left_s(migration.began_s + TIMEOUT_S) < 0:
                    raise needs.LabError(f'{self.scenario.name} does not end: {self.last}')
        finally:
            if migration.running:
                self.guest.destroy()
            migration.wait()
        return migration

    def _start(self) -> lab_domain.Migration:
        scenario, flags, params = self.scenario, 0, {}
        if scenario.cap_mib_s:
            params[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = scenario.cap_mib_s
        if scenario.auto_converge:
            flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
            params[libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL] = scenario.throttle_initial
            params[libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT] = (
                scenario.throttle_increment)
        if scenario.post_copy:
            flags |= libvirt.VIR_MIGRATE_POSTCOPY
        if scenario.switchover_mib_s:
            params['bandwidth.avail.switchover'] = scenario.switchover_mib_s
        return self.guest.migrate('n2', flags=flags, params=params)

    def _iteration(self, _connection: Any, domain: Any, number: int, _opaque: Any) -> None:
        at_s = time.monotonic()
        try:
            stats = _look(domain)
        except libvirt.libvirtError as error:
            self._arrived.put(error)
            return
        self.last = stats or self.last
        self.syncs.append({'iteration': number, 'at_s': at_s, 'read_at_s': time.monotonic(),
                           **trace.sample(stats)})
        self._arrived.put(number)

    def _tick(self) -> None:
        stats = _look(self._domain)
        if stats:
            self.last = stats
            self.ticks.append({'iteration': stats.get('memory_iteration'),
                               'at_s': time.monotonic(),
                               **trace.sample(stats, disks=bool(self.scenario.disks_mib))})

    def _mend(self) -> None:
        """Let the link work again when it is time, and note when something moves."""
        silent, wanted = self.silent, self.scenario.silent
        if silent is None or wanted is None or 'to_s' in silent:
            return
        if 'stood_at' not in silent:
            if _left_s(silent['from_s'] + wanted[1]) > 0:
                return
            silent['stood_at'] = _look(self._domain).get('memory_processed', 0)
            self.guest.lab.deliver('n1')
        elif _look(self._domain).get('memory_processed', 0) > silent['stood_at']:
            silent['to_s'] = time.monotonic()

    def _act(self, event: int | Exception) -> None:
        if isinstance(event, Exception):
            raise needs.LabError(f'the statistics at an event: {event}') from event
        if self.scenario.silent is not None and self.scenario.silent[0] == event:
            self.guest.lab.drop('n1')
            self.silent = {'from_s': time.monotonic()}
        for number, action in self.scenario.then:
            if number == event:
                try:
                    apply(self._domain, action)
                except libvirt.libvirtError as error:
                    raise needs.LabError(f'{action.to_dict()} after event {event} of '
                                         f'{self.scenario.name}: {error}') from error
                self.actions.append({'iteration': event, 'at_s': time.monotonic(),
                                     **action.to_dict()})


def apply(domain: libvirt.virDomain, action: remedies.Action) -> None:
    """Do to a migration what an action says."""
    if isinstance(action, remedies.SetBandwidth):
        domain.migrateSetMaxSpeed(action.mib_s)
    elif isinstance(action, remedies.SetMaxDowntime):
        domain.migrateSetMaxDowntime(action.limit_ms)
    elif isinstance(action, remedies.StartPostCopy):
        domain.migrateStartPostCopy()
    elif isinstance(action, remedies.Pause):
        domain.suspend()
    elif isinstance(action, remedies.Abort):
        domain.abortJob()
    else:
        raise needs.LabError(f'libvirt has no call for {action.to_dict()}')


def _look(domain: libvirt.virDomain) -> dict[str, Any]:
    """The job's statistics; empty where there is no job any more."""
    try:
        stats = dict(domain.jobStats())
        return stats if stats.get('type') != libvirt.VIR_DOMAIN_JOB_NONE else {}
    except libvirt.libvirtError as error:
        if error.get_error_code() in _NO_JOB:
            return {}
        raise


def _left_s(until_s: float) -> float:
    return until_s - time.monotonic()
