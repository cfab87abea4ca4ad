# SPDX-License-Identifier: Apache-2.0
"""A pair of hosts that is up for a whole run of tests, and guests that go away after each."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil
import tempfile
import time

import libvirt
import libvirt_qemu
import testtools

from lab import domain
from lab import guests
from lab import hosts
from lab import needs
from lab import trixie
from lab import workdir
from tests import ending
from tests import folders
from tests import telling

#: a beat is seen to about 10 ms on either side
BEATS_MS = 20
_up = {}


@functools.cache
def _folder():
    return folders.unused(folders.LAB)


def shared_hosts(flavour='bookworm', storage='block'):
    """Return the hosts of one kind, started when they are first asked for."""
    kind = f'{flavour}-{storage}'
    if kind not in _up:
        _up[kind] = hosts.Hosts(_folder() / kind, flavour=flavour, storage=storage,
                                say=telling.say).up()
        telling.say()
        ending.at_end(_down, _up[kind])
    return _up[kind]


def _down(lab):
    lab.down()
    if not any(_folder().iterdir()):
        _folder().rmdir()


class RootTest(testtools.TestCase):
    """Needs namespaces."""

    def setUp(self):
        super().setUp()
        problems = needs.check_hosts() + needs.check_guests()
        if problems:
            self.skipTest('; '.join(problems))

    def work_folder(self):
        """Return a work folder whose lab is taken down after the test."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix='migpolicy lab '))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.addCleanup(workdir.down, folder / 'lab')
        return folder / 'lab'


class HostsTest(RootTest):
    """Needs two hosts; their links are as fast as they get."""

    flavour = 'bookworm'
    storage = 'block'

    @classmethod
    def needs(cls):
        return cls.flavour, cls.storage

    def setUp(self):
        super().setUp()
        self.lab = shared_hosts(self.flavour, self.storage)
        self.guest = None

    def boot(self, kind='sweep', memory_mib=64, set_mib=32, rate_mib_s=80, disks_mib=(),
             unknown_mib=0, **more):
        """Start a guest on n1; a recorder of its beats begins with it."""
        guest = guests.Guest(kind, memory_mib, set_mib, rate_mib_s, **more)
        self.guest = domain.LabDomain(self.lab, 'guest', guest, disks_mib=disks_mib,
                                      unknown_mib=unknown_mib)
        self.addCleanup(self.guest.destroy)
        self.guest.boot()
        self.beats = self.guest.recorder()
        self.addCleanup(self.beats.stop)
        return self.guest

    def assert_promised(self, promised_ms):
        """The blackout is no longer than was promised.

        A host that is too busy stops its guests at other times as well.
        """
        self.assertLessEqual(self.beats.least_blackout_ms,
                             promised_ms + BEATS_MS + self.beats.longest_stop_ms)

    def migrate(self, to='n2', **more):
        """Start a migration that is stopped after the test if it still runs then."""
        migration = self.guest.migrate(to, **more)
        self.addCleanup(self._end, migration)
        return migration

    def endless(self, cap_mib_s=40, **more):
        """Start a migration that never ends by itself, for `boot()`'s guest."""
        return self.migrate(params={'bandwidth': cap_mib_s, **more.pop('params', {})}, **more)

    def shape(self, **more):
        """Slow the link of n1 for this test."""
        self.addCleanup(self.lab.shape, 'n1')
        self.lab.shape('n1', **more)

    def qmp(self, command, **arguments):
        """Talk to QEMU past libvirt; returns its answer and how long it took, in seconds."""
        began = time.monotonic()
        text = json.dumps({'execute': command, 'arguments': arguments})
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(self.guest.domain, text, 0))
        return answer['return'], time.monotonic() - began

    def refused(self, call, *args):
        """Call what libvirt is to refuse; returns the error code."""
        return self.assertRaises(libvirt.libvirtError, call, *args).get_error_code()

    def assert_beats(self, host):
        """The guest beats on a host."""
        log = self.lab.names.index(host)
        self.assertTrue(self.beats.wait_for_beats(10, log), f'no beat on {host}')

    def _end(self, migration):
        if migration.running:
            try:
                migration.domain.abortJob()
            except libvirt.libvirtError as e:
                self.addDetail('abort', testtools.content.text_content(str(e)))
        migration.wait()


class Trixie:
    """On hosts of Debian 13, where their tree can be made."""

    flavour = 'trixie'

    def setUp(self):
        missing = trixie.check()
        if missing:
            self.skipTest(missing[0])
        super().setUp()


def in_passes(number=2):
    """Return the condition that the migration is in that pass or a later one."""
    return lambda stats: (stats.get('memory_iteration') or 0) >= number
