# SPDX-License-Identifier: Apache-2.0
"""What libvirt does by itself with the two domains, and what is lost when one is removed."""

import random

import testtools

from nova_migpolicy.recovery import evidence
from nova_migpolicy.sim.cluster import qemus

Source = evidence.Source
Destination = evidence.Destination


class QemusCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.later = []
        self.said = []
        self.start(is_paused=False)

    def start(self, is_paused, seed=1):
        self.qemus = qemus.Qemus(
            random.Random(seed), lambda seconds, what, *args: self.later.append((what, args)),
            self.said.append, is_paused)
        self.qemus.prepare()
        self.qemus.start()

    def go(self, *until):
        """Let it go on by itself until the domains are like this, or nothing is left to do."""
        while self.later and self.domains not in until:
            what, args = self.later.pop(0)
            what(*args)
            self.assertLess(self.qemus.running(), 2 + self.qemus.is_doubled)

    @property
    def domains(self):
        return (self.qemus.source, self.qemus.destination)


SWITCH = (Source.PAUSED, Destination.INCOMING)
CONFIRM = (Source.PAUSED, Destination.ARRIVED)
COPY = (Source.RUNNING, Destination.INCOMING)
POST_COPY = (Source.POST_COPY, Destination.POST_COPY)


class TestCourse(QemusCase):

    def test_pre_copy(self):
        self.assertEqual((COPY, True, 1), (
            self.domains, self.qemus.job, self.qemus.running()))
        self.go(SWITCH)
        self.assertEqual((SWITCH, 0), (self.domains, self.qemus.running()))
        self.go(CONFIRM)
        self.assertEqual((CONFIRM, True, 1), (
            self.domains, self.qemus.job, self.qemus.running()))
        self.go()
        self.assertIn(self.qemus.source, (Source.ABSENT, Source.MIGRATED))
        self.assertFalse(self.qemus.job)
        self.assertFalse(self.qemus.is_moving)

    def test_post_copy(self):
        self.qemus.start_post_copy()
        self.assertEqual((POST_COPY, 1), (self.domains, self.qemus.running()))
        self.go((Source.POST_COPY, Destination.ARRIVED))
        self.go()
        self.assertIn(self.qemus.source, (Source.ABSENT, Source.MIGRATED))

    def test_what_its_user_has_paused_runs_nowhere(self):
        self.start(is_paused=True)
        self.go()
        self.assertEqual((Destination.ARRIVED, 0), (
            self.qemus.destination, self.qemus.running()))

    def test_post_copy_is_taken_up(self):
        self.qemus.start_post_copy()
        self.qemus.link = False
        self.go((Source.POST_COPY_FAILED, Destination.POST_COPY_FAILED))
        self.assertFalse(self.qemus.resume_post_copy())
        self.qemus.link = True
        self.assertTrue(self.qemus.resume_post_copy())
        self.assertEqual((POST_COPY, True), (self.domains, self.qemus.job))
        self.go()
        self.assertEqual(Destination.ARRIVED, self.qemus.destination)


class TestFaults(QemusCase):

    def test_a_cut_link_in_the_copy_or_the_switchover_ends_at_the_source(self):
        for domains in (COPY, SWITCH):
            self.start(is_paused=False)
            self.go(domains)
            self.qemus.link = False
            self.go()
            self.assertEqual((Source.RUNNING, Destination.ABSENT), self.domains)
            self.assertFalse(self.qemus.job)

    def test_a_lost_reply_to_finish_may_let_both_run(self):
        found = set()
        for seed in range(20):
            self.later.clear()
            self.start(is_paused=False, seed=seed)
            self.go(CONFIRM)
            self.qemus.link = False
            self.go()
            found.add((self.qemus.source, self.qemus.is_doubled, self.qemus.running()))
        self.assertEqual({(Source.RUNNING, True, 2), (Source.PAUSED, False, 1)}, found)

    def test_libvirtd_restarted_on_the_source(self):
        self.qemus.source_daemon_restarted()
        self.go()
        self.assertEqual((Source.RUNNING, Destination.ABSENT), self.domains)
        for domains, destination in ((SWITCH, Destination.ABSENT), (
                CONFIRM, Destination.ARRIVED)):
            self.later.clear()
            self.start(is_paused=False)
            self.go(domains)
            self.qemus.source_daemon_restarted()
            self.go()
            self.assertEqual((Source.PAUSED, destination), self.domains)
            self.assertFalse(self.qemus.job)

    def test_libvirtd_restarted_in_post_copy_goes_on_without_a_job(self):
        self.qemus.start_post_copy()
        self.qemus.source_daemon_restarted()
        self.assertEqual((POST_COPY, False), (self.domains, self.qemus.job))
        self.go()
        self.assertEqual(Destination.ARRIVED, self.qemus.destination)

    def test_libvirtd_restarted_on_the_destination(self):
        self.qemus.destination_daemon_restarted()
        self.go()
        self.assertEqual((Source.RUNNING, Destination.ABSENT), self.domains)

    def test_the_source_dies(self):
        for domains, expected in (
                (COPY, (Source.SHUT_OFF, Destination.ABSENT)),
                (CONFIRM, (Source.SHUT_OFF, Destination.ARRIVED))):
            self.later.clear()
            self.start(is_paused=False)
            self.go(domains)
            self.qemus.source_died()
            self.go()
            self.assertEqual(expected, self.domains)
            self.assertEqual(set(), self.qemus.hazards)

    def test_a_half_that_dies_is_a_loss(self):
        for dies, domains in (
                ('source_died',
                 (Source.SHUT_OFF, Destination.POST_COPY_FAILED)),
                ('destination_died',
                 (Source.POST_COPY_FAILED, Destination.ABSENT))):
            self.later.clear()
            self.start(is_paused=False)
            self.qemus.start_post_copy()
            getattr(self.qemus, dies)()
            self.go()
            self.assertEqual(domains, self.domains)
            self.assertEqual({qemus.HALF_DIED}, self.qemus.hazards)

    def test_the_destination_dies(self):
        self.qemus.destination_died()
        self.go()
        self.assertEqual((Source.RUNNING, Destination.ABSENT), self.domains)


class TestRemoval(QemusCase):

    def test_what_is_lost(self):
        for domains, host, lost in (
                (COPY, 'source', True), (COPY, 'destination', False), (SWITCH, 'source', True),
                (CONFIRM, 'source', False), (CONFIRM, 'destination', True)):
            self.later.clear()
            self.start(is_paused=False)
            self.go(domains)
            self.assertEqual(lost, bool(self.qemus.remove(host)), (domains, host))

    def test_a_half_is_a_loss(self):
        for host in ('source', 'destination'):
            self.later.clear()
            self.start(is_paused=False)
            self.qemus.start_post_copy()
            self.assertTrue(self.qemus.remove(host))
