# SPDX-License-Identifier: Apache-2.0
"""What libvirt says of a guest at both ends, as facts that hold on hosts of more than one release.

Each test reads the answers of both hosts to both questions in several phases of one migration.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import libvirt

from lab import domain as lab_domain
from nova_migpolicy.monitor import domains
from nova_migpolicy.recovery import evidence
from tests.lab import base
from tests.lab import cases

Source = evidence.Source
Destination = evidence.Destination
ABSENT = domains.ABSENT
HERE = domains.Answers(Source.RUNNING, False, Destination.ARRIVED)
LEAVING = domains.Answers(Source.RUNNING, True, Destination.ARRIVED)
AWAITED = domains.Answers(Source.PAUSED, False, Destination.INCOMING)
HALF_LEFT = domains.Answers(Source.POST_COPY, True, Destination.POST_COPY)
HALF_HERE = domains.Answers(Source.POST_COPY, False, Destination.POST_COPY)
BROKEN_LEFT = domains.Answers(Source.POST_COPY_FAILED, True, Destination.POST_COPY_FAILED)
BROKEN_HERE = domains.Answers(Source.POST_COPY_FAILED, False, Destination.POST_COPY_FAILED)
MIGRATED = domains.Answers(Source.MIGRATED, False, Destination.ABSENT)
SHUT_OFF = domains.Answers(Source.SHUT_OFF, False, Destination.SHUT_OFF)
#: for the switchover, or by its user before
SWITCHED = domains.Answers(Source.PAUSED, True, Destination.ARRIVED)
PAUSED = domains.Answers(Source.PAUSED, False, Destination.ARRIVED)

#: in MiB/s: 32 MiB take seconds over it
SLOW = 6
POST_COPY = libvirt.VIR_MIGRATE_POSTCOPY
KEPT = libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
QEMU = b'/usr/bin/qemu-system-x86_64\0'
BREAK_OFF = libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY


class EvidenceTest(cases.LibvirtdTest):
    """A guest that is asked for at both ends."""

    def boot(self, *args, **more):
        guest = super().boot(*args, **more)
        self.uuid = guest.domain.UUIDString()
        return guest

    def told(self):
        """What the hosts say, n1 and n2."""
        return self.look('n1'), self.look('n2')

    def look(self, host):
        """What a host says."""
        return domains.look(self.lab[host].connect(), self.uuid)

    def assert_told(self, *expected):
        self.assertEqual(expected, self.told())

    def becomes(self, *expected, timeout=30.0):
        """Wait until the hosts say this; return what they said until then, once each."""
        seen = []

        def look():
            now = self.told()
            if not seen or seen[-1] != now:
                seen.append(now)
            return now == expected

        lab_domain.wait_until(look, timeout, f'{expected}', found=lambda: seen)
        return seen

    def copying(self, disks_mib=(), **more):
        """Start a migration that stays in its passes."""
        self.boot(disks_mib=disks_mib)
        migration = self.endless(**more)
        migration.wait_for(base.in_passes(2))
        return migration

    def post_copy(self, **more):
        """Start post-copy over a slow link."""
        migration = self.copying(flags=POST_COPY, **more)
        # A QEMU that waits for the rest of its guest's memory does not end when it is told to.
        self.addCleanup(self.kill_qemu, 'n2')
        self.shape(rate_mib_s=SLOW)
        migration.domain.migrateStartPostCopy(0)
        self.becomes(HALF_LEFT, HALF_HERE)
        return migration

    def restart(self, host):
        # What was known of the old one is of no use.
        self.lab[host].close()
        super().restart(host)

    def kill_qemu(self, host):
        """Kill the guest's QEMU on a host, if it is there."""
        for pid in self.lab[host].machine.processes():
            # It may end meanwhile.
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().startswith(QEMU):
                    os.kill(pid, signal.SIGKILL)


