# SPDX-License-Identifier: Apache-2.0
"""The engine against recordings of real migrations under its own steering.

recorded.json was recorded on the lab's stack (QEMU 7.2, libvirt 9.0): a guest of 256 MiB that
sweeps 128 MiB at 80 MiB/s, over a cap of 50 MiB/s, steered by the engine under one policy each.
"""

import json
import pathlib

import testtools

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.policy import keys

TRACES = json.loads(pathlib.Path(__file__).with_name('recorded.json').read_text())
MIB = 1 << 20


def pass_at(trace, at_s):
    return max(one['iteration'] for one in trace['samples'] if one['at_s'] <= at_s)


class TestEngine(testtools.TestCase):
    """The recorded samples, decided on anew."""

    def decide(self, name):
        trace = TRACES[name]
        policy = keys.Policy(**{**trace['policy'],
                                'remedies': tuple(trace['policy']['remedies'])})
        facts = trace['facts']
        controller = controller_mod.Controller(policy, controller_mod.Facts(
            256 * MIB, 0, 0.0, link_mib_s=facts['link_mib_s'],
            can_throttle=facts['can_throttle'], qemu_limit_ms=facts['qemu_limit_ms'],
            bandwidth_mib_s=policy.bandwidth_mib_s, deadline_s=300.0))
        decisions = []
        for one in trace['samples']:
            decision = controller.observe(samples.Sample(**one))
            if decision is not None:
                decisions.append(decision)
                for action in decision.actions:
                    controller.applied(action, one['at_s'] + 0.01)
        return decisions, controller

    def check_one_decision(self, name, rule):
        decisions, controller = self.decide(name)
        self.assertEqual([rule], [decision.rule for decision in decisions])
        # Two passes after the bulk copy, which is libvirt's first.
        self.assertEqual(4, pass_at(TRACES[name], decisions[0].at_s))
        return decisions[0], controller

    def test_nothing_permitted(self):
        decision, _ = self.check_one_decision('nothing', 'on_stall')
        self.assertEqual((remedies.Abort(),), decision.actions)

    def test_downtime(self):
        decision, _ = self.check_one_decision('downtime', 'raise_downtime')
        self.assertThat(decision.forecast.plateau_bytes / MIB, testtools.matchers.MatchesAll(
            testtools.matchers.GreaterThan(115), testtools.matchers.LessThan(130)))

    def test_bandwidth(self):
        _, controller = self.check_one_decision('bandwidth', 'raise_bandwidth')
        # Once the passes no longer end with the whole set dirty, the guest's rate shows.
        rates = [one.dirtied_bytes / one.duration_s / MIB for one in controller.passes
                 if one.number in (5, 6, 7)]
        for rate in rates:
            self.assertThat(abs(rate - 80), testtools.matchers.LessThan(8))

    def test_auto_converge(self):
        decision, _ = self.check_one_decision('auto_converge', 'auto_converge')
        self.assertEqual('set_throttle', decision.actions[0].name)
