# SPDX-License-Identifier: Apache-2.0
"""What holds for every guest that writes to disks which are copied with it."""

import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine.steering import ending
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from tests.property import drawn

# Two looks, and what rounding makes of a moment.
SLACK_S = 2 * run.TICK_S + 0.1


ANY = strategies.sampled_from([0.0, 1.0]) | strategies.floats(0, 300)
NONE = strategies.just(0.0)


@strategies.composite
def worlds(draw, write=ANY):
    """A setup, and what the engine is told of it."""
    sizes = draw(strategies.lists(strategies.sampled_from([16, 200, 3000, 40_000]),
                                  min_size=1, max_size=3))
    link = draw(strategies.sampled_from([20.0, 120.0, 1000.0]))
    setup = precopy.Setup(
        guests.idle(64), link_mib_s=link, disk_mib=sizes[0], more_disks_mib=tuple(sizes[1:]),
        disk_write_mib_s=draw(write),
        outages=draw(strategies.just(()) | drawn.outages()))
    return setup, {'can_hurry_disks': draw(strategies.booleans()),
                   'can_post_copy': draw(strategies.booleans())}


def bounded(policy):
    return policy.timeout_seconds > 0 and policy.on_timeout != 'continue'


class TestDisks(testtools.TestCase):

    def steer(self, world, policy, commands=()):
        setup, facts = world
        controller, plant = run.start(policy, setup, **facts)
        forecasts = []

        def look(stats):
            if controller.phase is samples.Phase.DISKS:
                forecasts.append(controller.forecast)
            return stats

        seen = run.steer(controller, plant, until_s=20_000.0, change=look, commands=commands)
        return controller, seen, forecasts

    @hypothesis.given(worlds(), drawn.policies(timeout_seconds=60),
                      strategies.booleans())
    def test_none_runs_on_without_end(self, world, policy, forced):
        hypothesis.assume(bounded(policy))
        commands = [(3.0, controller_mod.Controller.force_complete)] if forced else []
        controller, seen, _ = self.steer(world, policy, commands)
        self.assertIn(seen.end, ('completed', 'aborted'))
        if seen.bulk_end_s is None and seen.end == 'aborted':
            deadline_s = controller.facts.deadline_s
            last_s = deadline_s + max(ending.GRACE_S, deadline_s)
            self.assertLessEqual(seen.seconds, last_s + SLACK_S)

    @hypothesis.given(worlds(write=NONE), drawn.policies(timeout_seconds=300))
    def test_a_slow_copy_is_not_taken_for_writes(self, world, policy):
        _, seen, forecasts = self.steer(world, policy)
        self.assertEqual([], [one.reason for one in seen.decisions if 'writes' in one.reason])
        if not world[0].outages:
            self.assertEqual([], [one for one in forecasts if one and not one.converges])

    @hypothesis.given(worlds(), drawn.policies(timeout_seconds=300))
    def test_the_rate_stays_within_what_is_permitted(self, world, policy):
        _, seen, _ = self.steer(world, policy)
        top = policy.max_bandwidth_mib_s
        for action in seen.actions:
            if isinstance(action, remedies.SetBandwidth) and top:
                self.assertTrue(0 < action.mib_s <= top, action)
