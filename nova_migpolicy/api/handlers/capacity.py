# SPDX-License-Identifier: Apache-2.0
"""The slots of hosts: limits in force, who has a slot, who waits for one and why.

``GET /os-migration-capacity`` has the figures of all compute hosts; one of which they are not
known is named. ``GET`` and ``PUT /os-migration-capacity/{host}`` show and change one.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import math
from typing import Any

from oslo_log import log as logging
import webob

from nova_migpolicy.api import hosts
from nova_migpolicy.api import http
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import schemas
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.capacity import account
from nova_migpolicy.capacity import limits as limits_mod

LOG = logging.getLogger(__name__)

_NOVAS = 'max_concurrent_live_migrations'
#: a direction with the end of a migration that is another host
_OTHER_END: Mapping[str, str] = {
    'outgoing': 'destination_host', 'incoming': 'source_host'}

_Entry = dict[str, Any]
#: Returns a value in the form that it has to have, or raises TypeError.
_Form = Callable[[Any], Any]


def list_all(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer with the limits and the figures of all hosts, or of one."""
    told, incomplete = hosts.ask_all(call, services, _STATE, most=0)
    return http.answer(200, {'capacity': [_brief(host, state) for host, state in told],
                             'incomplete': incomplete})


def show(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Answer with all that is known of the slots of a host."""
    hosts.permit(call, services, rbac_mod.CAPACITY)
    state = hosts.ask(services, hosts.find(call, services, call.host), _STATE, most=account.MOST)
    return http.answer(200, {'capacity': {'host': call.host, **state}})


def set_limits(call: http.ApiCall, services: target_mod.Services) -> webob.Response:
    """Change the limits of a host, for as long as its nova-compute runs."""
    hosts.permit(call, services, rbac_mod.SET_CAPACITY)
    body = http.read_json(call.request)
    schemas.check('capacity', body)
    wanted = body['capacity']
    compute = hosts.find(call, services, call.host)
    LOG.info('User %s changes the slots of %s: %s', call.context.user_id, call.host, wanted)
    changed = hosts.ask(services, compute, _CHANGE,
                        # JSON knows one kind of numbers: 2.0 is 2.
                        **{name: int(wanted[name]) if name in wanted else None
                           for name in schemas.LIMITS})
    settings = ', '.join(f'{name} = {value}' for name, value in changed['now'].items())
    return http.answer(200, {'capacity': {
        'host': call.host, **changed, 'lasts': (
            f'It lasts until nova-compute on {call.host} is started again, or reads its '
            'nova.conf again with other limits in it; to keep it, set [migpolicy] '
            f'{settings} there.')}})


def _brief(host: str, state: Mapping[str, Any]) -> _Entry:
    """Leave out who has slots and who waits."""
    return {'host': host, **{
        name: {field: value[field] for field in _FIGURES} if name in _OTHER_END else value
        for name, value in state.items()}}


# What a host answers.


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f'{given!r:.80} is not a text')
    return given


def _count(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise TypeError(f'{given!r:.80} is not a count')
    return given


def _seconds(given: Any) -> float:
    if not isinstance(given, (int, float)) or isinstance(given, bool) or not math.isfinite(given):
        raise TypeError(f'{given!r:.80} is not a number of seconds')
    return given


def _mapping(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise TypeError(f'{given!r:.80} is not an object')
    return given


def _known(form: _Form) -> _Form:
    """Make the form of what a host may not know, or not tell."""
    return lambda given: None if given is None else form(given)


# By the names of the fields of an answer: those of a host's, and their forms.
_Fields = Mapping[str, tuple[str, _Form]]
_FIGURES: _Fields = {
    'used': ('used', _count), 'waiting': ('waiting', _count),
    'oldest_wait_seconds': ('oldest_wait_s', _known(_seconds))}
_EACH: _Fields = {
    'server_name': ('server', _text), 'migration_uuid': ('migration', _text),
    'since_seconds': ('since_s', _known(_seconds)), 'eta_seconds': ('eta_s', _known(_seconds))}
_HOLDER: _Fields = {**_EACH, 'phase': ('phase', _known(_text))}
_WAITING: _Fields = {**_EACH, 'priority': ('priority', _count), 'reason': ('reason', _text)}


def _read(given: Mapping[str, Any], fields: _Fields) -> _Entry:
    return {name: form(given.get(theirs)) for name, (theirs, form) in fields.items()}


def _each(given: Any, fields: _Fields) -> list[_Entry]:
    if not isinstance(given, list):
        raise TypeError(f'{given!r:.80} is not a list')
    return [_read(_mapping(one), fields) for one in given]


def _state(given: Mapping[str, Any]) -> _Entry:
    """Read the slots of a host."""
    directions = {name: _mapping(given.get(name)) for name in _OTHER_END}
    limits = {f'max_{name}': _count(one.get('limit')) for name, one in directions.items()}
    return {**limits, **_beside(limits, given), **{
        name: _direction(one, _OTHER_END[name]) for name, one in directions.items()}}


def _direction(given: Mapping[str, Any], other_end: str) -> _Entry:
    other: _Fields = {other_end: ('other_host', _known(_text))}
    return {**_read(given, _FIGURES),
            'holders': _each(given.get('holders'), {**other, **_HOLDER}),
            'queue': _each(given.get('queue'), {**other, **_WAITING}),
            'left_out': _count(given.get('left_out'))}


def _changed(given: Mapping[str, Any]) -> _Entry:
    """Read what a host says to other limits."""
    before, now = (
        {name: _count(one[name]) for name in schemas.LIMITS if name in one}
        for one in (_mapping(given.get(when)) for when in ('before', 'now')))
    if not now or set(now) != set(before):
        raise TypeError(f'{given!r:.80} has not the limits before and now')
    return {'before': before, 'now': now, **_beside(now, given)}


def _beside(limits: Mapping[str, int], given: Mapping[str, Any]) -> _Entry:
    """Return Nova's own limit on what a host sends, and what comes of both."""
    novas = _count(given.get(_NOVAS))
    found: _Entry = {_NOVAS: novas}
    ours = limits.get('max_outgoing')
    if ours is None:
        return {**found, 'notes': []}
    found['effective_max_outgoing'] = min((limit for limit in (ours, novas) if limit), default=0)
    note = limits_mod.kept_from(ours, novas)
    return {**found, 'notes': [] if note is None else [note]}


_STATE = hosts.Question(rbac_mod.CAPACITY, 'capacity', 'its slots', _state)
_CHANGE = hosts.Question(rbac_mod.SET_CAPACITY, 'set_capacity', 'its slots', _changed)
