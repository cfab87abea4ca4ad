# SPDX-License-Identifier: Apache-2.0
"""Plays a migration through on the model of pre-copy, steered by the engine."""

import testtools

from nova_migpolicy.engine import terms
from nova_migpolicy.policy import keys
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run

# The guest that never finishes by itself: 128 MiB written at 80 MiB/s over a 50 MiB/s cap.
WILD = guests.sweep(256, 128, 80)
RANDOM = guests.uniform(256, 128, 80)


def names(decisions):
    return [decision.rule for decision in decisions]


class CaseBase(testtools.TestCase):

    def steer(self, load, link=200.0, until_s=30_000.0, change=None, refuse=None, facts=None,
              setup=None, **policy):
        policy = {'bandwidth_mib_s': 50, 'max_bandwidth_mib_s': 95, 'initial_downtime_ms': 50,
                  'max_downtime_ms': 500, 'timeout_seconds': 600, **policy}
        controller, plant = run.start(
            keys.Policy(**policy), precopy.Setup(load, link_mib_s=link, **(setup or {})),
            **(facts or {}))
        self.controller = controller
        return run.steer(controller, plant, until_s=until_s, change=change, refuse=refuse)


def change(**hold):
    """A change of an operator that holds settings."""
    return terms.Change(hold=hold)
