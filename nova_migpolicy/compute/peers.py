# SPDX-License-Identifier: Apache-2.0
"""Questions to the plugin on other hosts."""

from __future__ import annotations

from typing import Any

from oslo_log import log as logging

from nova_migpolicy.channel import client
from nova_migpolicy.recovery import evidence

LOG = logging.getLogger(__name__)


def ask(channel: client.Channel, context: Any, host: str, server: str) -> evidence.Destination:
    """Ask another host for a server's domain there; SILENT for anything but a clear answer."""
    try:
        _, body = channel.ask(context, host, 'whereabouts', server=server)
        return evidence.Destination((body or {}).get('state'))
    except client.Refused as error:
        LOG.info('%s', error, instance_uuid=server)
    except ValueError:
        LOG.warning('%(host)s answered %(body).200r', {'host': host, 'body': body},
                    instance_uuid=server)
    return evidence.Destination.SILENT
