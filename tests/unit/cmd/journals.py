# SPDX-License-Identifier: Apache-2.0
"""Journals of migrations of the model, written by the class that writes the real ones."""

from __future__ import annotations

import dataclasses
import pathlib

from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run

# The monitor's clock begins anywhere.
STARTED_S = 5000.0
LINK_MIB_S = 117.0


class Scribe:
    """A pilot that lets another one steer, and writes down what nova-compute would."""

    def __init__(self, pilot, journal):
        self._pilot = pilot
        self._journal = journal

    @property
    def forecast(self):
        return self._pilot.forecast

    def observe(self, sample: samples.Sample):
        decision = self._pilot.observe(sample)
        forecast = self._pilot.forecast
        self._journal.add('sample', STARTED_S + sample.at_s, **sample.to_dict(),
                          forecast=forecast.to_dict() if forecast else None)
        if decision is not None:
            self._journal.add('decision', STARTED_S + decision.at_s, **decision.to_dict())
        return decision

    def applied(self, action, at_s):
        self._pilot.applied(action, at_s)
        self._journal.add('action', STARTED_S + at_s, **action.to_dict(), done=True)

    def failed(self, action, at_s, error):
        self._pilot.failed(action, at_s, error)


def write(path: pathlib.Path, load, *, link_known=True, until_s=300.0, **request) -> run.Run:
    """Migrate such a guest under profile balanced and a request, and keep the journal."""
    resolved = resolve.resolve(resolve.Sources(request=request))
    policy = resolved.policy
    facts = {'link_mib_s': LINK_MIB_S if link_known else None,
             'can_post_copy': policy.may_post_copy, 'can_throttle': policy.may_throttle}
    setup = precopy.Setup(load, link_mib_s=LINK_MIB_S)
    controller, plant = run.start(policy, setup, **facts)
    journal = journal_mod.Journal(path, STARTED_S, 1 << 20)
    journal.add('start', STARTED_S, server='a server', destination='n2', **resolved.to_dict(),
                facts=dataclasses.asdict(controller.facts), notes=[])
    ran = run.steer(Scribe(controller, journal), plant, until_s=until_s)
    journal.add('end', STARTED_S + ran.seconds, outcome={
        'completed': 'completed', 'aborted': 'cancelled'}.get(ran.end, 'failed'), reason='')
    return ran
