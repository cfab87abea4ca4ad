# SPDX-License-Identifier: Apache-2.0
"""What libvirt says of a domain's job that sends it to another host."""

from __future__ import annotations

from typing import Any

import libvirt

_GONE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


def sending(domain: libvirt.virDomain) -> dict[str, Any] | None:
    """Return the statistics of a domain's job that sends it to another host; else nothing.

    None where libvirt was too busy with the domain to say.

    :raises libvirtError: it does not answer
    """
    try:
        stats: dict[str, Any] = domain.jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() in _GONE:
            return {}
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_TIMEOUT:
            return None
        raise
    is_out = stats.get('operation') == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    return stats if is_out and stats.get('type') else {}
