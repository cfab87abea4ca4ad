# SPDX-License-Identifier: Apache-2.0
"""KubeVirt's stall detector, what is done at a local minimum, and what a policy makes of it."""

import testtools

from bench.contest.peers import kubevirt_stall
from bench.contest.peers import stall
from nova_migpolicy.engine import remedies
from tests.unit.bench.contest.peers import feed


class TestDetector(testtools.TestCase):

    def at(self, *passes):
        """The times (in s) at which there was a local minimum; passes are pairs of time, MiB."""
        detector = stall.Detector()
        return [at_s for at_s, left in passes
                if detector.end_of_pass(int(at_s * 1000), left * feed.MIB)]

    def test_constants(self):
        self.assertEqual((0.04, 40_000, 0.5),
                         (stall.MARGIN, stall.PROGRESS_MS, stall.PATIENCE_FACTOR))

    def test_what_falls_has_not_stalled(self):
        self.assertEqual([], self.at(*((10 * n, 1000 - 50 * n) for n in range(15))))

    def test_stalls_when_96_percent_of_the_least_of_40_s_ago_remain(self):
        self.assertEqual([], self.at((0, 1000), (39, 1000)))
        self.assertEqual([40], self.at((0, 1000), (40, 1000)))
        self.assertEqual([40], self.at((0, 1000), (40, 960)))
        self.assertEqual([], self.at((0, 1000), (40, 959)))

    def test_waits_for_a_pass_within_104_percent_of_the_best(self):
        self.assertEqual([60, 70], self.at((0, 1000), (10, 900), (40, 1100), (50, 937), (60, 936),
                                           (70, 500)))

    def test_relaxes_after_40_s_and_then_twice_as_fast(self):
        ups = ((0, 1000), (40, 2000), (60, 1500), (79, 1600), (80, 1700), (90, 1600),
               (99, 1664), (100, 1800), (105, 1700), (110, 1701))
        # From 80 s on 1500 is wanted, from 100 s 1600, and from 110 s the second 1600.
        self.assertEqual([], self.at(*ups))
        self.assertEqual([101], self.at(*ups[:-2], (101, 1664)))
        self.assertEqual([85], self.at(*ups[:5], (85, 1560)))


class TestStalling(testtools.TestCase):

    def start(self, **values):
        return kubevirt_stall.stock(feed.task(**values))

    def steered(self, passes, until_s, **values):
        """Feed ends of passes as (time, MiB), and polls in between; 100 MiB/s."""
        pilot = self.start(**values).pilot
        ends = dict(passes)
        done = []
        for tenth in range(4, int(until_s * 10)):
            at_s = tenth / 10
            if at_s in ends:
                did = feed.show(pilot, at_s, left_mib=ends[at_s], boundary=True)
            elif not tenth % 4:
                did = feed.show(pilot, at_s)
            else:
                continue
            done += [(at_s, what) for what in did]
        return done

    def plateau(self, left_mib, until_s=300, **values):
        return self.steered([(at_s, left_mib) for at_s in range(10, until_s, 10)], until_s,
                            **values)

    def test_constants(self):
        self.assertEqual((0.4, 1.5, 2, 60, 2_000_000),
                         (kubevirt_stall.EWMA_ALPHA, kubevirt_stall.POSSIBLE_FACTOR,
                          kubevirt_stall.TIMEOUT_FACTOR, kubevirt_stall.SWITCHOVER_S,
                          kubevirt_stall.HARD_STOP[1].limit_ms))

    def test_how_it_starts(self):
        start = self.start(bandwidth_mib_s=70)
        self.assertEqual((70, 300, 0.4, True, False, False),
                         (start.bandwidth_mib_s, start.limit_ms, start.tick_s, start.boundaries,
                          start.auto_converge, start.post_copy))
        self.assertEqual(250, self.start(max_downtime_ms=250).limit_ms)

    def test_within_what_is_tolerated_the_limit_goes_to_the_highest(self):
        self.assertEqual([(50, 900), (111.2, 'abort')], self.plateau(80, 120))
        self.assertEqual([(50, 900)], self.plateau(134, 60))
        self.assertEqual([(50, 'abort')], self.plateau(136, 60))

    def test_limits_are_clamped_and_so_is_what_is_tolerated(self):
        self.assertEqual([(50, 500)], self.plateau(74, 60, max_downtime_ms=500))
        self.assertEqual([(50, 'abort')], self.plateau(76, 60, max_downtime_ms=500))

    def test_disruption_where_permitted_whatever_remains(self):
        self.assertEqual([(50, 'post-copy')],
                         self.plateau(500, 60, remedies=('post_copy', 'pause')))
        self.assertEqual([(50, 'pause'), (50, 2_000_000)],
                         self.plateau(500, 60, remedies=('pause',)))

    def test_the_rate_is_smoothed_between_the_passes(self):
        # 0.4 x 50 + 0.6 x 100 = 80 MiB/s: 107 MiB are 1337 ms, and 109 MiB are 1362 ms.
        for left_mib, done in ((107, [900]), (109, ['abort'])):
            pilot = self.start().pilot
            feed.show(pilot, 1, rate_mib_s=100)
            feed.show(pilot, 2, rate_mib_s=50)
            # What is reported at the end of a pass does not count.
            feed.show(pilot, 3, left_mib=left_mib, boundary=True, rate_mib_s=1)
            self.assertEqual(done, feed.show(pilot, 43, left_mib=left_mib, boundary=True))

    def test_a_pass_before_the_first_rate_does_not_count(self):
        pilot = self.start().pilot
        feed.show(pilot, 1, left_mib=80, boundary=True)
        feed.show(pilot, 2)
        self.assertEqual([], feed.show(pilot, 45, left_mib=80, boundary=True))

    def test_no_switchover_that_cannot_be_over_by_twice_the_timeout(self):
        # 500 MiB at 100 MiB/s are 5 s, and 9 s are left.
        done = self.plateau(500, 60, remedies=('post_copy',), timeout_seconds=10)
        self.assertEqual([(11.2, 'post-copy')], done)
        # 1,000 MiB at 100 MiB/s are 10 s, and 8 s are left.
        self.assertEqual([(11.2, 'abort')], self.steered(
            [(2.0, 1000)], 30, remedies=('post_copy',), timeout_seconds=10))

        # At the stall, 6,000 MiB are 60 s, and 45 s are left.
        self.assertEqual([(46.0, 'abort')], self.steered(
            [(5.2, 6000), (45.2, 6000)], 50, remedies=('post_copy',), timeout_seconds=45))

    def test_at_the_timeout_what_is_permitted(self):
        falling = [(at_s, 2 ** -(at_s / 20) * 4000) for at_s in range(10, 310, 10)]
        for permitted, ends in (((), ['abort']), (('pause',), ['pause', 2_000_000]),
                                (('pause', 'post_copy'), ['post-copy'])):
            done = self.steered(falling, 310, remedies=permitted)
            self.assertEqual(ends, [what for _, what in done])
            self.assertEqual(301.2, done[0][0])

    def test_what_is_refused_is_tried_at_the_next_minimum(self):
        pilot = self.start(remedies=('post_copy',)).pilot
        feed.show(pilot, 1)
        feed.show(pilot, 2, left_mib=80, boundary=True)
        refuse = (remedies.StartPostCopy,)
        self.assertEqual([], feed.show(pilot, 42, left_mib=80, boundary=True, refuse=refuse))
        self.assertEqual(['post-copy'], feed.show(pilot, 52, left_mib=80, boundary=True))
        self.assertEqual([], feed.show(pilot, 62, left_mib=80, boundary=True))
