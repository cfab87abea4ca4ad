# SPDX-License-Identifier: Apache-2.0
"""A guest of the lab that is migrated to and fro by the plugin, with its commands but no Nova."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import types
import uuid

import libvirt
import libvirt_qemu

from lab import needs
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import outside
from nova_migpolicy.compute import pending
from nova_migpolicy.compute import request_policies
from nova_migpolicy.compute import saver
from nova_migpolicy.compute import service
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.monitor import events
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.monitor import resuming
from nova_migpolicy.policy import resolve
from nova_migpolicy import vocabulary

MIB = 1 << 20
HOSTS = ('n1', 'n2')
CHECKOUT = pathlib.Path(__file__).parents[2]
CLOSE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from nova_migpolicy.monitor import sockets
print(json.dumps(sockets.close(sys.argv[2], sys.argv[3:])))
"""


class Report:
    """Takes what would go into Nova's database."""

    def __init__(self):
        self.percents = []

    def operation_done(self):
        return False

    def report(self, sample, percent):
        self.percents.append(percent)

    def post_copy_started(self):
        pass

    def policy_changed(self, in_force):
        pass


class Outside:
    """The other way to a lab guest's QEMU: what takes privileges is done inside its host."""

    def __init__(self, guest):
        self._name, self._host = guest.name, guest.host
        self._uuid = guest.domain.UUIDString()

    def state(self):
        connection = self._host.another_connection()
        try:
            return tuple(connection.lookupByName(self._name).state(0))
        finally:
            connection.close()

    def close(self, targets):
        # The host's own files may have no Python, so it is given those of the real system.
        done = subprocess.run([
            'nsenter', '-t', str(self._host.machine.pid), '-n', '-p', '--', 'unshare', '-m', 'sh',
            '-c', 'mount -t proc proc /proc && exec "$@"', 'sh', sys.executable, '-c', CLOSE,
            str(CHECKOUT), self._uuid, *outside.addresses(targets[0])],
            capture_output=True, text=True, check=False)
        return ([], done.stderr) if done.returncode else (json.loads(done.stdout), '')


class Move:
    """One steered migration of a lab domain to the other host; it begins at once.

    :param versions: of libvirt and QEMU, in place of those that are installed on the source
    """

    def __init__(self, guest, *, allow_qmp=True, versions=None, links=None, neighbours=None,
                 link_mib_s=None, **policy):
        self.guest = guest
        self.links = links or link_rates.LinkRates(None)
        self.neighbours = neighbours
        self.source = guest.host
        self.to = guest.lab[HOSTS[1 - HOSTS.index(guest.host.name)]]
        self.server, self.migration = str(uuid.uuid4()), str(uuid.uuid4())
        self.journals = tempfile.TemporaryDirectory()
        self.session = self._session(policy, allow_qmp, versions, link_mib_s)
        self.session.prepare(None)
        self.current = migration_mod.Migration(self.migration, self.session.inbox)
        self.current.session = self.session
        self.control = service.MigrationService(
            {self.server: self.current}, early=pending.EarlyOrders(),
            requests=request_policies.RequestPolicies(pathlib.Path(self.journals.name)),
            queue=pending.NovaQueue(dict, 'n1'), recall=None,
            journals=pathlib.Path(self.journals.name), resolve_for=None, newest_request=None,
            whereabouts=None, take_over=None, discard=None, written=None, slots=None)
        self.report = Report()
        self.outcome = None
        self.error = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def running(self):
        return self._thread.is_alive()

    def act(self, command):
        return self.control.act(self.server, self.migration, command)

    def tune(self, *release, **values):
        return self.control.tune(self.server, self.migration, values, release)

    def progress(self):
        return self.control.progress(self.server, self.migration).body

    def records(self, kind):
        return [record for record in self.session.journal.records() if record['kind'] == kind]

    @property
    def done(self):
        """The names of the actions that were carried out."""
        return [record['action'] for record in self.records('action') if record['done']]

    def wait(self, timeout=90.0):
        """Wait for the end; the guest's host is then where it is."""
        self._thread.join(timeout * needs.PATIENCE)
        if self._thread.is_alive():
            raise AssertionError(f'the monitor is still there: {self.progress()}')
        self.journals.cleanup()
        if self.error is not None:
            raise self.error
        return self.outcome

    def stop(self):
        """Stop a migration that a failed test has left."""
        if self.running:
            self.act(vocabulary.CANCEL)
            self.wait()

    def _session(self, policy, allow_qmp, versions, link_mib_s):
        connection = self.source.connect()
        libvirt_version, qemu_version = versions or (
            connection.getLibVersion(), connection.getVersion())
        box = inbox_mod.Inbox()

        def resolver(retune):
            return resolve.resolve(resolve.Sources(flavor=policy, retune=retune))

        return session_mod.Session(
            session_mod.MigrationFacts(
                instance=types.SimpleNamespace(uuid=self.server), migration=self.migration,
                destination=self.to.name, resolved=resolver({}), resolver=resolver,
                memory_bytes=self.guest.memory_mib * MIB, link_mib_s=link_mib_s,
                circumstances=migrate_call.Circumstances(
                    paused=False, persistent_memory=False, tunnelled=False,
                    nova_post_copy=False, allow_qmp=allow_qmp, emulated=True,
                    libvirt_version=libvirt_version, qemu_version=qemu_version)),
            guest_mod.MigratingGuest(
                lambda: self.source.connect().lookupByName(self.guest.name),
                _qmp if allow_qmp else None, self.server),
            box, journal_mod.Journal(journal_mod.file_for(
                pathlib.Path(self.journals.name), self.migration), box.clock(), MIB),
            self.links, self.neighbours, outside=Outside(self.guest),
            resume_obstacle=lambda: resuming.obstacle(
                libvirt_version, self.to.connect().getLibVersion()))

    def _operate(self, disks, params, flags):
        error = None
        try:
            own = self.source.another_connection()
            try:
                planned = self.session.planned_domain(own.lookupByName(self.guest.name), disks)
                planned.migrateToURI3(self.to.uri, params=params, flags=flags)
            finally:
                own.close()
        except Exception as failure:
            error = failure
        self.session.operation_over(error)

    def _watch(self):
        try:
            disks = len(self.guest.disks_mib)
            params, flags = self.guest.arguments(self.to.name)
            connection, domain = self.source.connect(), self.guest.domain
            with events.subscribed(connection, domain, self.session.inbox) as has_events:
                self.session.has_events = has_events
                operation = threading.Thread(
                    target=self._operate, args=(disks, params, flags), daemon=True)
                operation.start()
                with saver.Saver(lambda values: True, self.session.look_from_outside):
                    self.outcome = self.session.watch(
                        self.report, [f'vd{"bcdefg"[n]}' for n in range(disks)], time.sleep)
                operation.join()
            if self.outcome.end.value == 'completed':
                self.guest.host = self.to
        except BaseException as error:
            self.error = error
        finally:
            self.current.close()
            self.session.undo()


def _qmp(domain, command):
    return libvirt_qemu.qemuMonitorCommand(domain, command, 0)


def whereabouts(guest):
    """Where a guest has an active domain, with libvirt's state of each."""
    found = {}
    for name in guest.lab.names:
        for domain in guest.lab[name].connect().listAllDomains(
                libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            if domain.name() == guest.name:
                # It may go away just now.
                with contextlib.suppress(libvirt.libvirtError):
                    found[name] = domain.state()[0]
    return found