class WholeFacts(EvidenceTest):
    """Migrations that nothing happens to."""

    def test_one_that_ends_in_post_copy(self):
        self.boot()
        self.assert_told(HERE, ABSENT)
        migration = self.endless(flags=POST_COPY)
        migration.wait_for(lambda stats: stats.get('memory_processed'))
        self.assert_told(LEAVING, AWAITED)
        migration.wait_for(base.in_passes(2))
        self.assert_told(LEAVING, AWAITED)
        self.shape(rate_mib_s=SLOW)
        migration.domain.migrateStartPostCopy(0)
        seen = self.becomes(HALF_LEFT, HALF_HERE)
        # The source pauses it before.
        self.assertLessEqual(set(seen[:-1]), {
            (LEAVING, AWAITED), (SWITCHED, AWAITED), (HALF_LEFT, AWAITED)})
        self.lab.shape('n1')
        seen = self.becomes(ABSENT, HERE)
        # The destination is whole a moment before the source's job is over, and the source keeps
        # the definition for a moment more.
        self.assertLessEqual(set(seen[:-1]), {
            (HALF_LEFT, HALF_HERE), (HALF_LEFT, HERE), (MIGRATED, HERE)})
        self.assertIsNone(migration.wait().error)

    def test_a_switchover_that_takes_long(self):
        migration = self.copying()
        self.shape(rate_mib_s=SLOW)
        # More than all of it takes on that link, whatever rate QEMU believes in by then.
        migration.domain.migrateSetMaxDowntime(60_000)
        here = self.lab['n1'].another_connection().lookupByName('guest')
        lab_domain.wait_until(lambda: here.state()[0] == libvirt.VIR_DOMAIN_PAUSED,
                              what='the switchover', still=lambda: migration.running)
        self.assertEqual(AWAITED, self.look('n2'))
        # Whether there is a job, QEMU says when it is through.
        self.assertIn(self.look('n1'), (SWITCHED, ABSENT))
        self.becomes(ABSENT, HERE)
        self.assertIsNone(migration.wait().error)

    def test_a_source_that_keeps_its_definition(self):
        self.boot('idle')
        self.assertIsNone(self.migrate(without=KEPT).wait().error)
        self.assert_told(MIGRATED, HERE)
        # A libvirt that is started again has forgotten why it is off.
        self.restart('n1')
        self.assert_told(SHUT_OFF, HERE)
        self.guest.domain.destroy()
        self.assert_told(SHUT_OFF, SHUT_OFF)

    def test_one_that_is_aborted(self):
        migration = self.copying()
        migration.domain.abortJob()
        migration.wait()
        self.assert_told(HERE, ABSENT)

    def test_a_guest_that_its_user_has_paused(self):
        self.boot('idle')
        self.guest.domain.suspend()
        self.assert_told(PAUSED, ABSENT)
        migration = self.endless(8)
        migration.wait_for(lambda stats: stats.get('memory_processed'))
        self.assert_told(SWITCHED, AWAITED)
        migration.domain.migrateSetMaxSpeed(1000)
        self.assertIsNone(migration.wait().error)
        self.assert_told(ABSENT, PAUSED)

    def test_post_copy_is_refused_for_a_paused_guest(self):
        """So a half of a guest is never paused by its user."""
        self.boot('idle')
        self.guest.domain.suspend()
        migration = self.migrate(flags=POST_COPY).wait()
        self.assertEqual(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, migration.error.get_error_code())

    def test_a_job_of_another_kind(self):
        self.boot('idle', disks_mib=(64,))
        self.guest.domain.setBlockIoTune('vdb', {'total_bytes_sec': 4 * cases.MIB})
        target = self.lab['n1'].machine.folder / 'lib/backup.raw'
        self.addCleanup(target.unlink, missing_ok=True)
        self.guest.domain.backupBegin(textwrap.dedent("""
            <domainbackup><disks>
              <disk name='vda' backup='no'/>
              <disk name='vdb' type='file'><driver type='raw'/>
                <target file='/var/lib/libvirt/backup.raw'/></disk>
            </disks></domainbackup>"""), None)
        self.assertEqual(libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP,
                         self.guest.domain.jobStats()['operation'])
        self.assert_told(HERE, ABSENT)


