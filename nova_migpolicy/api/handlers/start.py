# SPDX-License-Identifier: Apache-2.0
"""A policy for one migration alone: the object ``migpolicy`` in Nova's os-migrateLive.

It is checked and stored by the source host, under the id of the request, which Nova carries there.
Nova itself gets the body without it.
"""

from __future__ import annotations

import json
from typing import Any

from oslo_log import log as logging
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api import http
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import schemas
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.api import versions

LOG = logging.getLogger(__name__)

_NOVAS = 'os-migrateLive'
_OURS = 'migpolicy'


def migrate(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer ``POST /servers/{id}/action``; a body without a policy goes on unchanged."""
    if not _may_have_policy(call.request):
        return call.pass_on()
    try:
        body = http.read_json(call.request)
    except errors.Refusal:
        if not http.is_readable_by_nova(call.request):
            raise
        return call.pass_on()
    wanted = body.get(_NOVAS) if isinstance(body, dict) else None
    if not isinstance(wanted, dict):
        return call.pass_on()
    if _OURS not in wanted:
        if wanted.get('host'):
            _note_named(call, services)
        return call.pass_on()
    values = wanted.pop(_OURS)
    versions.check(call.request.headers.get(versions.HEADER))
    call.check_project()
    server = services.lookup.server(call.context, call.server_id)
    services.rbac.check(call.context, rbac_mod.REQUEST, server.project_id)
    schemas.check('request_policy', values, f'{_NOVAS}.{_OURS}')
    if not server.host:
        raise errors.Refusal(409, f'Server {server.uuid} is on no host yet; wait until it runs.')
    kept = {'server': server.uuid, 'request_id': call.context.request_id}
    try:
        services.lookup.check_up(call.context, server.host)
        services.ask(call.context, server.host, 'hold_request', values=values, **kept)
        if wanted.get('host'):
            services.ask(call.context, server.host, 'note_named', **kept)
    except errors.Refusal as error:
        error.message = services.without_hosts(call.context, server, error.message, {
            server.host: 'the source host'})
        raise
    LOG.info('User %s gives a policy for one migration: %s', call.context.user_id, values,
             instance=server)
    call.request.body = json.dumps(body).encode()
    taken = False
    try:
        response = call.pass_on()
        taken = response.status_int < 300
    finally:
        if not taken:
            _drop(call.context, services, server.host, kept)
    return response


def _may_have_policy(request: webob.Request) -> bool:
    """Whether the body may hold a policy; all other bodies are spared a second reading.

    JSON may write letters as their numbers.
    """
    raw = http.read_body(request)
    return any(name.encode() in raw for name in (_OURS, _NOVAS)) or b'\\u' in raw


def _note_named(call: http.ApiCall, services: target_mod.Services) -> None:
    """Note with the source that the request names a host: a full one is waited for then.

    What is noted is for this one request, and worth no more than a line of log where it fails.
    """
    try:
        server = services.lookup.server(call.context, call.server_id)
        if server.host and rbac_mod.may_name_host(call.context, server):
            services.ask(call.context, server.host, 'note_named', server=server.uuid,
                         request_id=call.context.request_id)
    except errors.Refusal as error:
        LOG.info('That the request names a host is not noted: %s', error.message)


def _drop(context: Any, services: target_mod.Services, host: str, kept: dict[str, str]) -> None:
    try:
        services.ask(context, host, 'drop_request', **kept)
    except errors.Refusal as error:
        # It was for this one request: no other will find it.
        LOG.info('The policy of a refused request stays on %s: %s', host, error)
