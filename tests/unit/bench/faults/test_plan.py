# SPDX-License-Identifier: Apache-2.0
"""The plans of faults: the same for a seed and a number, and all of them are covered."""

from __future__ import annotations

import json

import testtools

from bench.faults import plan
from lab.openstack import dying

PLANS = [plan.plan(7, number) for number in range(5000)]


class TestPlan(testtools.TestCase):

    def test_is_made_of_the_seed_and_the_number_alone(self):
        again = [plan.plan(7, number) for number in reversed(range(5000))]
        self.assertEqual(PLANS, again[::-1])
        self.assertNotEqual(PLANS, [plan.plan(8, number) for number in range(5000)])

    def test_each_round_has_all_faults(self):
        for first in range(0, 1200, len(plan.KINDS)):
            self.assertEqual(set(plan.Fault), {
                one.fault for one in PLANS[first:first + len(plan.KINDS)]})

    def test_each_fault_comes_in_each_of_its_phases_at_each_of_its_hosts(self):
        seen = {(one.fault, one.phase, one.role, one.lasts_s) for one in PLANS
                if one.fault is not plan.Fault.COMPUTE_DIES}
        self.assertEqual({
            (fault, phase, role, seconds) for fault, kind in plan.KINDS.items()
            for phase in kind.phases for role in kind.roles for seconds in kind.seconds
            if fault is not plan.Fault.COMPUTE_DIES}, seen)

    def test_each_step_to_die_at(self):
        seen = {(one.place, one.phase, one.role) for one in PLANS if one.place}
        self.assertEqual(set(plan.DEATHS), seen)
        for death in plan.DEATHS:
            when, _, place = death.place.partition(' ')
            self.assertIn(when, ('before', 'after'))
            self.assertIn(place, dying.PLACES)

    def test_a_guest_that_stays_in_the_phase(self):
        guests = {(one.phase, one.guest) for one in PLANS}
        for phase in (plan.Phase.PASSES, plan.Phase.POST_COPY):
            self.assertNotIn((phase, 'idle'), guests)
        self.assertNotIn((plan.Phase.FINISHING, 'busy'), guests)
        self.assertEqual({'post_copy'}, {
            one.policy for one in PLANS if one.phase is plan.Phase.POST_COPY})

    def test_hosts(self):
        for one in PLANS:
            self.assertEqual({'n1', 'n2'}, {one.source, one.destination})
            self.assertEqual(one.role is plan.Role.SOURCE, one.host == one.source)
            self.assertLessEqual(0, one.delay_s)
            self.assertLessEqual(one.delay_s, plan.SPAN_S[one.phase])

    def test_as_plain_values(self):
        told = json.loads(json.dumps(PLANS[0].to_dict()))
        self.assertEqual((7, 0, PLANS[0].fault.value), (
            told['seed'], told['number'], told['fault']))

    def test_in_a_line(self):
        line = next(one for one in PLANS if one.fault is plan.Fault.LINK_CUT).told()
        self.assertIn('the link is cut at the ', line)
        self.assertIn(' for ', line)
