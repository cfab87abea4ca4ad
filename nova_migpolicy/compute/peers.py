# SPDX-License-Identifier: Apache-2.0
"""Questions to the plugin on other hosts."""

from __future__ import annotations

from typing import Any

from oslo_log import log as logging

from nova_migpolicy.channel import client
from nova_migpolicy.monitor import domains
from nova_migpolicy.recovery import evidence

LOG = logging.getLogger(__name__)


def ask(channel: client.Channel, context: Any, host: str, server: str) -> domains.Answers:
    """Ask another host for a server's domain there; SILENT for anything but a clear answer."""
    try:
        _, body = channel.ask(context, host, 'whereabouts', server=server)
    except client.Refused as error:
        LOG.info('%s', error, instance_uuid=server)
        return domains.SILENT
    given = body or {}
    try:
        job = given.get('job')
        if not isinstance(job, bool):
            raise ValueError(f'job is {job!r:.80}')
        return domains.Answers(evidence.Source(given.get('source')), job,
                               evidence.Destination(given.get('state')))
    except ValueError as error:
        LOG.warning('%(host)s answers what is not understood: %(error)s',
                    {'host': host, 'error': error}, instance_uuid=server)
        return domains.SILENT
