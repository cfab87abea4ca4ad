# SPDX-License-Identifier: Apache-2.0
"""The situations that steering must be right on, played through on the model of pre-copy."""

import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from tests.unit.engine import cases

WILD = cases.WILD
RANDOM = cases.RANDOM
names = cases.names


class TestLeftAlone(cases.CaseBase):

    def check_untouched(self, load, **more):
        seen = self.steer(load, remedies=('bandwidth', 'downtime', 'pause'), **more)
        self.assertEqual(('completed', []), (seen.end, names(seen.decisions)))
        return seen

    def test_a_guest_that_converges_by_itself(self):
        self.check_untouched(guests.sweep(256, 64, 20))
        self.check_untouched(guests.uniform(256, 64, 30))
        self.check_untouched(guests.idle(256))

    def test_a_small_set_written_far_above_the_bandwidth(self):
        seen = self.check_untouched(guests.sweep(256, 8, 400), initial_downtime_ms=300)
        self.assertLess(seen.blackout_ms, 300)

    def test_a_guest_close_to_the_bandwidth_that_still_converges(self):
        self.check_untouched(guests.sweep(256, 128, 42))

    def test_much_is_left_over_by_each_pass(self):
        # A threshold of a third of the set hides what is dirtied again in what is left over.
        self.check_untouched(guests.sweep(188, 125, 319), link=400, bandwidth_mib_s=0,
                             initial_downtime_ms=177, max_downtime_ms=177,
                             facts={'switchover_mib_s': 360.0})

    def test_a_link_that_nobody_knows_is_slower_than_the_cap(self):
        self.check_untouched(guests.sweep(256, 12, 6), link=40, initial_downtime_ms=100,
                             max_downtime_ms=100)

    def test_bursts_switch_over_in_the_quiet_time(self):
        self.check_untouched(guests.bursts(256, 128, 80, on_s=5, off_s=4))

    def test_a_link_that_stalls_for_ten_seconds(self):
        # In the bulk copy, in a pass, at the end of one.
        for start in (2.0, 5.5, 7.0):
            seen = self.check_untouched(guests.sweep(256, 128, 30),
                                        setup={'outages': ((start, start + 10),)})
            self.assertGreater(seen.seconds, 15)

    def test_a_stalling_link_harms_no_guest_that_would_do_with_bandwidth(self):
        seen = self.steer(WILD, remedies=('bandwidth', 'pause'),
                          setup={'outages': ((8.0, 18.0),)})
        self.assertEqual(('completed', [remedies.SetBandwidth(95)]),
                         (seen.end, list(seen.actions)))

    def test_a_first_pass_of_an_hour(self):
        seen = self.check_untouched(guests.sweep(180_000, 128, 20), timeout_seconds=9000)
        self.assertGreater(seen.bulk_end_s, 3590)

    def test_a_huge_guest(self):
        seen = self.check_untouched(
            guests.uniform(1 << 20, 20_480, 700, zero_mib=500_000), link=2000,
            bandwidth_mib_s=1000, max_bandwidth_mib_s=0, initial_downtime_ms=300)
        self.assertGreater(seen.bulk_end_s, 500)

    def test_a_phase_change_to_gentle(self):
        self.check_untouched(guests.phases(256, guests.Stretch(7, 80, 128),
                                           guests.Stretch(1e9, 10, 128)))

    def test_disks_much_larger_than_memory(self):
        seen = self.check_untouched(guests.sweep(256, 64, 20), setup={'disk_mib': 200_000})
        self.assertGreater(seen.seconds, 3600)


