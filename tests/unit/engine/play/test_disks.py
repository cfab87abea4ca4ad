# SPDX-License-Identifier: Apache-2.0
"""Disks that are written to while they are mirrored, played through on the model."""

import itertools

from testtools import matchers

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine.steering import foregone
from nova_migpolicy.sim import run
from tests.unit.engine import cases

MIB = 1 << 20
ALWAYS_ARRIVE = ('evacuate', 'post_copy', 'suspend_if_needed')


class TestModel(cases.DisksBase):

    def test_it_is_as_was_measured(self):
        """On real QEMU 118 to 232 MiB stayed to be copied of 256, written at 48 over 20 MiB/s."""
        self.start('balanced')
        seen = []
        for at_s in (30.0, 50.0, 70.0):
            while self.plant.now_s < at_s:
                self.plant.advance(at_s)
            seen.append({name: value / MIB for name, value in self.plant.stats().items()})
        for one, other in itertools.pairwise(seen):
            self.assertTrue(118 < other['disk_remaining'] < 232, other)
            self.assertAlmostEqual(400, other['disk_processed'] - one['disk_processed'], delta=1)
            self.assertAlmostEqual(400, other['disk_total'] - one['disk_total'], delta=20)


class TestHurry(cases.DisksBase):

    def test_they_are_raised_and_arrive(self):
        """As on real QEMU, where it was aborted at the deadline without a raise."""
        seen = self.steer('balanced')
        self.assertEqual(('completed', {'raise_bandwidth'}),
                         (seen.end, {one.rule for one in seen.decisions}))
        self.assertThat(seen.applied[0][0], matchers.LessThan(20))
        self.assertIn('to which the guest writes', seen.decisions[0].reason)
        self.assertIn('never in sync at 20 MiB/s', seen.decisions[0].reason)

    def test_a_big_disk_that_is_written_to(self):
        for write in (45.0, 60.0):
            for profile in ('balanced', *ALWAYS_ARRIVE):
                seen = self.steer(profile, disk_mib=20_480, write=write, cap=50, ceiling=400,
                                  deadline_s=None)
                self.assertEqual('completed', seen.end, (write, profile, seen.decisions))
                # What is written to parts that are to be copied anyway costs nothing.
                self.assertEqual(write > 50 or profile == 'evacuate', bool(seen.decisions),
                                 (write, profile))

    def test_no_more_than_needed(self):
        seen = self.steer('balanced', ceiling=1000, write=30.0, deadline_s=600)
        self.assertEqual('completed', seen.end)
        self.assertThat(max(one.mib_s for one in seen.actions), matchers.LessThan(100))

    def test_one_that_gets_there_is_left_alone(self):
        seen = self.steer('balanced', write=5.0, deadline_s=600)
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_while_an_end_waits_for_the_memory_it_goes_on(self):
        self.start('evacuate', deadline_s=300)
        self.go(3.0)
        self.controller.force_complete(3.0)
        seen = self.go()
        self.assertEqual('completed', seen.end)
        self.assertIn('raise_bandwidth', [one.rule for one in seen.decisions])


class TestStall(cases.DisksBase):

    def test_at_the_highest_rate_it_is_said_and_done(self):
        for more in ({'ceiling': 20}, {'facts': {'can_hurry_disks': False}},
                     {'remedies': 'downtime'}, {'link': 20.0, 'ceiling': 500},
                     {'cap': 0, 'ceiling': 0, 'link': 20.0}):
            seen = self.steer('balanced', deadline_s=3600, **more)
            self.assertEqual(('aborted', 'on_stall'), (seen.end, seen.decisions[-1].rule), more)
            self.assertIn('because the guest dirties them again at 20 MiB/s',
                          seen.decisions[-1].reason)
            self.assertThat(seen.seconds, matchers.LessThan(150))

    def test_a_ceiling_that_is_too_low_is_tried_first(self):
        seen = self.steer('balanced', deadline_s=3600, ceiling=40)
        self.assertEqual(['raise_bandwidth', 'on_stall'], [
            one.rule for one in seen.decisions if one.rule != foregone.RULE])
        self.assertIn('bandwidth up to 40 MiB/s', seen.decisions[-1].reason)

    def test_go_on_says_so_once(self):
        self.start('balanced', deadline_s=3600, ceiling=20, on_stall='continue')
        self.assertEqual([foregone.RULE, 'on_stall'],
                         [one.rule for one in self.go(2000.0).decisions])

    def test_a_link_that_moves_nothing_is_no_stall_of_the_disks(self):
        for ceiling in (20, 100):
            self.start('balanced', deadline_s=3600, ceiling=ceiling, outages=((9.0, 1e6),))
            seen = self.go(1000.0)
            self.assertEqual('standstill', seen.decisions[0].rule)
            self.assertNotIn('writes', ' '.join(one.reason for one in seen.decisions))
            self.assertIs(False, self.controller.forecast.converges)

    def test_beside_others_of_the_host_on_a_slow_link_nothing_is_given_up(self):
        self.start('balanced', deadline_s=3600, link=20.0, ceiling=500)
        seen = run.steer(self.controller, self.plant, until_s=600.0,
                         change=lambda stats: {**stats, 'others': 1})
        self.assertEqual(('running', ['raise_bandwidth', 'share'], True),
                         (seen.end, [one.rule for one in seen.decisions], self.controller.in_need))
        self.assertIn('beside 1 other migration of this host', seen.decisions[1].reason)

    def test_under_a_cap_that_the_link_gives_others_are_no_reason(self):
        self.start('balanced', deadline_s=3600, ceiling=20)
        seen = run.steer(self.controller, self.plant, until_s=600.0,
                         change=lambda stats: {**stats, 'others': 1})
        self.assertEqual(('aborted', 'on_stall'), (seen.end, seen.decisions[-1].rule))

    def test_no_end_is_forecast_that_does_not_come(self):
        for profile in ('balanced', 'evacuate'):
            self.start(profile, ceiling=20, deadline_s=75)
            self.go()
            later = [found for at_s, found in self.forecasts if at_s > 15]
            self.assertThat(len(later), matchers.GreaterThan(8))
            self.assertEqual([(False, None, False)] * len(later), [
                (one.converges, one.eta_s, one.makes_deadline) for one in later])