class BrokenFacts(EvidenceTest):
    """Post-copy that breaks off."""

    def test_by_an_order(self):
        migration = self.post_copy()
        migration.domain.abortJobFlags(BREAK_OFF)
        self.becomes(BROKEN_LEFT, BROKEN_HERE)
        self.assertIsNotNone(migration.wait().error)
        # libvirt keeps the job and both halves, also when it is started again. The destination's,
        # started again, may get no answer from such a QEMU, and so says nothing either.
        self.assert_told(BROKEN_LEFT, BROKEN_HERE)
        self.restart('n1')
        self.assert_told(BROKEN_LEFT, BROKEN_HERE)

    def test_by_a_link_that_dies(self):
        """The destination does not notice, and the call does not return."""
        self.addCleanup(self.lab.deliver, 'n1')
        migration = self.post_copy()
        self.lab.drop('n1')
        self.assert_told(HALF_LEFT, HALF_HERE)
        migration.domain.abortJobFlags(BREAK_OFF)
        self.becomes(BROKEN_LEFT, HALF_HERE)
        self.assertTrue(migration.running)
        self.kill_qemu('n2')

    def test_by_the_death_of_qemu_at_the_source(self):
        migration = self.post_copy()
        # The call may end in such a way that the domain can be neither started nor undefined then,
        # before libvirt is started again.
        self.addCleanup(self.restart, 'n1')
        self.kill_qemu('n1')
        self.becomes(SHUT_OFF, BROKEN_HERE)
        self.assertIsNotNone(migration.wait().error)
        self.assert_told(SHUT_OFF, BROKEN_HERE)

    def test_by_the_death_of_qemu_at_the_destination(self):
        """It is defined there since the begin of post-copy."""
        migration = self.post_copy()
        self.kill_qemu('n2')
        self.becomes(BROKEN_LEFT, SHUT_OFF)
        self.assertIsNotNone(migration.wait().error)
        self.assert_told(BROKEN_LEFT, SHUT_OFF)


class RestartFacts(EvidenceTest):
    """A libvirtd that is killed and started again."""

    def test_at_the_source_in_the_copy(self):
        self.check_copy('n1')

    def test_at_the_destination_in_the_copy(self):
        self.check_copy('n2')

    def check_copy(self, host):
        self.copying()
        self.restart(host)
        seen = self.becomes(HERE, ABSENT)
        self.assertLessEqual(set(seen[:-1]), {(LEAVING, AWAITED), (LEAVING, ABSENT),
                                              (HERE, AWAITED)})

    def test_at_the_source_in_post_copy(self):
        """It goes on, and nobody is there to undefine the domain at the end."""
        self.post_copy()
        self.restart('n1')
        self.assert_told(HALF_LEFT, HALF_HERE)
        self.lab.shape('n1')
        self.becomes(MIGRATED, HERE)

    def test_at_the_destination_in_post_copy(self):
        """It goes on, though the source's libvirt says that it broke off.

        The destination's libvirt mostly says nothing before all of the memory is there, and never
        that the guest has arrived. At the very end the source's may say for a moment that the
        guest runs there, beside its job (seen with 11.3).
        """
        self.post_copy()
        self.restart('n2')
        lab_domain.wait_until(lambda: self.look('n1') == BROKEN_LEFT, what='the source to know')
        self.lab.shape('n1')
        seen = self.becomes(MIGRATED, HERE)
        self.assertLessEqual(set(seen[:-1]), {
            (BROKEN_LEFT, HALF_HERE), (BROKEN_LEFT, HERE), (LEAVING, HERE)})


class ClientFacts(EvidenceTest):
    """The client that began a migration is killed."""

    def test_another_client_sees_the_same(self):
        self.boot()
        self.addCleanup(self.kill_qemu, 'n2')
        script = textwrap.dedent(f"""
            import libvirt
            connection = libvirt.open({self.lab['n1'].connect().getURI()!r})
            connection.lookupByName('guest').migrateToURI3(
                {self.lab['n2'].uri!r}, {{'bandwidth': 40}}, {lab_domain.FLAGS | POST_COPY})
            """)
        client = subprocess.Popen([sys.executable, '-c', script])
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        here = self.guest.domain
        lab_domain.wait_until(lambda: here.jobStats().get('memory_processed'), what='the copy')
        os.kill(client.pid, signal.SIGKILL)
        client.wait()
        self.assert_told(LEAVING, AWAITED)
        self.shape(rate_mib_s=SLOW)
        here.migrateStartPostCopy(0)
        self.becomes(HALF_LEFT, HALF_HERE)
        here.abortJobFlags(BREAK_OFF)
        self.becomes(BROKEN_LEFT, BROKEN_HERE)
