# SPDX-License-Identifier: Apache-2.0
"""A guest that was paused for the transfer is let go where that takes far longer than was said."""

from testtools import matchers

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.sim import guests
from tests import announced
from tests.unit.engine import cases

ABORT, PAUSE = remedies.Abort(), remedies.Pause()
DEAD_S = 20_000.0
WRITES = guests.uniform(256, 128, 80)


class ReleaseTest(cases.TuningBase):

    def paused(self, dead=None, load=WRITES, at_s=20.0, **more):
        """Have an operator pause it, on a link that dies then or becomes that slow."""
        more = {'on_stall': 'continue', 'bandwidth_mib_s': 50, 'max_bandwidth_mib_s': 50, **more}
        change = {'outages': ((at_s, DEAD_S),)} if dead is None else {
            'link_steps': ((at_s, dead),)}
        self.start(load, setup={**change, **more.pop('setup', {})}, **more)
        self.go(at_s)
        said = self.do(self.controller.pause(self.plant.now_s)).reason
        _, most_s = announced.blackout_s(said)
        return self.plant.now_s, most_s

    def ends(self, seen):
        """When and by which rule it was aborted."""
        self.assertEqual('aborted', seen.end)
        self.assertEqual((ABORT,), seen.decisions[-1].actions)
        return seen.decisions[-1].at_s, seen.decisions[-1].rule

    def assert_near(self, expected, found):
        self.assertThat(found - expected, matchers.MatchesAll(
            matchers.Not(matchers.LessThan(-1.0)), matchers.LessThan(1.0)), (expected, found))

    def test_at_three_times_what_was_said(self):
        # 120 MiB at 5 MiB/s are some 25 s.
        paused_s, said_s = self.paused(0.5, bandwidth_mib_s=5, max_bandwidth_mib_s=5, at_s=80.0)
        self.assertThat(said_s, matchers.GreaterThan(15))
        seen = self.go(2000.0)
        at_s, rule = self.ends(seen)
        self.assertEqual('let_go', rule)
        self.assert_near(paused_s + 3 * said_s, at_s)
        self.assertIn('has been standing still for ', seen.decisions[-1].reason)
        self.assertIn('aborting, the guest stays where it is', seen.decisions[-1].reason)

    def test_a_short_one_is_given_some_seconds(self):
        paused_s, said_s = self.paused()
        self.assertThat(3 * said_s, matchers.LessThan(11))
        at_s, rule = self.ends(self.go(2000.0))
        self.assertEqual('let_go', rule)
        self.assert_near(paused_s + max(10, 3 * said_s), at_s)

    def test_at_the_deadline_once_what_was_said_is_over(self):
        paused_s, said_s = self.paused(0.5, bandwidth_mib_s=5, max_bandwidth_mib_s=5, at_s=80.0,
                                       timeout_seconds=130)
        at_s, rule = self.ends(self.go(2000.0))
        self.assertEqual('on_timeout', rule)
        self.assert_near(max(130.0, paused_s + 1.5 * said_s), at_s)
        # A pause that begins just before the deadline has its time.
        paused_s, said_s = self.paused(0.5, bandwidth_mib_s=5, max_bandwidth_mib_s=5, at_s=80.0,
                                       timeout_seconds=81)
        at_s, rule = self.ends(self.go(2000.0))
        self.assertEqual('on_timeout', rule)
        self.assert_near(paused_s + 1.5 * said_s, at_s)

    def test_a_policy_that_goes_on_at_the_deadline_has_three_times_as_much(self):
        paused_s, said_s = self.paused(0.5, bandwidth_mib_s=5, max_bandwidth_mib_s=5, at_s=80.0,
                                       timeout_seconds=81, on_timeout='continue')
        at_s, rule = self.ends(self.go(2000.0))
        self.assertEqual('let_go', rule)
        self.assert_near(paused_s + 3 * said_s, at_s)

    def test_where_nothing_moves_it_is_not_waited_for(self):
        # Some 90 s were said; nothing has moved for 30.
        paused_s, said_s = self.paused(load=guests.uniform(1024, 900, 500), bandwidth_mib_s=10,
                                       max_bandwidth_mib_s=10, at_s=150.0, timeout_seconds=0)
        self.assertThat(said_s, matchers.GreaterThan(60))
        seen = self.go(2000.0)
        at_s, rule = self.ends(seen)
        self.assertEqual('let_go', rule)
        self.assertThat(at_s, matchers.LessThan(paused_s + 45))
        self.assertIn('nothing has moved over the link', seen.decisions[-1].reason)

    def test_one_that_the_engine_paused(self):
        for way in ({'remedies': ('pause',)}, {'on_stall': 'pause'},
                    {'on_timeout': 'pause', 'on_stall': 'continue', 'timeout_seconds': 15}):
            more = {'bandwidth_mib_s': 20, 'max_bandwidth_mib_s': 20, **way}
            self.start(WRITES, **more)
            while not self.controller.over:
                self.go(self.plant.now_s + 0.1)
            self.start(WRITES, **more, setup={'outages': ((self.plant.now_s, DEAD_S),)})
            seen = self.go(200.0)
            self.assertEqual((PAUSE, ABORT), seen.actions, way)

    def test_a_refused_one_is_tried_again(self):
        paused_s, _ = self.paused()
        seen = self.go(2000.0, refuse=lambda action: (
            'busy' if action == ABORT and self.plant.now_s < paused_s + 40 else None))
        self.assertEqual(('aborted', 1), (seen.end, [
            one.rule for one in seen.decisions].count('let_go')))

    def test_one_that_takes_its_time_is_left_alone(self):
        for rate in (50, 25):
            self.paused(float(rate), bandwidth_mib_s=10, max_bandwidth_mib_s=10, at_s=60.0)
            seen = self.go(2000.0)
            self.assertEqual(('completed', ()), (seen.end, seen.decisions))

    def test_a_rate_that_an_operator_lowers_is_reckoned_with(self):
        _, said_s = self.paused(20.0, bandwidth_mib_s=10, max_bandwidth_mib_s=10, at_s=60.0,
                                timeout_seconds=0)
        self.do(self.tune(bandwidth_mib_s=2))
        seen = self.go(2000.0)
        self.assertEqual(('completed', ()), (seen.end, seen.decisions))
        self.assertThat(seen.blackout_ms, matchers.GreaterThan(3000 * said_s))

    def test_when_to_look_is_told(self):
        paused_s, _ = self.paused(timeout_seconds=0)
        self.assert_near(paused_s + 10, self.controller.next_due_s(self.plant.now_s))


