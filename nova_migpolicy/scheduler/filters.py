# SPDX-License-Identifier: Apache-2.0
"""A filter for nova-scheduler that leaves out hosts without a free incoming slot.

It cannot tell a live migration from another move, such as an evacuation, which needs no slot. So
it prefers: where no host has a free slot, all stay. A server that is booted is never affected.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from nova.scheduler import filters

from nova_migpolicy.scheduler import moves


class IncomingSlotFilter(filters.BaseHostFilter):
    """Leaves out, of a server's move, the hosts without a free slot, if any host has one.

    To be the last one of enabled_filters: those after it might take out what it has left.
    """

    def filter_all(self, filter_obj_list: Iterable[Any], spec_obj: Any) -> Iterator[Any]:
        """Give the hosts that stay."""
        hosts = list(filter_obj_list)
        free = [host for host in hosts if moves.incoming(host).has_room]
        yield from free if free and moves.is_move(spec_obj) else hosts
