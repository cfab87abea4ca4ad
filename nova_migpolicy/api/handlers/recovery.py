# SPDX-License-Identifier: Apache-2.0
"""What is undecided of live migrations after something died, and what an operator can do.

``GET /os-migrations/recovery`` asks all compute hosts side by side, within a bound. A host of
which not all is known is named in the answer, with the reason: nothing is left out silently.
``GET …/migrations/{id}/recovery`` asks the source of one migration.
"""

from __future__ import annotations

from collections.abc import Mapping
import datetime
from typing import Any

from oslo_log import log as logging
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api import http
from nova_migpolicy.api import lookup as lookup_mod
from nova_migpolicy.api import parallel
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import schemas
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.api import versions
from nova_migpolicy.recovery import account

LOG = logging.getLogger(__name__)

# A host that does not answer takes 2 s. With the time to find the hosts the answer comes within
# 10 s.
BOUNDS = parallel.Bounds(at_once=24, per_host=1, begin_s=6.0, answer_s=8.5)

# The fields of an answer, and those of a host's.
_FIELDS: Mapping[str, str] = {
    'server_id': 'server', 'migration_uuid': 'migration', 'source_host': 'source',
    'destination_host': 'destination', 'phase': 'phase', 'next_step': 'next_step',
    'reason': 'reason', 'what_to_do': 'what_to_do', 'needs_operator': 'needs_operator'}
_TIMES: Mapping[str, str] = {'started_at': 'started_s', 'since': 'since_s', 'seen_at': 'seen_s'}
_SEEN: Mapping[str, str] = {
    'source': 'source', 'source_job': 'job', 'destination': 'destination', 'server_host': 'home',
    'migration_status': 'status', 'server_is_migrating': 'migrating'}

_Entry = dict[str, Any]


def show(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer with what is written down of a migration, undecided or not."""
    target = services.target(call, rbac_mod.RECOVERY)
    _, found = target.ask('recovery')
    given = (found or {}).get('migration')
    entry = _entry(given if isinstance(given, dict) else {})
    entry.update(server_id=target.server.uuid, migration_uuid=target.migration.uuid,
                 source_host=target.migration.source_compute,
                 destination_host=target.migration.dest_compute)
    entry['needs_operator'] = bool(entry['needs_operator'])
    return http.answer(200, {'recovery': {'migration_id': target.migration.id, **entry}})


def list_all(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer with what is undecided on all hosts, or on one, since the longest ago first."""
    versions.check(call.request.headers.get(versions.HEADER))
    call.check_project()
    # A host is no project's: what a rule allows within a project does not allow this.
    services.rbac.check(call.context, rbac_mod.RECOVERY, None)
    query = http.read_query(call.request)
    schemas.check('recovery_query', query)
    computes, silent_cells = services.lookup.computes(call.context)
    if 'host' in query:
        [host] = query['host']
        services.lookup.check_host(call.context, host)
        computes, silent_cells = [one for one in computes if one.host == host], 0
        if not computes:
            raise errors.Refusal(503, f'There is no nova-compute on {host}, or its cell does not '
                                 'answer.')
    states = parallel.run(computes, lambda one: one.host, lambda one: _ask(services, one), BOUNDS)
    undecided: list[_Entry] = []
    unused: list[_Entry] = []
    incomplete: list[_Entry] = [
        {'host': None, 'message': 'The database of a cell does not answer: its hosts were not '
         "asked; nova-api's log says which."}] * silent_cells
    for compute, state in zip(computes, states, strict=True):
        try:
            body = _body(state, compute.host)
        except errors.Refusal as error:
            incomplete.append({'host': compute.host, 'message': error.message})
            continue
        undecided += [_entry(one) for one in body['migrations']]
        unused += [{'host': compute.host, **one, 'what_to_do': account.FOR_UNUSED}
                   for one in body['unused']]
        if body['left_out']:
            incomplete.append({'host': compute.host, 'message': (
                f'There are {body["left_out"]} more on {compute.host}: nova-migpolicy recovery '
                'list there has all.')})
    undecided.sort(key=lambda one: str(one['since']))
    return http.answer(200, {'recovery': undecided, 'unused_files': unused,
                             'incomplete': incomplete})


def _ask(services: target_mod.Services, compute: lookup_mod.Compute) -> Any:
    if not services.lookup.is_up(compute):
        raise errors.Unreachable(503, f'nova-compute on {compute.host} is down, and only it knows '
                                 'what is undecided there; start it and try again.')
    return services.ask(compute.context, compute.host, 'undecided')[1]


def _body(state: parallel.State, host: str) -> dict[str, Any]:
    """Return what a host has answered.

    :raises errors.Refusal: it has not, or it is not understood
    """
    if isinstance(state, parallel.Left):
        raise errors.Refusal(503, f'{host} was not asked, or has not answered, within '
                             f'{BOUNDS.answer_s:g} s; ask for it alone, with host={host}.')
    if isinstance(state.error, errors.Refusal):
        raise state.error
    if state.error is not None:
        LOG.error('%s could not be asked for what is undecided there', host,
                  exc_info=state.error)
        raise errors.Refusal(500, f'{host} could not be asked: nova-api failed; its log has more.')
    body = state.value
    if not isinstance(body, dict) or not all(_are_mappings(body.get(name)) for name in (
            'migrations', 'unused')) or not isinstance(body.get('left_out'), int):
        raise errors.Refusal(409, f'What {host} answers is not understood; bring nova_migpolicy '
                             'there and in nova-api to the same release.')
    return body


def _are_mappings(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, dict) for one in given)


def _entry(given: Mapping[str, Any]) -> _Entry:
    """Return an entry of an answer; what a host does not tell is None."""
    entry = {name: given.get(field) for name, field in _FIELDS.items()}
    entry.update({name: _time(given.get(field)) for name, field in _TIMES.items()})
    seen = given.get('seen')
    entry['evidence'] = {name: seen.get(field) for name, field in _SEEN.items()} if (
        isinstance(seen, dict)) else None
    return entry


def _time(at_s: Any) -> str | None:
    try:
        when = datetime.datetime.fromtimestamp(at_s, datetime.timezone.utc)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return when.isoformat(timespec='seconds')
