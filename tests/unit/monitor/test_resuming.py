# SPDX-License-Identifier: Apache-2.0
"""When a broken post-copy may be taken up, and how a try is told; tests/lab has real ones."""

import ddt
import libvirt
import testtools

from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import resuming
from tests.unit.monitor import fakes

BROKEN = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
UNNOTICED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
BUSY = fakes.error(libvirt.VIR_ERR_OPERATION_INVALID, 'QEMU reports migration is still running')
CALL = resuming.Call('qemu+tcp://n2/system', {'migrate_uri': 'tcp://n2'},
                     libvirt.VIR_MIGRATE_LIVE)


@ddt.ddt
class TestObstacle(testtools.TestCase):

    @ddt.data((8_005_000, 8_005_000), (9_000_000, 11_001_000), (11_003_000, 11_004_000),
              (11_002_000, 12_009_000), (11_001_000, 11_001_000))
    @ddt.unpack
    def test_none(self, here, there):
        self.assertIsNone(resuming.obstacle(here, there))

    @ddt.data((8_004_000, 9_000_000, 'libvirt on the source is 8.4.0, and it takes 8.5.0'),
              (9_000_000, 8_000_001, 'libvirt on the destination is 8.0.1, and it takes 8.5.0'),
              (9_000_000, 11_002_000, 'libvirt on the destination is 11.2.0, which dies of it'),
              (12_000_000, 11_003_000, 'libvirt on the destination is 11.3.0, which dies of it'),
              (9_000_000, 11_003_999, '11.4.0 does not'))
    @ddt.unpack
    def test_one_is_named_with_what_to_do(self, here, there, words):
        said = resuming.obstacle(here, there)
        self.assertIn(words, said)
        self.assertIn('both halves of the memory are kept; upgrade libvirt there, or give up what '
                      'the server has in memory', said)


class TestPauses(testtools.TestCase):

    def test_they_grow_to_the_longest(self):
        self.assertEqual([2, 4, 8, 16, 30, 30], [resuming.pause_s(n) for n in range(1, 7)])
        self.assertEqual(30, resuming.pause_s(10 ** 6))


class TestAttempt(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.clock = fakes.Clock()
        self.resuming = resuming.Resuming(self.clock)
        self.said = []

    def attempt(self, here=9_000_000, there=9_000_000, **answers):
        self.domain = fakes.Domain(**{'state': BROKEN, 'migrateToURI3': 0, **answers})
        return self.resuming.attempt(guest_mod.MigratingGuest(self.domain), CALL,
                                     libvirt_here=here, libvirt_there=there, say=self.said.append)

    def calls(self):
        return [name for name, *_ in self.domain.calls]

    def test_one_that_is_done(self):
        self.assertTrue(self.attempt())
        self.assertEqual(['state', 'migrateToURI3'], self.calls())
        self.assertEqual([
            'post-copy is being resumed, try 1',
            'post-copy was resumed, and all of the memory is on the destination'], self.said)

    def test_one_that_qemu_has_not_noticed_is_broken_off_first(self):
        self.assertTrue(self.attempt(state=UNNOTICED))
        self.assertEqual(['state', 'abortJobFlags', 'migrateToURI3'], self.calls())
        self.assertEqual(libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY, self.domain.calls[1][1])

    def test_one_that_fails_is_told_and_not_tried_again_at_once(self):
        self.assertFalse(self.attempt(migrateToURI3=BUSY))
        self.assertEqual(
            'post-copy could not be resumed, try 1: migrateToURI3: QEMU reports migration is '
            'still running; both halves of the memory are kept, and it is tried again in 2 s at '
            'the earliest', self.said[-1])
        self.assertEqual(2, self.resuming.rest_s)
        self.clock.sleep(1.9)
        self.assertFalse(self.attempt())
        self.assertEqual([], self.calls())
        self.clock.sleep(0.2)
        self.assertFalse(self.attempt(migrateToURI3=BUSY))
        self.assertIn('try 2: ', self.said[-1])
        self.clock.sleep(3.9)
        self.assertFalse(self.resuming.is_due)
        self.clock.sleep(0.2)
        self.assertEqual(0, self.resuming.rest_s)
        self.assertTrue(self.attempt())

    def test_any_error_is_one_try(self):
        for answers in ({'state': BUSY}, {'state': UNNOTICED, 'abortJobFlags': BUSY}):
            self.clock.sleep(100)
            self.assertFalse(self.attempt(**answers))
            self.assertNotIn('migrateToURI3', self.calls())

    def test_one_that_has_left_is_whole(self):
        self.assertTrue(self.attempt(state=fakes.error(libvirt.VIR_ERR_NO_DOMAIN)))
        self.assertEqual(['state'], self.calls())

    def test_nothing_is_said_or_tried_while_a_version_is_not_known(self):
        self.assertFalse(self.attempt(here=0))
        self.assertFalse(self.attempt(there=0))
        self.assertEqual(([], []), (self.said, self.calls()))
        self.assertIsNone(self.resuming.rest_s)

    def test_what_cannot_be_done_is_told_once_and_not_tried(self):
        for _ in range(3):
            self.assertFalse(self.attempt(there=11_003_000))
            self.assertEqual([], self.calls())
        self.assertEqual([resuming.obstacle(9_000_000, 11_003_000)], self.said)
        # It has been upgraded.
        self.assertTrue(self.attempt(there=11_004_000))
