# SPDX-License-Identifier: Apache-2.0
"""Facts: the ways in which a migration ends, and where the guest is then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap


from lab import domain
from tests.lab import base
from tests.lab import facts


class TestAbort(facts.AbortFacts):
    pass


class TestSuspend(facts.SuspendFacts):
    pass


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


class TestPostCopy(facts.PostCopyFacts):
    pass
