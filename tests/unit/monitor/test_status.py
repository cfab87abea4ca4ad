# SPDX-License-Identifier: Apache-2.0
"""What is told of a running migration: ends in sight, ends that were missed, and old figures."""

from __future__ import annotations

import datetime
from unittest import mock

import ddt
import testtools

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import record
from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import status as status_mod
from nova_migpolicy.policy import keys

MIB = 1 << 20
NOW = datetime.datetime.now(datetime.timezone.utc)


@ddt.ddt
class ViewTest(testtools.TestCase):

    def view(self, low=None, expected=None, high=None, *, phase='passes', at_s=10.0,
             looked_s=10.0):
        """What is told at a time of a look before it."""
        facts = controller_mod.Facts(
            memory_bytes=1 << 30, disk_bytes=0, started_s=0.0, qemu_limit_ms=100,
            bandwidth_mib_s=50, deadline_s=100.0)
        controller = controller_mod.Controller(keys.Policy(), facts)
        forecast = record.Forecast(
            converges=True, eta_low_s=low, eta_s=expected, eta_high_s=high)
        sample = None if looked_s is None else samples.Sample(
            looked_s, memory_total_bytes=100 * MIB, memory_remaining_bytes=5 * MIB)
        with mock.patch.object(controller_mod.Controller, 'forecast', forecast):
            return status_mod.of_running(controller, sample, phase=phase, percent=50.0, at_s=at_s,
                                         started_at=NOW, last_decision=None)

    def eta(self, found):
        eta = found['eta_seconds']
        return eta and (eta['low'], eta['expected'], eta['high'])

    def test_an_end_in_sight(self):
        self.assertEqual((1.0, 2.0, 3.3), self.eta(self.view(1.0, 2.0, 3.26)))
        self.assertIsNone(self.eta(self.view()))

    @ddt.data((0.0, 0.01, 0.04), (0.0, 0.0, 0.04))
    def test_something_is_left_so_it_takes_a_while(self, given):
        for found in (self.view(*given), status_mod.aged(self.view(*given), 0.0)):
            self.assertEqual((0.1, 0.1, 0.1), self.eta(found))

    def test_no_latest_end(self):
        self.assertEqual((0.1, 0.1, None), self.eta(self.view(0.01, 0.01)))

    def test_it_counts_down(self):
        found = status_mod.aged(self.view(1.0, 5.0, 9.0), 3.0)
        self.assertEqual((0.1, 2.0, 6.0), self.eta(found))
        self.assertEqual((3.0, 13.0, 87.0), (
            found['age_seconds'], found['elapsed_seconds'], found['deadline_in_seconds']))

    @ddt.data((0.0, 0.0, 0.0), (0.0, 0.0, None))
    def test_the_engine_has_seen_it_pass(self, given):
        for found in (self.view(*given), status_mod.aged(self.view(*given), 0.0)):
            self.assertIsNone(found['eta_seconds'])

    @ddt.data(9.0, 9.04, 50.0)
    def test_an_end_that_has_not_come_is_not_known_any_more(self, age_s):
        self.assertIsNone(status_mod.aged(self.view(1.0, 5.0, 9.0), age_s)['eta_seconds'])
        self.assertIsNone(status_mod.aged(self.view(1.0, 9.0, None), age_s)['eta_seconds'])

    def test_just_before_the_last_moment(self):
        aged = status_mod.aged(self.view(1.0, 5.0, 9.0), 8.98)
        self.assertEqual((0.1, 0.1, 0.1), self.eta(aged))

    def test_figures_are_as_old_as_the_look_at_them(self):
        found = self.view(1.0, 5.0, 9.0, at_s=14.0, looked_s=10.0)
        self.assertEqual(4.0, found['age_seconds'])
        self.assertEqual((14.0, 86.0), (found['elapsed_seconds'], found['deadline_in_seconds']))
        found = status_mod.aged(found, 2.5)
        self.assertEqual(6.5, found['age_seconds'])
        # The forecast is of that look; the clock is of now.
        self.assertEqual((0.1, 0.1, 2.5), self.eta(found))
        self.assertEqual((16.5, 83.5), (found['elapsed_seconds'], found['deadline_in_seconds']))

    def test_before_the_first_look_nothing_is_old(self):
        found = self.view(looked_s=None, at_s=30.0)
        self.assertEqual((0.0, None), (found['age_seconds'], found['memory']))