class TestEnds(cases.DisksBase):

    def test_no_profile_runs_on_without_end(self):
        for profile in ('balanced', 'minimal_downtime', 'very_large', *ALWAYS_ARRIVE):
            for disk_mib, write, cap in ((256, 48.0, 20), (20_480, 60.0, 50)):
                seen = self.steer(profile, disk_mib=disk_mib, write=write, cap=cap, ceiling=cap,
                                  deadline_s=None)
                self.assertEqual('aborted', seen.end, profile)
                deadline_s = self.controller.facts.deadline_s
                self.assertThat(seen.seconds, matchers.LessThan(deadline_s + 70))

    def test_at_the_deadline_it_is_said_and_then_aborted(self):
        seen = self.steer('evacuate', ceiling=20)
        self.assertEqual(foregone.RULE, seen.decisions[0].rule)
        self.assertEqual(('aborted', [(), (remedies.Abort(),)]),
                         (seen.end, [one.actions for one in seen.decisions[1:]]))
        self.assertIn('aborted if the disks are not in sync', seen.decisions[1].reason)
        self.assertIn('which the guest dirties again at 20 MiB/s', seen.decisions[2].reason)
        self.assertThat(seen.seconds, matchers.LessThan(75 + 70))

    def test_disks_that_come_on_are_waited_for(self):
        seen = self.steer('evacuate', disk_mib=2700, write=0.0, ceiling=20)
        self.assertEqual('completed', seen.end)
        self.assertThat(seen.seconds, matchers.GreaterThan(75 + 60))

    def test_but_for_no_longer_than_the_whole_migration_had(self):
        seen = self.steer('evacuate', disk_mib=27_000, write=0.0, ceiling=20)
        self.assertEqual('aborted', seen.end)
        self.assertThat(seen.seconds, matchers.LessThan(75 + 70))

    def test_what_is_not_written_is_not_spoken_of(self):
        seen = self.steer('evacuate', disk_mib=27_000, write=0.0, ceiling=20)
        self.assertIn('of the disks are still not in sync', seen.decisions[-1].reason)

    def test_what_a_person_wants_waits_until_the_deadline(self):
        self.start('evacuate', ceiling=20, deadline_s=300)
        self.go(3.0)
        self.assertIn('aborted if', self.controller.force_complete(3.0).reason)
        seen = self.go()
        self.assertEqual(('aborted', (remedies.Abort(),)), (seen.end, seen.actions))
        self.assertTrue(300 < seen.seconds < 370, seen.seconds)

    def test_a_job_that_never_begins_is_not_waited_for_without_end(self):
        self.start('evacuate')
        said = []
        for at_s in range(0, 200, 5):
            found = self.controller.observe(samples.Sample(at_s=float(at_s)))
            for action in found.actions if found else ():
                self.controller.applied(action, float(at_s))
            said += [found] if found else []
        self.assertEqual([(), (remedies.Abort(),)], [one.actions for one in said])
        self.assertIn('its memory is still not being sent', said[1].reason)

    def test_where_the_policy_goes_on_a_person_is_not_overruled(self):
        self.start('evacuate', ceiling=20, on_timeout='continue')
        self.go(3.0)
        self.assertNotIn('aborted', self.controller.force_complete(3.0).reason)
        self.assertEqual((), self.go(2000.0).actions)