class TestRemedies(cases.CaseBase):

    def test_bandwidth(self):
        for load in (WILD, RANDOM):
            seen = self.steer(load, remedies=('bandwidth',))
            self.assertEqual(('completed', ['raise_bandwidth']),
                             (seen.end, names(seen.decisions)))
            self.assertEqual([remedies.SetBandwidth(95)], list(seen.actions))
            self.assertLess(seen.blackout_ms, 500)

    def test_bandwidth_goes_no_further_than_needed(self):
        seen = self.steer(RANDOM, remedies=('bandwidth',), link=2000, max_bandwidth_mib_s=1000)
        self.assertEqual('completed', seen.end)
        self.assertThat(seen.actions[-1].mib_s, testtools.matchers.LessThan(250))
        self.assertLessEqual(len(seen.decisions), 2)

    def test_bandwidth_goes_so_far_that_it_is_over_soon(self):
        # 64 MiB/s would do in the end, after many passes.
        seen = self.steer(guests.sweep(2048, 1024, 60), remedies=('bandwidth',), link=1000,
                          max_bandwidth_mib_s=800)
        self.assertEqual(('completed', ['raise_bandwidth']), (seen.end, names(seen.decisions)))
        self.assertThat(seen.seconds - seen.applied[0][0], testtools.matchers.LessThan(10))
        self.assertThat(seen.actions[0].mib_s, testtools.matchers.LessThan(500))

    def test_bandwidth_without_a_ceiling(self):
        seen = self.steer(guests.sweep(256, 128, 400), remedies=('bandwidth',), link=1000,
                          max_bandwidth_mib_s=0)
        self.assertEqual('completed', seen.end)
        self.assertEqual({'set_bandwidth'}, {action.name for action in seen.actions})

    def test_bandwidth_does_not_help_on_a_link_that_is_slower_than_the_cap(self):
        seen = self.steer(WILD, remedies=('bandwidth',), link=30)
        self.assertEqual(('aborted', [remedies.Abort()]), (seen.end, list(seen.actions)))

    def test_a_longer_downtime_solves_a_plateau(self):
        for load in (WILD, RANDOM):
            seen = self.steer(load, remedies=('downtime',), max_downtime_ms=1000,
                              facts={'link_mib_s': 190.0})
            self.assertEqual(('completed', ['raise_downtime']),
                             (seen.end, names(seen.decisions)))
            self.assertThat(seen.blackout_ms, testtools.matchers.LessThan(1000))

    def test_a_longer_downtime_without_knowing_the_link(self):
        seen = self.steer(WILD, remedies=('downtime',), max_downtime_ms=4000)
        self.assertEqual(('completed', ['raise_downtime']), (seen.end, names(seen.decisions)))
        limit = seen.actions[0]
        # Nothing is scaled up, and what a switchover costs besides is kept back.
        self.assertLess(limit.limit_ms, limit.promised_ms)

    def test_only_both_together(self):
        seen = self.steer(WILD, remedies=('bandwidth', 'downtime'), max_bandwidth_mib_s=70,
                          max_downtime_ms=900, facts={'link_mib_s': 190.0})
        self.assertEqual('completed', seen.end)
        self.assertEqual({'set_bandwidth', 'set_max_downtime'},
                         {action.name for action in seen.actions})
        self.assertThat(seen.blackout_ms, testtools.matchers.LessThan(900))

    def test_auto_converge(self):
        for load in (WILD, RANDOM):
            seen = self.steer(load, remedies=('auto_converge',), max_throttle_percent=80,
                              facts={'can_throttle': True})
            self.assertEqual('completed', seen.end)
            self.assertEqual({'set_throttle'}, {action.name for action in seen.actions})
            self.assertLessEqual(max(action.percent for action in seen.actions), 80)

    def test_auto_converge_with_forced_syncs(self):
        seen = self.steer(WILD, remedies=('auto_converge',), max_throttle_percent=80,
                          facts={'can_throttle': True}, setup={'sync_every_s': 5.0})
        self.assertEqual('completed', seen.end)

    def test_auto_converge_that_was_not_armed_is_not_used(self):
        seen = self.steer(WILD, remedies=('auto_converge',))
        self.assertEqual([remedies.Abort()], list(seen.actions))

    def test_post_copy(self):
        seen = self.steer(WILD, remedies=('post_copy',), facts={'can_post_copy': True})
        self.assertEqual(('completed', [remedies.StartPostCopy()]),
                         (seen.end, list(seen.actions)))
        self.assertIn('runs the guest at the destination', seen.decisions[0].reason)
        self.assertIn('in about 2.5 s', seen.decisions[0].reason)
        # The cap does not bind it where the link is known to be faster.
        seen = self.steer(WILD, remedies=('post_copy',),
                          facts={'can_post_copy': True, 'link_mib_s': 190.0})
        self.assertIn('in about 0.7 s', seen.decisions[0].reason)

    def test_pause_says_what_it_costs(self):
        seen = self.steer(WILD, remedies=('pause',))
        self.assertEqual(('completed', [remedies.Pause()]), (seen.end, list(seen.actions)))
        self.assertIn('in about 2.5 s, and all of that is blackout', seen.decisions[0].reason)
        self.assertThat(abs(seen.blackout_ms - 2600), testtools.matchers.LessThan(300))

    def test_the_operators_order_counts(self):
        seen = self.steer(WILD, remedies=('post_copy', 'bandwidth'),
                          facts={'can_post_copy': True})
        self.assertEqual([remedies.StartPostCopy()], list(seen.actions))

    def test_the_mild_is_tried_before_the_harsh(self):
        seen = self.steer(WILD, remedies=('bandwidth', 'post_copy', 'pause'),
                          facts={'can_post_copy': True})
        self.assertEqual([remedies.SetBandwidth(95)], list(seen.actions))

    def test_the_harsh_follows_where_the_mild_does_not_do(self):
        seen = self.steer(guests.sweep(256, 128, 200), remedies=('bandwidth', 'post_copy'),
                          facts={'can_post_copy': True})
        self.assertEqual([remedies.SetBandwidth(95), remedies.StartPostCopy()],
                         list(seen.actions))

    def test_a_phase_change_to_wild(self):
        for after in (6, 8, 12):
            seen = self.steer(guests.phases(256, guests.Stretch(after, 44, 160),
                                            guests.Stretch(1e9, 80, 128)),
                              remedies=('bandwidth',))
            self.assertEqual('completed', seen.end)

    def test_bursts_with_short_quiet_times(self):
        seen = self.steer(guests.bursts(256, 128, 160, on_s=2, off_s=1.2),
                          remedies=('downtime',), facts={'link_mib_s': 190.0})
        self.assertEqual('completed', seen.end)
        self.assertThat(seen.blackout_ms, testtools.matchers.LessThan(500))

    def test_a_counter_that_starts_at_seven(self):
        seen = self.steer(WILD, remedies=('bandwidth',), setup={'counter': 6})
        self.assertEqual(('completed', [remedies.SetBandwidth(95)]),
                         (seen.end, list(seen.actions)))
        self.assertEqual([0, 1, 2], [one.number for one in self.controller.passes][:3])

    def test_disks_first(self):
        seen = self.steer(WILD, remedies=('bandwidth',), setup={'disk_mib': 20_000})
        self.assertEqual(('completed', [remedies.SetBandwidth(95)]),
                         (seen.end, list(seen.actions)))
        self.assertGreater(seen.applied[0][0], 400)


