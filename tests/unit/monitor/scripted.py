# SPDX-License-Identifier: Apache-2.0
"""What stands beside a monitor in its tests: inbox, engine and host that follow a script."""

from __future__ import annotations

import types

import libvirt

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import retune as retune_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import resolve
from tests.unit.monitor import fakes

RUNNING_JOB = {
    'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED, 'memory_total': 1 << 30,
    'memory_remaining': 1 << 20, 'memory_processed': 1 << 29, 'memory_iteration': 1}
ABORTED = fakes.error(libvirt.VIR_ERR_OPERATION_ABORTED)


class Script:
    """Stands in for the inbox: hands out one list of items a round, then ends the call."""

    def __init__(self, clock, call, rounds, error=None, too_late=()):
        self.clock = clock
        self.call = call
        self.rounds = list(rounds)
        self.error = error
        self.too_late = list(too_late)

    def wait(self, timeout_s):
        self.clock.sleep(timeout_s)
        if self.rounds:
            return self.rounds.pop(0)
        self.call.error = self.error
        self.call.done = True
        return []

    def holds(self, name):
        return False

    def waiting(self, wanted):
        return None

    def close(self):
        return self.too_late


class Controller:
    """Decides what it is told to, and keeps what it hears."""

    def __init__(self, decisions=()):
        self.decisions = list(decisions)
        self.heard = []
        self.phase = samples.Phase.BULK
        self.forecast = None
        self.stands_still = False
        self.in_need = self.is_urgent = self.has_given_way = False
        self.abort_due = None
        self.settings = types.SimpleNamespace(cap_mib_s=50, limit_ms=100, promised_ms=100)
        self.facts = types.SimpleNamespace(
            deadline_s=None, started_s=0.0, can_hurry_disks=True)
        self.policy = keys.Policy()
        self.held = {}

    def switched_over(self, at_s):
        self.heard.append(('switched_over', at_s))

    def next_due_s(self, after_s):
        deadline_s = self.facts.deadline_s
        return deadline_s if deadline_s is not None and deadline_s > after_s else None

    def observe(self, sample):
        self.heard.append(('observe', sample))
        decision = self.decisions.pop(0) if self.decisions else None
        if isinstance(decision, Exception):
            raise decision
        return decision

    def applied(self, action, at_s):
        self.heard.append(('applied', action))

    def failed(self, action, at_s, error):
        self.heard.append(('failed', action))

    def leave_out(self, names):
        self.left_out = names

    def abort(self, at_s, why):
        return decide(remedies.Abort(), reason=why)

    def force_complete(self, at_s):
        return decide(remedies.StartPostCopy(), reason='asked for')


class Host:
    def __init__(self):
        self.reports = []
        self.post_copy = 0

    def operation_done(self):
        return False

    def report(self, sample, percent):
        self.reports.append(percent)

    def policy_changed(self, in_force):
        self.kept = in_force

    def post_copy_started(self):
        self.post_copy += 1


def decide(*actions, reason='because'):
    return controller_mod.Decision(0.0, actions, 'test', reason, None)


def no_retune():
    """The tuning of a migration that nobody tunes."""
    resolved = resolve.resolve(resolve.Sources())
    return retune_mod.PolicyInForce(lambda retune: resolved, resolved, lambda policy: None)
