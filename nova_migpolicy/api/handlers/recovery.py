# SPDX-License-Identifier: Apache-2.0
"""What is undecided of live migrations after something died, and what an operator can do.

``GET /os-migrations/recovery`` asks all compute hosts; one of which not all is known is named.
``GET …/migrations/{id}/recovery`` asks the source of one migration.
"""

from __future__ import annotations

from collections.abc import Mapping
import datetime
from typing import Any

import webob

from nova_migpolicy.api import hosts
from nova_migpolicy.api import http
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.recovery import account

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
    told, incomplete = hosts.ask_all(call, services, _UNDECIDED)
    undecided: list[_Entry] = []
    unused: list[_Entry] = []
    for host, body in told:
        undecided += [_entry(one) for one in body['migrations']]
        unused += [{'host': host, **one, 'what_to_do': account.FOR_UNUSED}
                   for one in body['unused']]
        if body['left_out']:
            incomplete.append(hosts.unknown(host, (
                f'There are {body["left_out"]} more on {host}: nova-migpolicy recovery list '
                'there has all.')))
    undecided.sort(key=lambda one: str(one['since']))
    return http.answer(200, {'recovery': undecided, 'unused_files': unused,
                             'incomplete': incomplete})


def _read(body: Mapping[str, Any]) -> Mapping[str, Any]:
    if not all(_are_mappings(body.get(name)) for name in ('migrations', 'unused')) or (
            not isinstance(body.get('left_out'), int)):
        raise TypeError('there are no lists of what is undecided in it')
    return body


_UNDECIDED = hosts.Question(rbac_mod.RECOVERY, 'undecided', 'what is undecided there', _read)


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
