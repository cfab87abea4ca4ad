# SPDX-License-Identifier: Apache-2.0
"""What a host publishes of its incoming slots among its statistics, and how it is read again.

Nova carries these to its scheduler, which asks nobody. They are as old as the last report of the
host's resources: a minute, unless Nova is told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses

from nova_migpolicy.capacity import limits as limits_mod

#: their names among a host's statistics, whose values are texts
USED, WAITING, LIMIT = (f'migpolicy_incoming_{name}' for name in ('used', 'waiting', 'limit'))


@dataclasses.dataclass(frozen=True)
class Incoming:
    """The incoming slots of a host: how many are used, how many wait, and the limit (0: none)."""

    used: int
    waiting: int
    limit: int

    @property
    def has_room(self) -> bool:
        """Whether one more may come at once."""
        return not self.waiting and limits_mod.has_room(self.used, self.limit)

    @property
    def load(self) -> int:
        """How many come, or wait for it."""
        return self.used + self.waiting

    def to_stats(self) -> dict[str, str]:
        """Return it as statistics."""
        return {USED: str(self.used), WAITING: str(self.waiting), LIMIT: str(self.limit)}


#: more than any host has; what is said beyond it is nonsense
MOST = 1_000_000
#: of a host that has published nothing: it has room
NOTHING = Incoming(0, 0, 0)


def read(stats: Mapping[str, object]) -> Incoming:
    """Return what a host has published; NOTHING where that is nothing, or nonsense."""
    try:
        found = [int(str(stats[name])) for name in (USED, WAITING, LIMIT)]
    except (KeyError, ValueError):
        return NOTHING
    return Incoming(*found) if all(0 <= number <= MOST for number in found) else NOTHING
