# SPDX-License-Identifier: Apache-2.0
"""Steers one migration: samples in, decisions out.

The controller is deterministic and has no clock: time comes with every call. It does nothing to
a guest itself. Whoever applies its decisions tells it by `applied` or `failed` what came of them.
"""

from __future__ import annotations

from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import sample as samples
from nova_migpolicy.policy import keys

Facts = record.Facts
Forecast = record.Forecast
Decision = record.Decision


def initial_limit_ms(policy: keys.Policy, facts: Facts) -> int:
    """The limit in ms to hand to QEMU before the start, for the policy's initial downtime."""
    return policy.initial_downtime_ms


class Controller:
    """The steering of one migration."""

    def __init__(self, policy: keys.Policy, facts: Facts) -> None:
        self.policy = policy
        self.facts = facts

    @property
    def forecast(self) -> Forecast | None:
        """The forecast as of the last sample; None before there is anything to say."""
        return None

    @property
    def phase(self) -> samples.Phase:
        """Where the migration is."""
        return samples.Phase.SETUP

    def observe(self, sample: samples.Sample) -> Decision | None:
        """Take in a sample; None when there is nothing to do."""
        return None

    def applied(self, action: remedies.Action, at_s: float) -> None:
        """An action of a decision has been carried out."""

    def failed(self, action: remedies.Action, at_s: float, error: str) -> None:
        """An action was refused: it is tried once more at the next pass, and then no more."""

    def force_complete(self, at_s: float) -> Decision:
        """A person wants it to end now: post-copy if it can, else a pause."""
        return Decision(at_s, (), 'operator', '')

    def abort(self, at_s: float, why: str) -> Decision:
        """A person wants it to stop; refused, with a reason, once post-copy has begun."""
        return Decision(at_s, (remedies.Abort(),), 'operator', why)

    def hold(self, setting: str, value: int, at_s: float) -> Decision:
        """A person sets bandwidth_mib_s, max_downtime_ms or max_throttle_percent until release.
        """
        return Decision(at_s, (), 'operator', '')

    def release(self, setting: str, at_s: float | None = None) -> Decision:
        """Give a held setting back to the engine."""
        return Decision(at_s or 0.0, (), 'operator', '')

    def update_link(self, mib_s: float | None) -> None:
        """The rate of the link is better known now."""
