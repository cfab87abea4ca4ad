# SPDX-License-Identifier: Apache-2.0
"""Calls that need more privileges than nova-compute has, made in Nova's privsep daemon.

It is Nova's own context, so that no host needs another rule for rootwrap or sudo; the daemon
imports this module. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import nova.privsep

from nova_migpolicy.monitor import sockets

# Longer than the calls of ss within may take together.
TIMEOUT_S = 30.0


@nova.privsep.sys_admin_pctxt.entrypoint_with_timeout(TIMEOUT_S)  # type: ignore[untyped-decorator]
def close_migration(uuid: str, addresses: Sequence[str]) -> tuple[list[str], str]:
    """Close the connections of a domain's migration; return them, or why they cannot be closed."""
    try:
        return sockets.close(uuid, addresses), ''
    except sockets.Unclosable as error:
        return [], str(error)