class TestBadStatistics(cases.CaseBase):

    def test_none_at_all(self):
        seen = self.steer(WILD, remedies=('bandwidth', 'pause'), change=lambda stats: {},
                          timeout_seconds=60, timeout_seconds_per_gib=0)
        self.assertEqual(['on_timeout'], names(seen.decisions))

    def test_each_one_missing(self):
        _, plant = run.start(keys.Policy(), precopy.Setup(guests.idle(64)))
        plant.advance(plant.now_s + 1.0)
        plant.advance(plant.now_s + 1.0)
        for key in plant.stats():
            def without(stats, key=key):
                return {name: value for name, value in stats.items() if name != key}
            seen = self.steer(guests.sweep(256, 64, 20), remedies=('bandwidth', 'pause'),
                              change=without)
            self.assertEqual(('completed', []), (seen.end, names(seen.decisions)), key)

    def test_they_jump_and_run_backwards(self):
        for key in ('memory_remaining', 'memory_processed', 'memory_normal',
                    'memory_total', 'memory_iteration', 'memory_dirty_rate'):
            for value in (0, -1, 1 << 60, None, 'many', 1 << 28):
                calls = []

                def mad(stats, key=key, value=value, calls=calls):
                    calls.append(1)
                    return {**stats, key: value} if len(calls) % 3 == 0 else stats
                seen = self.steer(guests.sweep(256, 64, 20),
                                  remedies=('downtime', 'pause'), change=mad)
                self.assertEqual(('completed', []), (seen.end, names(seen.decisions)),
                                 f'{key}={value}')

    def test_they_stand_still(self):
        frozen = {}

        def stuck(stats):
            frozen.update(stats if not frozen else {})
            return dict(frozen)
        seen = self.steer(WILD, remedies=('bandwidth', 'pause'), change=stuck, until_s=100)
        self.assertEqual(['standstill'], names(seen.decisions))
