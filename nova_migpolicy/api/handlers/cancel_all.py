# SPDX-License-Identifier: Apache-2.0
"""``POST /os-migrations/cancel``: stop all live migrations of a host or of a project.

Each is cancelled in Nova's own way, as if requested one by one, with Nova's rules and records; the
answer gives the outcome of each. Several are cancelled at once, and those that are not done within
a bound remain, for the caller to ask again.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
from typing import Any

from oslo_log import log as logging
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api.handlers import cancel
from nova_migpolicy.api import http
from nova_migpolicy.api import parallel
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import schemas
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.api import versions

LOG = logging.getLogger(__name__)

# One takes 2 s at most, and the two times differ by more. With the time to find them the answer
# comes within 10 s.
BOUNDS = parallel.Bounds(at_once=24, per_host=6, begin_s=6.0, answer_s=8.5)

# The first microversion that cancels a migration that has not begun.
_NOVAS_VERSION = '2.65'
_KEPT = ('wsgi.', 'uwsgi.', 'nova.', 'keystone.', 'openstack.', 'SERVER_', 'REMOTE_', 'HTTP_')
_NOT_KEPT = ('wsgi.input', 'wsgi.input_terminated', 'HTTP_X_OPENSTACK_NOVA_API_VERSION',
             'HTTP_TRANSFER_ENCODING', 'HTTP_CONTENT_TYPE', 'HTTP_CONTENT_LENGTH')

Told = tuple[str, dict[str, Any]]


def cancel_all(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Cancel them, those of a source host the oldest first."""
    versions.check(call.request.headers.get(versions.HEADER))
    call.check_project()
    body = http.read_json(call.request)
    schemas.check('cancel', body)
    wanted = body['cancel']
    # A host is no project's: what a rule allows within a project does not allow this.
    services.rbac.check(call.context, rbac_mod.CANCEL_ALL, wanted.get('project_id'))
    LOG.info('User %s cancels all live migrations of %s', call.context.user_id, wanted)
    found = _find(call.context, services, wanted)
    # Work that is still under way after the answer shares nothing with this request.
    call = dataclasses.replace(call, request=webob.Request(dict(call.request.environ)))
    services = dataclasses.replace(services, unreachable={})
    states = parallel.run(found, lambda migration: migration.source_compute,
                          lambda migration: _one(call, services, migration), BOUNDS)
    answer: dict[str, list[dict[str, Any]]] = {'cancelled': [], 'failed': [], 'remaining': []}
    for migration, state in zip(found, states, strict=True):
        name, facts = _told(migration, state)
        answer[name].append({
            'server_id': migration.instance_uuid, 'migration_id': migration.id, **facts})
    return http.answer(200, answer)


def _find(context: Any, services: target_mod.Services, wanted: Mapping[str, Any]) -> list[Any]:
    found: Iterable[Any] = (
        _of_host(context, services, wanted) if wanted.get('host') is not None
        else _of_project(context, services, wanted['project_id']))
    servers = wanted.get('servers')
    return [one for one in found if servers is None or one.instance_uuid in servers]


def _of_host(context: Any, services: target_mod.Services,
             wanted: Mapping[str, Any]) -> Iterator[Any]:
    host, direction = wanted['host'], wanted.get('direction', 'both')
    services.lookup.check_host(context, host)
    for one in services.lookup.under_way(context, host):
        ends = {'from': one.source_compute, 'to': one.dest_compute}
        if host in (ends.values() if direction == 'both' else [ends[direction]]):
            yield one


def _of_project(context: Any, services: target_mod.Services, project_id: str) -> list[Any]:
    under_way = services.lookup.under_way(context, None)
    projects = services.lookup.projects(context, [one.instance_uuid for one in under_way])
    return [one for one in under_way if projects.get(one.instance_uuid) == project_id]


def _one(call: http.ApiCall, services: target_mod.Services, migration: Any) -> Told:
    """Cancel one migration; return the list of the answer that it belongs to, and its entry."""
    # Each is targeted at its own cell, several at the same time.
    context = services.lookup.own(call.context)
    told = _ask(call, context, services, migration)
    if told[0] == 'failed' and _is_cancelled(context, services, migration):
        # It was cancelled before its turn: by another caller, or by this caller's last request.
        return 'cancelled', {'phase': None}
    return told


def _is_cancelled(context: Any, services: target_mod.Services, migration: Any) -> bool:
    try:
        server = services.lookup.server(context, migration.instance_uuid)
        found = services.lookup.migration(context, server, str(migration.id))
    except errors.Refusal:
        return False
    return bool(found.status == 'cancelled')


def _ask(call: http.ApiCall, context: Any, services: target_mod.Services, migration: Any) -> Told:
    single = http.ApiCall(_request(call.request, migration, context), context, {
        'server': migration.instance_uuid, 'migration': str(migration.id)}, call.onward)
    try:
        done = cancel.cancel_with_outcome(single, services)
    except errors.Refusal as error:
        return 'failed', {'code': error.code, 'message': error.message}
    taken = done.response.status_int < 400
    if done.unknown is not None:
        return 'remaining', {'begun': taken, 'message': done.unknown}
    if not taken:
        return 'failed', {'code': done.response.status_int, 'message': _message(done.response)}
    return 'cancelled', {'phase': done.phase}


def _told(migration: Any, state: parallel.State) -> Told:
    if isinstance(state, parallel.Left):
        begun = state is parallel.BEGUN
        return 'remaining', {'begun': begun, 'message': (
            f'It has been begun and has not been answered after {BOUNDS.answer_s:g} s; ask again '
            'to learn the outcome.' if begun else
            f'Its turn had not come after {BOUNDS.begin_s:g} s; ask again.')}
    if state.error is not None:
        LOG.error('Cancelling migration %s of server %s failed', migration.id,
                  migration.instance_uuid, exc_info=state.error)
        return 'failed', {'code': 500, 'message': 'nova-api failed; its log has more.'}
    told: Told = state.value
    return told


def _request(request: webob.Request, migration: Any, context: Any) -> webob.Request:
    """Make the request that cancels one migration, as the same client would send it to Nova."""
    environ = {name: value for name, value in request.environ.items()
               if name.startswith(_KEPT) or name == 'SCRIPT_NAME'}
    for name in _NOT_KEPT:
        environ.pop(name, None)
    environ['nova.context'] = context
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
