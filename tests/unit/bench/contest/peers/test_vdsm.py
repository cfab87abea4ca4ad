# SPDX-License-Identifier: Apache-2.0
"""VDSM's schedules: which step at which look, and what a policy makes of them."""

import testtools

from bench.contest.peers import vdsm
from nova_migpolicy.engine import remedies
from tests.unit.bench.contest.peers import feed

LADDER = [150, 200, 300, 400, 500]


class TestSchedules(testtools.TestCase):

    def start(self, engine=vdsm.minimal, **values):
        return engine(feed.task(**values))

    def steps(self, engine=vdsm.minimal, until_s=120, passes_in_10_s=9, refuse=(), **values):
        """What is done at the looks, with so many passes between two of them."""
        return feed.polled(self.start(engine, **values).pilot, 10, until_s,
                           lambda at_s: 1 + int(at_s / 10 * passes_in_10_s), refuse=refuse)

    def test_the_published_numbers(self):
        self.assertEqual(10, vdsm.LOOK_S)
        self.assertEqual((100, ((1, 150), (2, 200), (3, 300), (4, 400), (6, 500), (-1, 'abort'))),
                         (vdsm.MINIMAL.initial_ms, vdsm.MINIMAL.steps))
        self.assertEqual(((-1, 5000), (-1, 'abort')), vdsm.SUSPEND.steps[-2:])
        self.assertEqual((100, ((1, 150), (2, 200), (-1, 'post-copy'), (-1, 'abort'))),
                         (vdsm.POST_COPIES.initial_ms, vdsm.POST_COPIES.steps))
        self.assertEqual(
            (300, ((1, 400), (2, 500), (3, 700), (4, 1000), (6, 1500), (-1, 5000),
                   (-1, 'abort'))), (vdsm.VERY_LARGE.initial_ms, vdsm.VERY_LARGE.steps))

    def test_how_it_starts(self):
        start = self.start(bandwidth_mib_s=70)
        self.assertEqual((70, 100, 10, False, False, False),
                         (start.bandwidth_mib_s, start.limit_ms, start.tick_s, start.boundaries,
                          start.auto_converge, start.post_copy))
        self.assertEqual(300, self.start(vdsm.very_large).limit_ms)
        self.assertEqual(80, self.start(vdsm.very_large, max_downtime_ms=80).limit_ms)

    def test_one_step_a_look_however_many_passes(self):
        self.assertEqual([(20, 150), (30, 200), (40, 300), (50, 400), (60, 500), (70, 'abort')],
                         self.steps())

    def test_a_step_needs_more_passes_than_its_number(self):
        done = feed.polled(self.start().pilot, 10, 300, lambda at_s: int(at_s // 10))
        # The first look is at 10 s, so there is one pass at 20 s, and two at 30 s.
        self.assertEqual([(30, 150), (40, 200), (50, 300), (60, 400), (80, 500), (90, 'abort')],
                         done)

    def test_a_look_without_a_new_pass_does_nothing(self):
        pilot = self.start().pilot
        for at_s, iteration, done in ((10, 1, []), (20, 9, [150]), (30, 9, []), (40, 10, [200])):
            self.assertEqual(done, feed.show(pilot, at_s, iteration), at_s)

    def test_passes_count_from_the_first_look(self):
        done = feed.polled(self.start().pilot, 10, 60, lambda at_s: 70)
        self.assertEqual([], done)

    def test_suspend_has_one_step_more(self):
        self.assertEqual([*LADDER, 5000, 'abort'],
                         [what for _, what in self.steps(vdsm.suspend)])

    def test_limits_are_clamped_and_one_that_changes_nothing_is_not_set(self):
        for engine in (vdsm.minimal, vdsm.suspend):
            done = self.steps(engine, max_downtime_ms=300)
            self.assertEqual([150, 200, 300, 'abort'], [what for _, what in done])
        self.assertEqual((70, 'abort'), self.steps(max_downtime_ms=300)[-1])

    def test_post_copy_where_permitted(self):
        self.assertEqual([(20, 150), (30, 200), (40, 'post-copy')],
                         self.steps(vdsm.post_copy, remedies=('post_copy',)))
        self.assertEqual([(20, 150), (30, 200), (40, 'abort')], self.steps(vdsm.post_copy))
        self.assertTrue(self.start(vdsm.post_copy, on_timeout='post_copy').post_copy)
        self.assertFalse(self.start(vdsm.minimal, on_timeout='post_copy').post_copy)

    def test_post_copy_that_is_refused_is_followed_by_the_abort(self):
        done = self.steps(vdsm.post_copy, remedies=('post_copy',),
                          refuse=(remedies.StartPostCopy,))
        self.assertEqual([(20, 150), (30, 200), (50, 'abort')], done)

    def test_auto_converge_where_permitted(self):
        self.assertTrue(self.start(remedies=('auto_converge',)).auto_converge)

    def test_the_steps_at_the_end_come_at_the_deadline(self):
        self.assertEqual([(30, 'abort')], self.steps(passes_in_10_s=0, timeout_seconds=25))
        self.assertEqual([(20, 150), (30, 5000), (40, 'abort')],
                         self.steps(vdsm.suspend, timeout_seconds=25))
        self.assertEqual([(30, 'post-copy')], self.steps(
            vdsm.post_copy, passes_in_10_s=0, timeout_seconds=25, remedies=('post_copy',)))

    def test_no_timeout_of_its_own(self):
        self.assertEqual([], self.steps(until_s=20_000, passes_in_10_s=0))
