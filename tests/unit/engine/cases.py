# SPDX-License-Identifier: Apache-2.0
"""Migrations on the model of pre-copy, steered by the engine."""

import dataclasses

import testtools

from nova_migpolicy.engine import samples
from nova_migpolicy.engine import terms
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import resolve
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run

# The guest that never finishes by itself: 128 MiB written at 80 MiB/s over a 50 MiB/s cap.
WILD = guests.sweep(256, 128, 80)
RANDOM = guests.uniform(256, 128, 80)


def names(decisions):
    return [decision.rule for decision in decisions]


class CaseBase(testtools.TestCase):
    """A migration that is played through."""

    def steer(self, load, link=200.0, until_s=30_000.0, change=None, refuse=None, facts=None,
              setup=None, **policy):
        policy = {'bandwidth_mib_s': 50, 'max_bandwidth_mib_s': 95, 'initial_downtime_ms': 50,
                  'max_downtime_ms': 500, 'timeout_seconds': 600, **policy}
        controller, plant = run.start(
            keys.Policy(**policy), precopy.Setup(load, link_mib_s=link, **(setup or {})),
            **(facts or {}))
        self.controller = controller
        return run.steer(controller, plant, until_s=until_s, change=change, refuse=refuse)


class ControllerBase(testtools.TestCase):
    """A migration that goes on to a time, where an operator gives an order."""

    def start(self, load=WILD, facts=None, setup=None, **policy):
        policy = {'bandwidth_mib_s': 50, 'max_bandwidth_mib_s': 95, 'initial_downtime_ms': 50,
                  'max_downtime_ms': 500, 'timeout_seconds': 600, 'remedies': (), **policy}
        self.controller, self.plant = run.start(
            keys.Policy(**policy), precopy.Setup(load, link_mib_s=200, **(setup or {})),
            **(facts or {}))
        return self.controller

    def go(self, until_s=60.0, **more):
        """On to a time or the end; the run so far."""
        return run.steer(self.controller, self.plant, until_s=until_s, **more)

    def do(self, decision):
        for action in decision.actions:
            self.assertIsNone(self.plant.apply(action))
            self.controller.applied(action, self.plant.now_s)
        return decision


class TuningBase(ControllerBase):
    """A migration whose settings an operator changes."""

    def start(self, *given, **more):
        return super().start(*given, **{'timeout_seconds_per_gib': 0, **more})

    def tune(self, at_s=None, policy=None, deadline_s=None, release=(), **held):
        """A change at a time, not done yet; policy: fields to replace."""
        if policy is not None:
            policy = dataclasses.replace(self.controller.policy, **policy)
        self.change = terms.Change(held, frozenset(release), policy, deadline_s)
        return self.controller.retune(
            self.change, self.plant.now_s if at_s is None else at_s)

    def refuse(self, decision, error='busy'):
        """libvirt refuses the last action of a decision."""
        *done, last = decision.actions
        for action in done:
            self.plant.apply(action)
            self.controller.applied(action, self.plant.now_s)
        self.controller.failed(last, self.plant.now_s, error)

    def seen(self):
        """A sample as of now, which ends no pass."""
        return samples.Sample.from_stats(self.plant.now_s, self.plant.stats())


class DisksBase(testtools.TestCase):
    """A migration whose disks are written to while they are mirrored."""

    def start(self, profile, disk_mib=256, write=48.0, cap=20, ceiling=100, deadline_s=75,
              link=1000.0, memory_mib=64, facts=None, outages=(), **keys):
        wanted = {'profile': profile, 'bandwidth_mib_s': str(cap),
                  'max_bandwidth_mib_s': str(ceiling), **keys}
        if deadline_s is not None:
            wanted.update(timeout_seconds=str(deadline_s), timeout_seconds_per_gib='0')
        policy = resolve.resolve(resolve.Sources(flavor=wanted)).policy
        self.controller, self.plant = run.start(
            policy, precopy.Setup(guests.idle(memory_mib), link_mib_s=link, disk_mib=disk_mib,
                                  disk_write_mib_s=write, outages=outages),
            **{'can_hurry_disks': True, 'can_post_copy': policy.may_post_copy, **(facts or {})})
        self.forecasts = []

    def go(self, until_s=20_000.0, **more):
        def look(stats):
            if self.controller.phase is samples.Phase.DISKS:
                self.forecasts.append((self.plant.now_s, self.controller.forecast))
            return stats
        return run.steer(self.controller, self.plant, until_s=until_s, change=look, **more)

    def steer(self, profile, **more):
        self.start(profile, **more)
        return self.go()


def change(**hold):
    """A change of an operator that holds settings."""
    return terms.Change(hold=hold)
