# SPDX-License-Identifier: Apache-2.0
"""Changes of a running live migration: ``PUT …/tuning`` and ``POST …/action``.

Of the actions post_copy and pause are ours; every other body goes on to Nova.
"""

from __future__ import annotations

from oslo_log import log as logging
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api.handlers import cancel
from nova_migpolicy.api import http
from nova_migpolicy.api import lookup as lookup_mod
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import schemas
from nova_migpolicy.api import target as target_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

_RULES = {vocabulary.START_POST_COPY: rbac_mod.POST_COPY, vocabulary.PAUSE: rbac_mod.PAUSE}


def tuning(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Change the policy, hold settings or release them; answered once libvirt took it."""
    target = services.target(call, rbac_mod.TUNE)
    lookup_mod.check_lock(call.context, target.server)
    body = http.read_json(call.request)
    schemas.check('tuning', body)
    changes = dict(body['tuning'])
    release = changes.pop('release', [])
    both = sorted(set(changes) & set(release))
    if both:
        raise errors.Refusal(
            400, f'tuning: {", ".join(both)} cannot be changed and released at once; leave out '
            'one of the two')
    code, found = target.ask('tune', changes=changes, release=release)
    LOG.info('User %s retuned migration %s: %s, released: %s', call.context.user_id,
             target.migration.id, changes, release, instance=target.server)
    return http.answer(code, {'tuning': found or {}})


def action(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Carry out an order now."""
    try:
        body = http.read_json(call.request)
    except errors.Refusal:
        if not http.is_readable_by_nova(call.request):
            raise
        return call.pass_on()
    # Nova refuses any other form of it, which must not be taken for a refusal of the state.
    if body == {vocabulary.FORCE_COMPLETE: None}:
        return cancel.force_complete(call, services)
    if not isinstance(body, dict) or not set(schemas.ACTIONS) & set(body):
        return call.pass_on()
    name = next(name for name in schemas.ACTIONS if name in body)
    target = services.target(call, _RULES[name])
    schemas.check('action', body)
    lookup_mod.check_lock(call.context, target.server)
    _, found = target.ask('act', action=name)
    LOG.info('User %s: %s of migration %s', call.context.user_id, name, target.migration.id,
             instance=target.server)
    done = found or {}
    return http.answer(202, {'action': {
        'name': name, 'phase': done.get('phase'),
        'reason': target.without_hosts(str(done.get('reason') or ''))}})
