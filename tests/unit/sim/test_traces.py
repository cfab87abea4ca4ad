# SPDX-License-Identifier: Apache-2.0
"""The model and the engine against recordings of real migrations.

traces.json was recorded on the lab's stack (QEMU 7.2, libvirt 9.0): a guest of 256 MiB that
sweeps 128 MiB at 80 MiB/s, over a cap of 50 MiB/s, steered by the engine under one policy each.
"""

import json
import pathlib

import testtools

from nova_migpolicy.engine import controller as controller_module
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import sample as samples
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy

TRACES = json.loads(pathlib.Path(__file__).with_name('traces.json').read_text())
MIB = 1 << 20
KINDS = {kind.name: kind for kind in (
    remedies.SetBandwidth, remedies.SetMaxDowntime, remedies.SetThrottle, remedies.StartPostCopy,
    remedies.Pause, remedies.Abort)}


def action_of(record):
    values = dict(record)
    return KINDS[values.pop('action')](**values)


class TestModel(testtools.TestCase):
    """The same guest in the model, with the recorded actions after the same passes."""

    def play(self, trace):
        """(iteration, time, remaining) at each sync of the model."""
        load = trace['load']
        plant = precopy.Migration(precopy.Setup(
            guests.sweep(load['memory_mib'], load['set_mib'], load['rate_mib_s']),
            link_mib_s=1200, cap_mib_s=trace['policy']['bandwidth_mib_s'],
            limit_ms=trace['facts']['qemu_limit_ms'],
            auto_converge=trace['facts']['can_throttle']))
        due = [(self.pass_at(trace, at_s), action_of(record))
               for at_s, record in trace['actions']]
        seen = []
        while not plant.over and plant.now_s < 60:
            if plant.step():
                seen.append((plant.syncs, plant.now_s, plant.remaining))
                while due and due[0][0] <= plant.syncs:
                    plant.apply(due.pop(0)[1])
        return seen, plant

    @staticmethod
    def pass_at(trace, at_s):
        return max(one['iteration'] for one in trace['samples'] if one['at_s'] <= at_s)

    def check_passes(self, name, count, tolerance=0.15):
        trace = TRACES[name]
        seen, plant = self.play(trace)
        real = {one['iteration']: one for one in trace['samples'] if one['boundary']}
        model = {number: (at_s, remaining) for number, at_s, remaining in seen}
        for number in range(3, 3 + count):
            took = real[number]['at_s'] - real[number - 1]['at_s']
            self.assertThat(abs(model[number][0] - model[number - 1][0] - took),
                            testtools.matchers.LessThan(0.1 + tolerance * took), number)
            left = real[number]['memory_remaining_bytes']
            self.assertThat(abs(model[number][1] - left),
                            testtools.matchers.LessThan(6 * MIB + tolerance * left), number)
        return plant

    def test_a_plateau(self):
        self.assertEqual('aborted', self.check_passes('nothing', 2).state)

    def test_a_raised_limit(self):
        plant = self.check_passes('downtime', 2)
        self.assertEqual('completed', plant.state)
        self.assertThat(abs(1000 * plant.blackout_s - TRACES['downtime']['end']['downtime_ms']),
                        testtools.matchers.LessThan(60))

    def test_a_raised_cap(self):
        plant = self.check_passes('bandwidth', 8)
        self.assertEqual('completed', plant.state)
        self.assertThat(abs(plant.now_s - TRACES['bandwidth']['end']['total_seconds']),
                        testtools.matchers.LessThan(3.0))


class TestEngine(testtools.TestCase):
    """The recorded samples, decided on anew."""

    def decide(self, name):
        trace = TRACES[name]
        policy = keys.Policy(**{**trace['policy'],
                                'remedies': tuple(trace['policy']['remedies'])})
        facts = trace['facts']
        controller = controller_module.Controller(policy, controller_module.Facts(
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
        self.assertEqual(4, TestModel.pass_at(TRACES[name], decisions[0].at_s))
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
