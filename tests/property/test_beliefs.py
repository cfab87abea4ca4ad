# SPDX-License-Identifier: Apache-2.0
"""What holds though the rate of the link is not what it is believed to be."""

import dataclasses

import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from tests.property import drawn

TOO_LOW, TOO_HIGH = drawn.TOO_LOW, drawn.TOO_HIGH
worlds = drawn.worlds
# A server that is given up on where it is not hurried, and a host that may hurry it.
WORLD = (precopy.Setup(guests.sweep(1000, 600, 250), link_mib_s=1000),
         {'can_throttle': False, 'can_post_copy': False})
SMALL = (precopy.Setup(guests.sweep(67, 9, 157), link_mib_s=400),
         {'can_throttle': False, 'can_post_copy': False})
POLICY = keys.Policy(
    bandwidth_mib_s=50, max_bandwidth_mib_s=800, max_downtime_ms=500, initial_downtime_ms=100,
    remedies=('bandwidth', 'downtime'), on_stall='abort', timeout_seconds=0,
    timeout_seconds_per_gib=0)


@strategies.composite
def policies(draw):
    """Those under which giving up is what remains when bandwidth and downtime do not help."""
    cap = draw(strategies.sampled_from([0, 10, 30, 50, 100]))
    return draw(drawn.policies(
        bandwidth_mib_s=cap, max_bandwidth_mib_s=draw(strategies.sampled_from([0, 800])),
        remedies=('bandwidth', 'downtime'), on_stall='abort', timeout_seconds=0))


def believing(world, policy, share, switchover=False):
    """A world in which the link is believed to have that share of its rate."""
    setup, facts = world
    believed = None if share is None else share * setup.link_mib_s
    told = settings_mod.told_mib_s(policy.bandwidth_mib_s, believed) if switchover else None
    return setup, {**facts, 'link_mib_s': believed, 'switchover_mib_s': told}


class TestPromise(testtools.TestCase):

    def check(self, world, policy, share, switchover):
        _, seen = drawn.play(believing(world, policy, share, switchover), policy)
        if seen.end == 'completed' and remedies.Pause() not in seen.actions:
            self.assertLessEqual(seen.blackout_ms, 1.03 * policy.max_downtime_ms + 25)

    @hypothesis.given(worlds(100), drawn.policies(), TOO_LOW, strategies.booleans())
    def test_it_is_kept_on_a_link_that_is_faster(self, world, policy, share, switchover):
        self.check(world, policy, share, switchover)

    # Under a cap below the link's rate nothing shows that rate before the switchover.
    @hypothesis.given(worlds(100), drawn.policies(bandwidth_mib_s=0, max_bandwidth_mib_s=0),
                      TOO_HIGH, strategies.booleans())
    @hypothesis.example(WORLD, dataclasses.replace(POLICY, bandwidth_mib_s=0), 20.0, True)
    def test_it_is_kept_on_a_link_that_is_slower_and_shows_it(
            self, world, policy, share, switchover):
        self.check(world, policy, share, switchover)


class TestOutcome(testtools.TestCase):

    def check(self, world, policy, share, switchover):
        # One that changes its ways may end by luck, and then not.
        hypothesis.assume(all(len(stretches) == 1 for stretches in world[0].load.writers))
        _, seen = drawn.play(believing(world, policy, None), policy)
        hypothesis.assume(seen.end == 'completed')
        _, seen = drawn.play(believing(world, policy, share, switchover), policy)
        self.assertEqual('completed', seen.end)

    @hypothesis.given(worlds(100), policies(), TOO_LOW, strategies.booleans())
    @hypothesis.example(WORLD, POLICY, 0.05, False)
    def test_what_completes_completes_on_a_link_that_is_faster(
            self, world, policy, share, switchover):
        self.check(world, policy, share, switchover)

    @hypothesis.given(worlds(100), policies(), TOO_HIGH, strategies.booleans())
    def test_what_completes_completes_on_a_link_that_is_slower(
            self, world, policy, share, switchover):
        self.check(world, policy, share, switchover)

    @hypothesis.given(worlds(100), policies(), drawn.TRUE, strategies.booleans())
    @hypothesis.example(SMALL, dataclasses.replace(
        POLICY, bandwidth_mib_s=10, max_bandwidth_mib_s=0, max_downtime_ms=10,
        initial_downtime_ms=10), 0.9, False)
    def test_what_completes_completes_with_the_truth(self, world, policy, share, switchover):
        self.check(world, policy, share, switchover)
