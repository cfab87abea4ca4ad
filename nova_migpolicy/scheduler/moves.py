# SPDX-License-Identifier: Apache-2.0
"""Which requests are for a server that is moved, and what a host has published of its slots.

Nova does not tell its scheduler that a server is live-migrated. What it tells is that hosts are
left out: of a live migration, an evacuation or a cold migration the one where the server is. A
server that is booted, or started again after it was shelved, has none.
"""

from __future__ import annotations

from typing import Any

from nova_migpolicy.capacity import published


def is_move(spec: Any) -> bool:
    """Whether a server may be moved by a request."""
    return bool('ignore_hosts' in spec and spec.ignore_hosts)


def incoming(host_state: Any) -> published.Incoming:
    """Return the incoming slots of a host, as it has published them."""
    return published.read(host_state.stats or {})