class SwitchoverTest(cases.TuningBase):
    """The guest stands still for its switchover, and libvirt tells that nothing moves."""

    def stand(self, seconds, switched=True, wire=0, **more):
        """Let it stand still with all of its memory handed to the kernel; the decisions."""
        self.start(**{'on_stall': 'continue', 'timeout_seconds': 0, **more})
        found = []
        for number in range(int(seconds / 5) + 1):
            at_s = 20.0 + 5 * number
            if switched and not number:
                self.controller.switched_over(at_s)
            found.append(self.controller.observe(samples.Sample(
                at_s, iteration=4, memory_total_bytes=1 << 28, memory_remaining_bytes=0,
                memory_processed_bytes=(1 << 28) + wire * number)))
        return [one for one in found if one is not None]

    def test_it_is_let_go_when_nothing_moves(self):
        [decision] = self.stand(40)
        self.assertEqual(('let_go', (ABORT,), 50.0),
                         (decision.rule, decision.actions, decision.at_s))
        self.assertIn('has been standing still in its switchover for 30 s', decision.reason)
        self.assertIn('nothing has moved over the link', decision.reason)

    def test_not_before_many_times_the_promise(self):
        said = self.stand(95, initial_downtime_ms=5000, max_downtime_ms=5000)
        self.assertNotIn('let_go', [one.rule for one in said])
        self.assertEqual('let_go', self.stand(
            105, initial_downtime_ms=5000, max_downtime_ms=5000)[-1].rule)

    def test_not_while_something_moves_nor_without_a_switchover(self):
        self.assertEqual([], self.stand(200, wire=1 << 20))
        self.assertEqual([], self.stand(200, switched=False))
