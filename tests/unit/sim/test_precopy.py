# SPDX-License-Identifier: Apache-2.0
"""The model of pre-copy: guests that write, and QEMU's rules."""

import dataclasses

import testtools
from testtools import matchers

from nova_migpolicy.engine import remedies
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy

MIB = 1 << 20


class TestMigration(testtools.TestCase):

    def run_until(self, plant, syncs=None, until_s=600):
        while not plant.over and plant.now_s < until_s:
            if plant.advance(plant.now_s + 1.0) and syncs is not None and plant.syncs >= syncs:
                break
        return plant

    def start(self, load, **setup):
        return precopy.Migration(precopy.Setup(load, **{'link_mib_s': 400, **setup}))

    def test_an_idle_guest_takes_one_copy(self):
        plant = self.run_until(self.start(guests.idle(400), cap_mib_s=40))
        self.assertEqual('completed', plant.state)
        self.assertThat(abs(plant.now_s - 10), matchers.LessThan(0.6))

    def test_zero_pages_cost_next_to_nothing(self):
        plant = self.run_until(self.start(guests.idle(400, zero_mib=300), cap_mib_s=40))
        self.assertThat(abs(plant.now_s - 2.5), matchers.LessThan(0.5))
        self.assertThat(plant.stats()['memory_processed'], matchers.LessThan(103 * MIB))

    def test_a_pass_lasts_what_remains_over_the_rate_less_the_limit(self):
        plant = self.start(guests.sweep(256, 128, 80), cap_mib_s=50, limit_ms=500)
        self.run_until(plant, syncs=2)
        start_s, left = plant.now_s, plant.remaining / MIB
        self.run_until(plant, syncs=3)
        self.assertThat(abs(plant.now_s - start_s - (left / 50 - 0.5)), matchers.LessThan(0.15))

    def test_the_reported_dirty_rate_does_not_exceed_the_rate_of_sending(self):
        plant = self.start(guests.sweep(256, 128, 400), cap_mib_s=20)
        self.run_until(plant, syncs=5)
        self.assertThat(plant.stats()['memory_dirty_rate'] * 4096 / MIB, matchers.LessThan(22))

    def test_the_cap_does_not_bind_the_switchover(self):
        plant = self.run_until(self.start(guests.sweep(256, 64, 80), cap_mib_s=50,
                                          limit_ms=2000))
        self.assertEqual('completed', plant.state)
        # Up to 100 MiB at 400 MiB/s, where 2000 ms were expected.
        self.assertThat(plant.blackout_s, matchers.LessThan(0.3))

    def test_a_limit_that_qemu_does_not_take_is_refused(self):
        plant = self.start(guests.idle(64), limit_ms=2_000_001)
        # As libvirt's refusal before the start leaves it.
        self.assertEqual(300, plant.limit_ms)
        self.assertIn('2000000', plant.apply(remedies.SetMaxDowntime(2_000_001, 500)))
        self.assertEqual(300, plant.limit_ms)
        self.assertIsNone(plant.apply(remedies.SetMaxDowntime(2_000_000, 500)))
        self.assertEqual(2_000_000, plant.limit_ms)

    def test_a_stated_rate_of_the_link_sets_the_threshold(self):
        plant = self.start(guests.sweep(256, 128, 80), cap_mib_s=50, limit_ms=400,
                           switchover_mib_s=400.0)
        self.assertEqual('completed', self.run_until(plant).state)

    def test_auto_converge_slows_at_every_second_sync(self):
        plant = self.start(guests.sweep(256, 128, 80), cap_mib_s=50, auto_converge=True)
        plant.apply(remedies.SetThrottle(60))
        self.run_until(plant, syncs=3)
        self.assertEqual(60, plant.throttle)
        self.assertEqual('completed', self.run_until(plant).state)

    def test_post_copy_ends_in_any_case(self):
        plant = self.start(guests.sweep(256, 128, 400), cap_mib_s=50)
        self.run_until(plant, syncs=3)
        plant.apply(remedies.StartPostCopy())
        at_s = plant.now_s
        self.assertEqual('completed', self.run_until(plant).state)
        self.assertThat(plant.now_s - at_s, matchers.LessThan(1.0))

    def test_a_pause_is_all_blackout(self):
        plant = self.start(guests.sweep(256, 128, 400), cap_mib_s=50)
        self.run_until(plant, syncs=3)
        plant.apply(remedies.Pause())
        self.assertEqual('completed', self.run_until(plant).state)
        self.assertThat(abs(plant.blackout_s - 128 / 50), matchers.LessThan(0.4))

    def test_disks_come_first(self):
        plant = self.start(guests.idle(64), disk_mib=100, cap_mib_s=50)
        self.assertEqual('post-copy cannot start yet', plant.apply(remedies.StartPostCopy()))
        self.run_until(plant, until_s=1.0)
        self.assertEqual({'disk_total', 'disk_remaining', 'disk_processed'},
                         set(plant.stats()))
        self.run_until(plant, syncs=1)
        self.assertThat(abs(plant.now_s - 2.0), matchers.LessThan(0.2))

    def test_an_outage_moves_nothing(self):
        plant = self.start(guests.idle(400), cap_mib_s=40, outages=((2.0, 12.0),))
        self.run_until(plant, until_s=3)
        before = plant.sent_bytes
        self.run_until(plant, until_s=11)
        self.assertEqual(before, plant.sent_bytes)
        self.assertThat(abs(self.run_until(plant).now_s - 20), matchers.LessThan(0.6))

    def test_an_abort_ends_it(self):
        plant = self.start(guests.idle(400), cap_mib_s=40)
        plant.apply(remedies.Abort())
        self.assertTrue(plant.over)
        self.assertFalse(plant.advance(plant.now_s + 1.0))
        self.assertEqual('the migration is over', plant.apply(remedies.Pause()))

    def test_syncs_can_be_forced_but_not_in_the_bulk_copy(self):
        setup = {'cap_mib_s': 20, 'auto_converge': True, 'throttle_initial': 1,
                 'throttle_increment': 1, 'sync_every_s': 5.0}
        plant = self.start(guests.sweep(256, 200, 40), **setup)
        times = []
        while len(times) < 6:
            if plant.advance(plant.now_s + 1.0):
                times.append(plant.synced_s)
        # The bulk copy takes 12.7 s; QEMU's timer looks each 5 s, and at 15 s there was one.
        self.assertEqual([0, 13, 20, 25, 30, 35], [round(at_s) for at_s in times])

    def test_a_guest_with_time_to_spare_is_slowed_less(self):
        load = dataclasses.replace(guests.sweep(256, 128, 80), busy=0.5)
        self.assertEqual([1.0, 1.0, 0.5], [load.speed(percent) for percent in (0, 50, 75)])

    def test_new_pages_are_no_faster_than_the_destination_makes_them(self):
        plant = self.start(guests.idle(400), first_mib_s=100)
        self.run_until(plant)
        self.assertThat(abs(plant.now_s - 4), matchers.LessThan(0.2))

    def test_a_guest_that_wavers_does_so_by_its_seed(self):
        def play(seed):
            plant = self.start(guests.sweep(256, 128, 40), cap_mib_s=50, seed=seed,
                               link_jitter=0.05, guest_jitter=0.1)
            return self.run_until(plant).now_s
        self.assertEqual(play(1), play(1))
        self.assertNotEqual(play(1), play(2))

    def test_lost_work(self):
        plant = self.run_until(self.start(guests.sweep(256, 64, 20), cap_mib_s=50))
        self.assertEqual(plant.blackout_s, plant.lost_s)
        plant = self.start(guests.sweep(256, 128, 80), cap_mib_s=50, auto_converge=True)
        self.run_until(plant)
        self.assertThat(plant.lost_s, matchers.GreaterThan(plant.blackout_s + 1))

    def test_disks_with_a_cap_each(self):
        setup = {'disk_mib': 100, 'more_disks_mib': (100, 100), 'cap_mib_s': 20}
        plant = self.start(guests.idle(64), disk_cap_shared=False, **setup)
        self.run_until(plant, syncs=1)
        self.assertThat(abs(plant.now_s - 5.0), matchers.LessThan(0.1))
        plant = self.start(guests.idle(64), **setup)
        self.run_until(plant, syncs=1)
        self.assertThat(abs(plant.now_s - 15.0), matchers.LessThan(0.1))
