# SPDX-License-Identifier: Apache-2.0
"""What the guest's QEMU or the destination cannot do is left out, and the migration arrives."""

from __future__ import annotations

import pathlib

import libvirt_qemu

from lab import domain as lab_domain
from nova_migpolicy.compute import fits
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from tests.lab import base
from tests.lab import cases
from tests.lab import steered

USERFAULTFD = pathlib.Path('/proc/sys/vm/unprivileged_userfaultfd')
GENTLE = {'bandwidth_mib_s': '20', 'max_bandwidth_mib_s': '20', 'timeout_seconds': '600'}
#: a libvirtd that was started anew looks at its QEMU first, which takes long on a busy machine
PREPARED_S = 120.0
#: post-copy over parallel connections, which no QEMU of the lab has
BOTH = {'remedies': 'post_copy', 'parallel_connections': '2', **GENTLE}
UPGRADED = 10_001_000


class FitsTest(base.HostsTest):

    def arrive(self, moving, seen=None):
        """Wait for the end of a migration; `seen` is given QEMU's capabilities in the copy."""
        lab_domain.wait_until(
            lambda: not moving.running or any(
                sample.get('memory_remaining_bytes') for sample in moving.records('sample')),
            PREPARED_S, 'the copy')
        if seen is not None and moving.running:
            seen.update((one['capability'], one['state'])
                        for one in self.qmp('query-migrate-capabilities')[0])
        ended = moving.wait()
        self.assertIs(outcome_mod.End.COMPLETED, ended.end, ended.reason)
        self.assert_beats('n2')

    def assert_noted(self, moving, *words):
        """The one note is shown with the policy and in the timeline."""
        [note] = moving.control.policy(None, moving.server, moving.migration).body['notes']
        self.assertIn(note, [event['text'] for event in moving.records('event')])
        for word in words:
            self.assertIn(word, note)


class UserfaultfdTest(FitsTest, cases.LibvirtdTest):
    """QEMU at the destination is not root, and the kernel gives userfaultfd to root alone."""

    def setUp(self):
        super().setUp()
        if not USERFAULTFD.exists() or USERFAULTFD.read_text().strip() != '0':
            self.skipTest(f'{USERFAULTFD} is not 0: everybody may use userfaultfd here')
        settings = self.lab['n2'].machine.folder / 'etc/qemu.conf'
        usual = settings.read_text()
        self.addCleanup(self.restart, 'n2')
        self.addCleanup(settings.write_text, usual)
        # It goes away before the host is as it was.
        self.addCleanup(lambda: self.guest is not None and self.guest.destroy())
        settings.write_text(usual.replace('user = "root"', 'user = "nobody"'))
        self.restart('n2')

    def check(self, **policy):
        moving = steered.Move(self.guest, **{'profile': 'evacuate', **GENTLE, **policy})
        seen = {}
        self.arrive(moving, seen)
        self.assertFalse(seen['postcopy-ram'])
        self.assertEqual((fits.POST_COPY,), moving.session.call.left_out)
        self.assert_noted(moving, 'post_copy is left out', 'Postcopy is not supported')
        self.assertEqual(['n2'], list(steered.whereabouts(self.guest)))
        return moving


class TestUserfaultfd(UserfaultfdTest):

    def test_it_goes_on_without_post_copy(self):
        self.boot(set_mib=8, rate_mib_s=5)
        self.check()

    def test_the_engine_does_not_reckon_with_it(self):
        """A guest that post-copy would have taken across is taken by the next remedy."""
        self.boot(set_mib=32, rate_mib_s=80)
        moving = self.check(remedies='post_copy,pause', max_downtime_ms='100',
                            initial_downtime_ms='100')
        self.assertEqual(['pause'], [one['action'] for one in moving.records('action')])

    def test_disks_are_copied_by_the_second_call(self):
        disk = self.lab['n2'].images / 'guest.0'
        disk.touch()
        disk.chmod(0o666)
        self.boot(set_mib=8, rate_mib_s=5, disks_mib=(16,))
        self.check()
        self.assertEqual((self.lab['n1'].images / 'guest.0').read_bytes(), disk.read_bytes())


class TestUserfaultfdTrixie(base.Trixie, UserfaultfdTest):

    def test_a_newer_qemu_refuses_in_other_words(self):
        self.boot(set_mib=8, rate_mib_s=5)
        self.assert_noted(self.check(), 'Userfaultfd not available')


class TestVersions(FitsTest):
    """The QEMU that runs a guest is older than the one that is installed, as after an upgrade."""

    def test_it_is_asked_and_answers_as_libvirt_does(self):
        self.boot(set_mib=8, rate_mib_s=5)
        asked = guest_mod.MigratingGuest(
            lambda: self.guest.domain,
            lambda domain, text: libvirt_qemu.qemuMonitorCommand(domain, text, 0))
        self.assertEqual(self.lab['n1'].connect().getVersion(), asked.qemu_version())

    def test_what_it_cannot_do_is_left_out_before_the_start(self):
        self.boot(set_mib=8, rate_mib_s=5)
        installed = self.lab['n1'].connect().getLibVersion(), UPGRADED
        moving = steered.Move(self.guest, versions=installed, **BOTH)
        seen = {}
        self.arrive(moving, seen)
        self.assertEqual((False, True), (seen['postcopy-ram'], seen['multifd']))
        self.assertEqual((), moving.session.call.left_out)
        self.assert_noted(moving, 'post_copy is left out', 'the QEMU that runs the server')


class TestVersionsTrixie(base.Trixie, TestVersions):

    def test_where_it_may_not_be_asked_it_refuses(self):
        self.boot(set_mib=8, rate_mib_s=5)
        installed = self.lab['n1'].connect().getLibVersion(), UPGRADED
        moving = steered.Move(self.guest, allow_qmp=False, versions=installed, **BOTH)
        seen = {}
        self.arrive(moving, seen)
        self.assertEqual((False, True), (seen['postcopy-ram'], seen['multifd']))
        self.assertEqual((fits.POST_COPY,), moving.session.call.left_out)
        self.assert_noted(moving, 'post_copy is left out', 'multifd')


class TestOlderLibvirt(FitsTest):
    """A libvirt that does not know a kind of compression."""

    def test_it_is_sent_uncompressed(self):
        self.boot(set_mib=8, rate_mib_s=5)
        moving = steered.Move(self.guest, versions=(9_004_000, 7_002_000), compression='zstd',
                              parallel_connections='2', **GENTLE)
        seen = {}
        self.arrive(moving, seen)
        self.assertTrue(seen['multifd'])
        self.assertEqual(('zstd',), moving.session.call.left_out)
        self.assert_noted(moving, 'compression zstd is left out')
