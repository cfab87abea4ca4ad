# SPDX-License-Identifier: Apache-2.0
"""Facts: the ways in which a migration ends, and where the guest is then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import libvirt

from lab import domain
from tests.lab import base


class TestAbort(base.HostsTest):

    def test_the_call_ends_with_a_code_of_its_own_and_the_guest_stays(self):
        self.boot()
        migration = self.endless()
        migration.wait_for(base.in_passes(2))
        migration.domain.abortJob()
        migration.wait()
        self.assertEqual(libvirt.VIR_ERR_OPERATION_ABORTED, migration.error.get_error_code(),
                         str(migration.error))
        self.assert_beats('n1')
        self.assertEqual([], self.beats.switches())
        self.assertEqual([], self.lab['n2'].connect().listAllDomains())

    def test_in_the_disk_phase(self):
        self.boot(disks_mib=(64,))
        migration = self.endless(2)
        migration.wait_for(lambda stats: stats.get('disk_processed', 0) > 0)
        migration.domain.abortJob()
        migration.wait()
        self.assertEqual(libvirt.VIR_ERR_OPERATION_ABORTED, migration.error.get_error_code())
        self.assert_beats('n1')

    def test_without_a_job_it_is_refused(self):
        self.boot('idle')
        self.assertEqual(libvirt.VIR_ERR_OPERATION_INVALID,
                         self.refused(self.guest.domain.abortJob))


class TestSuspend(base.HostsTest):

    def test_a_suspended_guest_completes_and_runs_there_by_itself(self):
        self.boot()
        migration = self.endless()
        migration.wait_for(base.in_passes(2))
        migration.domain.suspend()
        migration.wait()
        self.assertIsNone(migration.error)
        self.assertEqual(libvirt.VIR_DOMAIN_RUNNING, self.guest.domain.state()[0])
        self.assert_beats('n2')
        [switch] = self.beats.switches()
        self.assertTrue(switch.same_guest)


class TestClientDeath(base.HostsTest):

    def test_the_migration_goes_on_without_its_client(self):
        self.boot(rate_mib_s=10)
        script = textwrap.dedent(f"""
            import libvirt
            connection = libvirt.open({self.lab['n1'].connect().getURI()!r})
            connection.lookupByName('guest').migrateToURI3(
                {self.lab['n2'].uri!r}, {{'bandwidth': 20}}, {domain.FLAGS})
            """)
        client = subprocess.Popen([sys.executable, '-c', script])
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        here = self.guest.domain
        domain.wait_until(lambda: here.jobStats().get('memory_processed'))
        os.kill(client.pid, signal.SIGKILL)
        self.assertEqual(-signal.SIGKILL, client.wait())
        self.assertTrue(here.isActive())
        self.assertTrue(self.beats.wait_for_beats(10, log=1))
        domain.wait_until(lambda: not self.lab['n1'].connect().listAllDomains())


class TestPostCopy(base.HostsTest):

    def post_copy(self):
        """Start post-copy over a link so slow that it takes seconds."""
        self.shape(rate_mib_s=15)
        self.boot()
        migration = self.endless(10, flags=libvirt.VIR_MIGRATE_POSTCOPY)
        migration.wait_for(base.in_passes(2))
        migration.domain.migrateStartPostCopy(0)
        domain.wait_until(self.is_post_copy)
        return migration

    def is_post_copy(self):
        here = self.lab['n1'].connect().lookupByName('guest')
        return here.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY]

    def test_the_guest_runs_there_while_its_memory_follows(self):
        migration = self.post_copy()
        self.assertTrue(self.beats.wait_for_beats(1, log=1))
        self.assertTrue(migration.running)
        migration.wait()
        self.assertIsNone(migration.error)
        [switch] = self.beats.switches()
        self.assertTrue(switch.same_guest)
        self.assertGreater(migration.completed['memory_postcopy_requests'], 0)

    def test_an_abort_is_refused_then(self):
        migration = self.post_copy()
        self.assertEqual(libvirt.VIR_ERR_OPERATION_INVALID,
                         self.refused(migration.domain.abortJob))
        migration.wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')

    def test_it_is_refused_unless_asked_for_at_the_start(self):
        self.boot()
        migration = self.endless()
        migration.wait_for(base.in_passes(2))
        self.assertEqual(libvirt.VIR_ERR_OPERATION_INVALID,
                         self.refused(migration.domain.migrateStartPostCopy, 0))
