# SPDX-License-Identifier: Apache-2.0
"""``POST /os-migrations/cancel``: stop all live migrations of a host or of a project.

Each is cancelled in Nova's own way, as if it were asked for one by one, with Nova's rules and
records; the answer says of each what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_log import log as logging
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api import parts as parts_mod
from nova_migpolicy.api import rbac
from nova_migpolicy.api import schemas
from nova_migpolicy.api import upstream
from nova_migpolicy.api import versions
from nova_migpolicy.api import web

LOG = logging.getLogger(__name__)

# The first microversion that cancels what has not begun.
_NOVAS_VERSION = '2.65'
_KEPT = ('wsgi.', 'uwsgi.', 'nova.', 'keystone.', 'openstack.', 'SERVER_', 'REMOTE_', 'HTTP_')
_NOT_KEPT = ('wsgi.input', 'wsgi.input_terminated', 'HTTP_X_OPENSTACK_NOVA_API_VERSION',
             'HTTP_TRANSFER_ENCODING', 'HTTP_CONTENT_TYPE', 'HTTP_CONTENT_LENGTH')


def cancel(call: web.Call, parts: parts_mod.Parts) -> webob.Response:
    """Cancel them one after the other, the oldest first."""
    versions.check(call.request.headers.get(versions.HEADER))
    call.check_project()
    parts.rbac.check(call.context, rbac.CANCEL_ALL, call.context.project_id)
    body = web.read_json(call.request)
    schemas.check('cancel', body)
    wanted = body['cancel']
    LOG.info('User %s cancels all live migrations of %s', call.context.user_id, wanted)
    cancelled, failed = [], []
    down: dict[str, errors.Unreachable] = {}
    for migration in _find(call.context, parts, wanted):
        named = {'server_id': migration.instance_uuid, 'migration_id': migration.id}
        try:
            phase = _one(call, parts, migration, down)
        except errors.Refusal as error:
            failed.append({**named, 'code': error.code, 'message': error.message})
        else:
            cancelled.append({**named, 'phase': phase})
    return web.answer(200, {'cancelled': cancelled, 'failed': failed})


def _find(context: Any, parts: parts_mod.Parts, wanted: Mapping[str, str]) -> list[Any]:
    host = wanted.get('host')
    if host is not None:
        parts.lookup.check_host(context, host)
        direction = wanted.get('direction', 'both')
        return [one for one in parts.lookup.under_way(context, host)
                if (direction != 'to' and one.source_compute == host)
                or (direction != 'from' and one.dest_compute == host)]
    found = parts.lookup.under_way(context, None)
    projects = parts.lookup.projects(context, [one.instance_uuid for one in found])
    return [one for one in found if projects.get(one.instance_uuid) == wanted['project_id']]


def _one(call: web.Call, parts: parts_mod.Parts, migration: Any,
         down: dict[str, errors.Unreachable]) -> str | None:
    """Cancel one migration; returns the phase that it was in, if the source host knows it.

    :param down: hosts that were found to be down: each is waited for only once.
    :raises errors.Refusal: it was not cancelled.
    """
    host = migration.source_compute
    if host in down:
        raise down[host]
    single = web.Call(_request(call.request, migration), call.context, {
        'server': migration.instance_uuid, 'migration': str(migration.id)}, call.onward)
    try:
        response, phase = upstream.cancel_with_phase(single, parts)
    except errors.Unreachable as error:
        down[host] = error
        raise
    if response.status_int >= 400:
        raise errors.Refusal(response.status_int, _message(response))
    return phase


def _request(request: webob.Request, migration: Any) -> webob.Request:
    """The request that cancels one migration, as Nova would get it from the same client."""
    environ = {name: value for name, value in request.environ.items()
               if name.startswith(_KEPT) or name == 'SCRIPT_NAME'}
    for name in _NOT_KEPT:
        environ.pop(name, None)
    environ['HTTP_OPENSTACK_API_VERSION'] = f'compute {_NOVAS_VERSION}'
    return webob.Request.blank(
        f'/servers/{migration.instance_uuid}/migrations/{migration.id}',
        environ=environ, method='DELETE')


def _message(response: webob.Response) -> str:
    try:
        fault = next(iter(response.json.values()))
        return str(fault['message'])
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return f'Nova answered {response.status}'
