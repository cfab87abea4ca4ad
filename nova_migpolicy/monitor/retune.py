# SPDX-License-Identifier: Apache-2.0
"""The policy of a running migration, with the retunes of operators.

A change is worked out and checked here, not applied. The rate, blackout and throttle that an
operator sets are held, so the policy beneath stays as it was and is in force again when they are
released.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import types

from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import resolve

# Resolves the policy again, with these keys as a retune.
Resolver = Callable[[Mapping[str, object]], resolve.Resolved]


@dataclasses.dataclass(frozen=True)
class RetuneProposal:
    """A permitted change: the part for the engine, and the policy in force afterwards."""

    change: terms_mod.Change
    resolved: resolve.Resolved
    retuned: Mapping[str, object]


class PolicyInForce:
    """The policy in force.

    :param resolver: resolves the policy with a retune
    :param resolved: the policy at the start
    :param deadline_s: gives a policy's deadline on the monitor's clock; None for no deadline
    :param retuned: by operators before
    """

    def __init__(self, resolver: Resolver, resolved: resolve.Resolved,
                 deadline_s: Callable[[keys.Policy], float | None],
                 retuned: Mapping[str, object] = types.MappingProxyType({})) -> None:
        self._resolver = resolver
        self._deadline_s = deadline_s
        self.resolved = resolved
        self.retuned = retuned

    def propose(self, values: Mapping[str, object], release: Sequence[str],
                held: Mapping[str, int]) -> RetuneProposal:
        """Work out a change without making it.

        :param held: the settings held now
        :raises exception.PolicyError: it cannot be made; the message names everything wrong
        """
        unknown = [name for name in release if name not in keys.KEYS]
        both = [name for name in release if name in values]
        if unknown:
            keys.find(unknown[0])
        if both:
            raise exception.BadValue(both[0], values[both[0]], 'it is set and released at once')
        retuned = {name: value for name, value in {**self.retuned, **values}.items()
                   if name not in release}
        kept = {name: value for name, value in held.items() if name not in release}
        # Checked with all of it in place, since one key may bound another.
        whole = self._resolver({**retuned, **{
            name: value for name, value in kept.items() if name not in values}})
        steered = {name: value for name, value in retuned.items()
                   if name not in terms_mod.HOLDABLE}
        resolved = self._resolver(steered)
        changed = resolved.policy != self.resolved.policy
        change = terms_mod.Change(
            hold={name: getattr(whole.policy, name) for name in values
                  if name in terms_mod.HOLDABLE},
            release=frozenset(name for name in release if name in terms_mod.HOLDABLE),
            policy=resolved.policy if changed else None,
            deadline_s=self._deadline_s(resolved.policy) if changed else None)
        return RetuneProposal(change, resolved, steered)

    def accept(self, proposal: RetuneProposal) -> None:
        """Record that the change was made."""
        self.resolved = proposal.resolved
        self.retuned = proposal.retuned
