# SPDX-License-Identifier: Apache-2.0
"""Nova's ladder and its timeout, and what a policy makes of them."""

import testtools

from bench.contest.peers import nova
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from tests.unit.bench.contest.peers import feed


class TestLadder(testtools.TestCase):

    def test_constants(self):
        self.assertEqual((0.5, 500, 100, 10, 75, 800, 2.0),
                         (nova.POLL_S, nova.DOWNTIME_MS, nova.LEAST_DOWNTIME_MS, nova.STEPS,
                          nova.DELAY_S_PER_GIB, nova.TIMEOUT_S_PER_GIB, nova.LEAST_GIB))

    def test_linear_from_a_tenth_to_the_whole(self):
        self.assertEqual([50, 95, 140, 185, 230, 275, 320, 365, 410, 455, 500],
                         [limit_ms for _, limit_ms in nova.ladder(2)])
        self.assertEqual([0, 150, 300], [at_s for at_s, _ in nova.ladder(2)][:3])
        self.assertEqual([0, 187, 374], [at_s for at_s, _ in nova.ladder(2.5)][:3])

    def test_each_device_is_two_gib_at_least(self):
        self.assertEqual(2, nova.data_gib(feed.task(512)))
        self.assertEqual(4, nova.data_gib(feed.task(512, 1024)))
        self.assertEqual(8.5, nova.data_gib(feed.task(2560, 6144)))


class TestStock(testtools.TestCase):

    def start(self, engine=nova.stock, memory_mib=1024, **values):
        return engine(feed.task(memory_mib, **values))

    def run_to(self, until_s, **values):
        return feed.polled(self.start(**values).pilot, nova.POLL_S, until_s)

    def test_how_it_starts(self):
        start = self.start(bandwidth_mib_s=70)
        self.assertEqual((70, 300, 0.5, False, False, False, False),
                         (start.bandwidth_mib_s, start.limit_ms, start.tick_s, start.boundaries,
                          start.auto_converge, start.post_copy, start.disk_cap_shared))
        self.assertIsNone(start.pilot.forecast)

    def test_climbs_after_each_delay_and_aborts_in_the_end(self):
        done = self.run_to(1610)
        self.assertEqual([(0.5, 50), (150.5, 95), (300.5, 140)], done[:3])
        self.assertEqual([(1500.5, 500), (1600.5, 'abort')], done[-2:])
        self.assertEqual(12, len(done))

    def test_eight_gib_are_at_320_ms_after_an_hour(self):
        self.assertEqual((3600.5, 320), self.run_to(3601, memory_mib=8192)[-1])

    def test_climbs_to_what_was_promised(self):
        done = self.run_to(1599, max_downtime_ms=300)
        self.assertEqual([30, 57, 84], [what for _, what in done[:3]])
        self.assertEqual(300, done[-1][1])

    def test_a_promise_below_the_least_that_nova_can_be_told(self):
        done = self.run_to(1599, max_downtime_ms=60)
        self.assertEqual([10, 19, 28, 37, 46, 55, 60], [what for _, what in done])
        self.assertEqual(60, self.start(max_downtime_ms=60).limit_ms)

    def test_a_deadline_that_is_sooner(self):
        self.assertEqual([(0.5, 50), (100.5, 'abort')], self.run_to(200, timeout_seconds=100))

    def test_a_deadline_that_is_later(self):
        self.assertEqual((1600.5, 'abort'), self.run_to(1700, timeout_seconds=9000)[-1])

    def test_a_step_that_is_refused_is_not_tried_again(self):
        done = feed.polled(self.start().pilot, 0.5, 1499, refuse=(remedies.SetMaxDowntime,))
        self.assertEqual([], done)

    def test_looks_first_when_it_has_slept_once(self):
        self.assertEqual([], feed.show(self.start().pilot, 0.1))

    def test_does_nothing_in_post_copy(self):
        self.assertIsNone(self.start().pilot.observe(samples.Sample(1601, post_copy=True)))

    def test_steps_that_were_missed_are_skipped(self):
        pilot = self.start().pilot
        self.assertEqual([50], feed.show(pilot, 1))
        self.assertEqual([140], feed.show(pilot, 301))
        self.assertEqual([], feed.show(pilot, 302))

    def test_auto_converge_and_nothing_else_where_permitted(self):
        start = self.start(remedies=('auto_converge', 'post_copy', 'pause'))
        self.assertEqual((True, 20, 10, 99, False),
                         (start.auto_converge, start.throttle_initial, start.throttle_increment,
                          start.throttle_highest, start.post_copy))
        self.assertEqual(['abort'], feed.show(start.pilot, 1601))


class TestForce(testtools.TestCase):

    def last(self, refuse=(), **values):
        start = nova.force(feed.task(**values))
        done = feed.polled(start.pilot, 0.5, 1603, refuse=refuse)
        return start.post_copy, start.auto_converge, [what for at_s, what in done if at_s > 1600]

    def test_as_far_as_permitted(self):
        both = ('auto_converge', 'pause')
        self.assertEqual((False, False, ['abort']), self.last())
        self.assertEqual((False, True, ['pause']), self.last(remedies=both))
        self.assertEqual((True, False, ['post-copy']), self.last(remedies=both,
                                                                 on_stall='post_copy'))
        self.assertEqual((False, False, ['pause']), self.last(on_timeout='force_complete'))

    def test_what_is_refused_is_tried_again_and_nothing_follows_an_end(self):
        pilot = nova.force(feed.task(remedies=('post_copy',))).pilot
        refuse = (remedies.StartPostCopy,)
        self.assertEqual([], feed.show(pilot, 1601, refuse=refuse))
        self.assertEqual(['post-copy'], feed.show(pilot, 1601.5))
        self.assertEqual([], feed.show(pilot, 1602))
