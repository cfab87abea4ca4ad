# SPDX-License-Identifier: Apache-2.0
"""State beside the memory that keeps QEMU from switching over, as that of a vGPU."""

from __future__ import annotations

from nova_migpolicy.engine import remedies
from nova_migpolicy.sim import guests
from tests.unit.engine import cases


class TestDeviceState(cases.CaseBase):

    LOAD = guests.sweep(2048, 64, 20)

    def vgpu(self, **more):
        return self.steer(self.LOAD, link=1100.0, until_s=900.0, bandwidth_mib_s=0, **{
            'remedies': ('downtime',), 'initial_downtime_ms': 100, 'max_downtime_ms': 500,
            'setup': {'device_mib': 1000.0}, **more})

    def assert_said_well(self, seen):
        self.assertLessEqual(len(seen.decisions), 3)
        for one in seen.decisions:
            self.assertIn('other state, such as that of devices', one.reason)
            self.assertNotIn('remained after', one.reason)
            self.assertNotIn('dirties', one.reason)

    def test_all_of_the_blackout_that_is_permitted_is_taken_at_once(self):
        seen = self.vgpu(max_downtime_ms=3000)
        self.assertEqual(('completed', ['raise_downtime']),
                         (seen.end, cases.names(seen.decisions)))
        self.assertEqual([3000], [one.promised_ms for one in seen.actions])
        self.assertLess(seen.blackout_ms, 3000)
        self.assert_said_well(seen)

    def test_where_that_is_too_short_it_is_said_and_given_up_soon(self):
        seen = self.vgpu()
        self.assertEqual(('aborted', ['raise_downtime', 'on_stall']),
                         (seen.end, cases.names(seen.decisions)))
        self.assertIn('permit a higher max_downtime_ms', seen.decisions[-1].reason)
        self.assertLess(seen.seconds, 20)
        self.assert_said_well(seen)

    def test_nor_is_it_felt_for_where_memory_is_nearly_what_may_remain(self):
        for load in (guests.sweep(2048, 64, 2000), guests.uniform(2048, 64, 2000)):
            for most_ms, end in ((3000, 'completed'), (500, 'aborted')):
                self.LOAD = load
                seen = self.vgpu(max_downtime_ms=most_ms)
                self.assertEqual(end, seen.end)
                self.assertLessEqual(len(seen.decisions), 4)
                self.assertIn('other state, such as that of devices', seen.decisions[-1].reason)
                self.assertLess(seen.seconds, 20)

    def test_a_deadline_does_not_say_that_nothing_is_still_to_be_sent(self):
        seen = self.vgpu(remedies=(), on_stall='continue', timeout_seconds=10,
                         timeout_seconds_per_gib=0)
        self.assertEqual(('aborted', ['on_stall', 'on_timeout']),
                         (seen.end, cases.names(seen.decisions)))
        for one in seen.decisions:
            self.assertNotIn('0.0 MiB', one.reason)

    def test_no_harsh_remedy_is_taken_for_it(self):
        seen = self.vgpu(remedies=('bandwidth', 'downtime', 'auto_converge', 'pause'),
                         facts={'can_throttle': True})
        self.assertEqual([remedies.Abort], [type(one) for one in seen.actions
                                            if not isinstance(one, remedies.SetMaxDowntime)])
        self.assert_said_well(seen)

    def test_a_guest_without_devices_is_judged_as_ever(self):
        seen = self.vgpu(setup={})
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))
