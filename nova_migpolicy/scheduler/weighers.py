# SPDX-License-Identifier: Apache-2.0
"""A weigher for nova-scheduler that prefers hosts to which few live migrations come."""

from __future__ import annotations

from typing import Any

import nova.conf
from nova.scheduler import utils
from nova.scheduler import weights

from nova_migpolicy import conf as options
from nova_migpolicy.scheduler import moves

CONF = nova.conf.CONF
MULTIPLIER = 'incoming_weight_multiplier'


class IncomingLoadWeigher(weights.BaseHostWeigher):
    """Prefers, for a server's move, hosts to which fewer migrations come or wait to."""

    maxval = 0

    def __init__(self) -> None:
        super().__init__()
        options.register_opts(CONF)

    def weight_multiplier(self, host_state: Any) -> float:
        """Return how much it counts: by the metadata of the host's aggregates, or nova.conf."""
        return float(utils.get_weight_multiplier(
            host_state, f'migpolicy_{MULTIPLIER}', CONF.migpolicy[MULTIPLIER]))

    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        if not moves.is_move(weight_properties):
            return 0.0
        return -float(moves.incoming(host_state).load)
