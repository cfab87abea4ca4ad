# SPDX-License-Identifier: Apache-2.0
"""Reading a live migration's policy, progress and timeline, while it runs and some time after.

``GET …/policy``, ``GET …/progress`` and ``GET …/timeline``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib import parse

import nova.conf
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api import http
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import schemas
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.policy import keys
from nova_migpolicy import vocabulary

CONF = nova.conf.CONF


def policy(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer with the policy in force, and the origin of each of its values."""
    target = services.target(call, rbac_mod.SHOW)
    _, found = target.ask('policy')
    is_over = target.migration.status not in vocabulary.UNDER_WAY_STATUSES
    if is_over and not (found or {}).get('begun', True):
        # The policy that it would get now says nothing about the one that it had.
        raise errors.Refusal(
            404, f'The policy of migration {target.migration.id} is no longer known: its '
            'journal is gone, or it never had one (profile nova).')
    values, origins, held = (found or {}).get('policy', {}), found or {}, (found or {}).get('held')
    return http.answer(200, {'policy': {
        'server_id': target.server.uuid,
        'migration_id': target.migration.id,
        'profile': values.get('profile'),
        'fields': _fields(values, origins.get('origins') or {}, held or {}),
        'problems': list((found or {}).get('problems') or ()),
        'notes': list((found or {}).get('notes') or ()),
    }})


def _fields(values: Mapping[str, Any], origins: Mapping[str, str],
            held: Mapping[str, Any]) -> dict[str, Any]:
    fields = {}
    for name, value in values.items():
        key = keys.KEYS.get(name)
        origin = origins.get(name, '')
        fields[name] = {
            'value': value, 'unit': key.unit if key else None, 'origin': origin,
            'clamped': 'clamped by' in origin, 'held': held.get(name)}
    return fields


def progress(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer with its progress, its rate, and its expected end."""
    target = services.target(call, rbac_mod.SHOW)
    _, found = target.ask('progress')
    migration = target.migration
    return http.answer(200, {'progress': {
        'server_id': target.server.uuid,
        'migration_id': migration.id,
        'migration_uuid': migration.uuid,
        'status': migration.status,
        'source_host': migration.source_compute,
        'destination_host': migration.dest_compute,
        **(_from_record(migration) if found is None else found),
    }})


def _from_record(migration: Any) -> dict[str, Any]:
    # The source host does not know this migration, so Nova's record has to do.
    phase, outcome = vocabulary.NOVA_STATUS.get(
        migration.status, vocabulary.Meaning(None))
    sizes = {
        kind: {f'{part}_bytes': getattr(migration, f'{kind}_{part}')
               for part in ('total', 'processed', 'remaining')}
        for kind in ('memory', 'disk')}
    waits_for = None
    if phase == vocabulary.QUEUED:
        waits_for = 'Nova chooses and checks a destination'
    elif phase is None:
        waits_for = "Nova's own monitor watches it (profile nova), or ours is about to begin"
    return vocabulary.blank_status(
        # The time at which the record was written is not known.
        phase=phase, outcome=outcome, waits_for=waits_for, **sizes, age_seconds=None,
        # Where something may have been sent, a guess would run backwards.
        percent=100.0 if outcome == vocabulary.COMPLETED else (
            0.0 if phase in vocabulary.BEFORE else None))


def timeline(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer with a page of samples, decisions and actions, oldest first."""
    target = services.target(call, rbac_mod.SHOW)
    query = http.read_query(call.request)
    schemas.check('timeline_query', query)
    limit = int(query.get('limit', [str(schemas.DEFAULT_LIMIT)])[0])
    _, found = target.ask('timeline', after=int(query.get('marker', ['0'])[0]), limit=limit,
                          kinds=query.get('kind', []))
    body: dict[str, Any] = {'timeline': list((found or {}).get('records') or ())}
    following = (found or {}).get('next')
    if following is not None:
        fields = {**query, 'limit': [str(limit)], 'marker': [str(following)]}
        body['timeline_links'] = [{
            'rel': 'next', 'href': f'{_link(call.request)}?{parse.urlencode(fields, doseq=True)}'}]
    return http.answer(200, body)


def _link(request: webob.Request) -> str:
    """Return the address of this very path, as clients see it."""
    prefix = (CONF.api.compute_link_prefix or '').rstrip('/')
    # The Host header, which a client writes, is put in and never taken apart.
    return f'{prefix}{request.path}' if prefix else str(request.path_url)
