# SPDX-License-Identifier: Apache-2.0
"""Where a pass begins, with events and without."""

from __future__ import annotations

import testtools

from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import loop
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import sampling
from tests.unit.monitor import fakes
from tests.unit.monitor import scripted


class BoundaryTest(testtools.TestCase):

    def sample(self, at_s, **stats):
        return samples.Sample.from_stats(at_s, {
            'memory_total': 10_000, 'memory_processed': 9000, 'memory_iteration': 2, **stats})

    def test_a_late_look_is_taken_back_to_the_event(self):
        moved = sampling.at_boundary(
            self.sample(10.5, memory_remaining=5000, memory_bps=1000),
            inbox_mod.PassStarted(10.0, 2))
        self.assertEqual((True, 2, 10.0, 5500, 8500), (
            moved.boundary, moved.iteration, moved.at_s, moved.memory_remaining_bytes,
            moved.memory_processed_bytes))

    def test_never_above_the_total(self):
        moved = sampling.at_boundary(
            self.sample(11.0, memory_remaining=9900, memory_bps=1000),
            inbox_mod.PassStarted(10.0, 2))
        self.assertEqual(10_000, moved.memory_remaining_bytes)

    def test_statistics_of_a_later_pass_say_nothing_of_this_one(self):
        sample = self.sample(12.0, memory_remaining=9900, memory_bps=1000)
        self.assertEqual(sample, sampling.at_boundary(sample, inbox_mod.PassStarted(10.0, 1)))

    def test_without_events_a_pass_is_a_counter_that_has_grown(self):
        looks = [dict(scripted.RUNNING_JOB, memory_iteration=n) for n in (7, 7, 8, 8, 9)]
        controller = scripted.Controller()
        clock = fakes.Clock()
        call = outcome_mod.MigrateCall(started=True)
        loop.Monitor(
            guest=guest_mod.MigratingGuest(fakes.Domain(jobStats=looks)), controller=controller,
            progress=progress_mod.Progress(1 << 30, 0),
            inbox=scripted.Script(clock, call, [[]] * 5),
            journal=journal_mod.Journal(None, 0.0, 0), call=call,
            policy_in_force=scripted.no_retune(),
            host=scripted.Host(),
            sleep=clock.sleep, has_events=False).run()
        self.assertEqual([False, False, True, False, True],
                         [sample.boundary for _, sample in controller.heard])
