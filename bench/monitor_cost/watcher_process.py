# SPDX-License-Identifier: Apache-2.0
"""The process whose CPU time is measured: it watches migrations that another process carries.

    python -m bench.monitor_cost.watcher_process ours|poll WORK FOLDER GUEST...

It attaches to the lab in WORK and says `ready` once each guest is watched. It then measures a
window for each number of seconds that it reads, and answers with a line of JSON. At the end of
its input it is gone at once: what it watched goes on.

`ours` is the plugin's session for each migration, with its thread, its libvirt events and its
journal in FOLDER. `poll` does to libvirt what Nova's own monitor does, by Nova's own
Guest.get_job_info: one call each 0.5 s, in a thread for each migration. Neither writes to a
database; Nova does that every 5 s by either monitor.
"""

from __future__ import annotations

from collections.abc import Callable
import json
import os
import pathlib
import sys
import threading
import time
import types
from typing import Any
import uuid

import libvirt
from nova.virt.libvirt import guest as nova_guest

from bench.monitor_cost import crowd
from lab import domain as lab_domain
from lab import hosts
from lab import libvirtd
from nova_migpolicy.compute import kept
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.compute import nova_records
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.monitor import events
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.policy import resolve
from nova_migpolicy import written

POLL_S = 0.5
REPORT_S = 5.0
JOURNAL_BYTES = 16 << 20
# The engine may do what it may by default, so it has to think at each pass; nothing helps, since
# the rate is at its ceiling and the blackout is too short, and then it goes on.
POLICY = {'bandwidth_mib_s': str(crowd.START_MIB_S), 'max_bandwidth_mib_s': str(crowd.START_MIB_S),
          'initial_downtime_ms': '1', 'max_downtime_ms': '1', 'on_stall': 'continue',
          'on_timeout': 'continue'}


def cpu_s(pid: int) -> float:
    """The CPU time of a process and all its threads so far, user and system, to the ns.

    What clock_getcpuclockid(3) makes of a process id; /proc/PID/stat has the same in steps of
    10 ms, as much as one migration costs in many seconds.
    """
    return time.clock_gettime(~pid << 3 | 2)


def window(seconds: float, **pids: int) -> dict[str, float]:
    """The CPU seconds that each of some processes takes from now on, and the time that it took."""
    began_s, before = time.monotonic(), {name: cpu_s(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    after = {name: cpu_s(pid) for name, pid in pids.items()}
    return {'seconds': time.monotonic() - began_s,
            **{name: after[name] - before[name] for name in pids}}


def server_pid(host: hosts.Host) -> int:
    """The libvirtd of a host."""
    [pid] = [pid for pid in host.machine.processes()
             if pathlib.Path(f'/proc/{pid}/comm').read_text().strip() == 'libvirtd']
    return pid


class Ours:
    """The plugin's monitor of one migration."""

    def __init__(self, host: hosts.Host, calls: libvirt.virConnect, name: str,
                 folder: pathlib.Path) -> None:
        """Begin to watch.

        :param calls: the connection of all monitors for their calls; events come on the host's
        """
        self._connection = host.connect()
        self._domain = self._connection.lookupByName(name)
        box = inbox_mod.Inbox()
        migration = str(uuid.uuid4())
        # Nova gives nothing to write down here: no process takes over from this one.
        self._kept = kept.Kept(written.Records(folder / written.FOLDER), migration)

        def resolver(retune: Any) -> resolve.Resolved:
            return resolve.resolve(resolve.Sources(flavor=POLICY, retune=retune))

        self.session = session_mod.Session(
            session_mod.MigrationFacts(
                instance=types.SimpleNamespace(uuid=self._domain.UUIDString()),
                migration=migration, destination='n2', resolved=resolver({}), resolver=resolver,
                memory_bytes=crowd.MEMORY_MIB << 20, link_mib_s=None,
                circumstances=migrate_call.Circumstances(
                    paused=False, persistent_memory=False, tunnelled=False,
                    nova_post_copy=False, allow_qmp=True,
                    libvirt_version=calls.getLibVersion(), qemu_version=calls.getVersion())),
            guest_mod.MigratingGuest(lambda: calls.lookupByName(name)), box,
            session_mod.journal_for(folder, migration, box.clock(), JOURNAL_BYTES),
            link_rates.LinkRates(None))
        self.session.prepare(None)
        threading.Thread(target=self._watch, daemon=True).start()

    def ready(self) -> bool:
        """Whether it has seen a pass begin."""
        return any(record.get('boundary') for record in self.session.journal.records())

    def count(self) -> dict[str, int]:
        """How many looks it has taken, and what it has done (nothing)."""
        kinds = [record['kind'] for record in self.session.journal.records()]
        return {'looks': kinds.count('sample'), 'actions': kinds.count('action')}

    def _watch(self) -> None:
        record = _Record()
        reporter = nova_records.Reporter(record, record, lambda: False, REPORT_S,
                                         self.session.inbox.clock, self._kept)
        with events.subscribed(self._connection, self._domain,
                               self.session.inbox) as self.session.has_events:
            self.session.watch(reporter, [])


class _Record(types.SimpleNamespace):
    """A record of Nova that is in no database."""

    def obj_clone(self) -> _Record:
        """Return another one with the same fields."""
        return _Record(**vars(self))

    def obj_reset_changes(self, **of_what: object) -> None:
        """Do nothing: nobody asks for changes."""

    def save(self) -> None:
        """Do nothing: there is no database."""


class Poll:
    """Stock Nova's looks at one migration."""

    def __init__(self, host: hosts.Host, _calls: libvirt.virConnect, name: str,
                 _folder: pathlib.Path) -> None:
        self._guest = nova_guest.Guest(host.connect().lookupByName(name))
        self._looks = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def ready(self) -> bool:
        """Whether it has looked."""
        return self._looks > 0

    def count(self) -> dict[str, int]:
        """How many looks it has taken."""
        return {'looks': self._looks, 'actions': 0}

    def _watch(self) -> None:
        while self._guest.get_job_info().type == libvirt.VIR_DOMAIN_JOB_UNBOUNDED:
            self._looks += 1
            time.sleep(POLL_S)


KINDS: dict[str, Callable[..., Ours | Poll]] = {'ours': Ours, 'poll': Poll}


def main(kind: str, work: str, folder: str, *names: str) -> None:
    """See the module."""
    host = hosts.attach(pathlib.Path(work))['n1']
    calls = libvirtd.connect(host.machine)
    watchers = [KINDS[kind](host, calls, name, pathlib.Path(folder)) for name in names]
    for name, one in zip(names, watchers, strict=True):
        lab_domain.wait_until(one.ready, 60, f'the first looks at {name}')
    print('ready', flush=True)
    for line in sys.stdin:
        before = _counts(watchers)
        found = window(float(line), client=os.getpid(), server=server_pid(host))
        after = _counts(watchers)
        print(json.dumps({**found, **{name: after[name] - before[name] for name in after}}),
              flush=True)
    os._exit(0)


def _counts(watchers: list[Ours | Poll]) -> dict[str, int]:
    counts = [one.count() for one in watchers]
    return {name: sum(count[name] for count in counts) for name in ('looks', 'actions')}


if __name__ == '__main__':
    main(*sys.argv[1:])
