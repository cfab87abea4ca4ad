# SPDX-License-Identifier: Apache-2.0
"""KubeVirt's timeouts and its ramp, and what a policy makes of them."""

import testtools

from bench.contest.peers import kubevirt
from tests.unit.bench.contest.peers import feed


class TestTimeouts(testtools.TestCase):

    def polled(self, until_s=400, engine=kubevirt.stock, left_mib=None, **values):
        more = {'left_mib': left_mib} if left_mib else {}
        return feed.polled(engine(feed.task(**values)).pilot, kubevirt.POLL_S, until_s, **more)

    def test_constants(self):
        self.assertEqual((0.4, 150, 150, 900, 150, 7, 3, 10),
                         (kubevirt.POLL_S, kubevirt.TIMEOUT_S_PER_GB, kubevirt.PROGRESS_S,
                          kubevirt.MAX_DOWNTIME_MS, kubevirt.RAMP_FIRST_MS, kubevirt.RAMP_STEPS,
                          kubevirt.RAMP_FROM_PASS, kubevirt.RAMP_COOLDOWN_S))

    def test_gigabytes_are_rounded_up(self):
        for memory_mib, disk_mib, seconds in ((512, 0, 150), (1024, 0, 300), (8192, 0, 1350),
                                              (8192, 2048, 1650)):
            self.assertEqual(seconds, kubevirt.own_timeout_s(feed.task(memory_mib, disk_mib)))

    def test_how_it_starts(self):
        start = kubevirt.stock(feed.task(bandwidth_mib_s=70))
        self.assertEqual((70, 300, 0.4, False, False, False),
                         (start.bandwidth_mib_s, start.limit_ms, start.tick_s, start.boundaries,
                          start.auto_converge, start.post_copy))
        self.assertEqual(200, kubevirt.stock(feed.task(max_downtime_ms=200)).limit_ms)
        start = kubevirt.stock(feed.task(remedies=('auto_converge', 'post_copy')))
        self.assertTrue(start.auto_converge and start.post_copy)

    def test_at_the_timeout_what_is_permitted(self):
        self.assertEqual([(301.2, 'abort')], self.polled())
        self.assertEqual([(301.2, 'pause')], self.polled(remedies=('pause',)))
        self.assertEqual([(301.2, 'post-copy')], self.polled(remedies=('pause', 'post_copy')))

    def test_a_deadline_that_is_sooner(self):
        self.assertEqual([(101.2, 'abort')], self.polled(timeout_seconds=100))

    def test_a_link_that_moves_nothing(self):
        permitted = {'remedies': ('pause', 'post_copy')}
        # It is first seen at 0.4 s.
        self.assertEqual([(151.6, 'abort')], self.polled(left_mib=lambda at_s: 500, **permitted))
        # Any fall from one poll to the next is progress, also back from a new pass.
        self.assertEqual([(301.2, 'post-copy')], self.polled(
            left_mib=lambda at_s: 500 - at_s % 140, **permitted))


class TestRamp(testtools.TestCase):

    def limits(self, iteration=lambda at_s: 9, until_s=130, **values):
        # Times that are exact as numbers.
        return feed.polled(kubevirt.ramp(feed.task(**values)).pilot, 0.5, until_s, iteration)

    def test_the_steps(self):
        done = self.limits()
        self.assertEqual([150, 257, 364, 471, 578, 685, 792, 899, 900],
                         [what for _, what in done])
        self.assertEqual([0.5, 10.5, 20.5, 30.5], [at_s for at_s, _ in done[:4]])

    def test_waits_for_the_third_count(self):
        done = self.limits(lambda at_s: 2 if at_s < 60 else 3, 75)
        self.assertEqual([(0.5, 150), (60.0, 257), (70.0, 364)], done)

    def test_limits_are_clamped(self):
        self.assertEqual([150, 200, 250, 300, 350, 400, 450, 500],
                         [what for _, what in self.limits(max_downtime_ms=500)])
        self.assertEqual([(0.5, 120)], self.limits(max_downtime_ms=120))

    def test_a_refused_step_is_tried_again(self):
        pilot = kubevirt.ramp(feed.task()).pilot
        feed.show(pilot, 0.4)
        self.assertEqual([], feed.show(pilot, 10.4, 5, refuse=(feed.remedies.SetMaxDowntime,)))
        self.assertEqual([257], feed.show(pilot, 10.8, 5))

    def test_the_timeouts_stay(self):
        self.assertEqual((301.0, 'abort'), self.limits(until_s=400)[-1])
