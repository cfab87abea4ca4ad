# SPDX-License-Identifier: Apache-2.0
"""JSON schemas (draft 2020-12) of every body and query, made from the policy keys' table.

The limits of a certain server (its operator's ceilings, its profile) are not known here: the
source host checks those.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
import difflib
import functools
from typing import Any

import jsonschema

from nova_migpolicy.api import errors
from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy import vocabulary

DEFAULT_LIMIT = 100
ACTIONS = (vocabulary.START_POST_COPY, vocabulary.PAUSE)
DIRECTIONS = ('both', 'from', 'to')
MOST_SERVERS = 500
#: the limits of a host's slots, and the highest that one may be
LIMITS = ('max_outgoing', 'max_incoming')
MOST_AT_ONCE = 1000

_LONGEST = 300
Schema = dict[str, Any]


def _object(properties: Schema, required: Iterable[str] = (), **more: Any) -> Schema:
    return {'type': 'object', 'properties': properties, 'required': list(required),
            'additionalProperties': False, **more}


def _keys(chosen: Iterable[keys.Key]) -> Schema:
    return {key.name: key.json_schema() for key in chosen}


def tuning() -> Schema:
    """Make the schema of the body of PUT …/tuning."""
    release = {
        'description': 'Settings to give back to the engine.',
        'type': 'array', 'minItems': 1, 'uniqueItems': True,
        'items': {'enum': [key.name for key in keys.retunable()]},
    }
    return _object({'tuning': _object({**_keys(keys.retunable()), 'release': release},
                                      minProperties=1)}, ['tuning'])


def request_policy() -> Schema:
    """Make the schema of the object ``migpolicy`` in os-migrateLive."""
    return _object(_keys(keys.requestable()), minProperties=1)


def action() -> Schema:
    """Make the schema of the body of POST …/action, for our orders."""
    return _object({name: {'type': 'null'} for name in ACTIONS},
                   minProperties=1, maxProperties=1)


def cancel() -> Schema:
    """Make the schema of the body of POST /os-migrations/cancel."""
    name = {'type': 'string', 'minLength': 1, 'maxLength': 255}
    servers = {
        'description': 'Only these servers, such as those that remained before.',
        'type': 'array', 'minItems': 1, 'maxItems': MOST_SERVERS, 'items': name,
    }
    return _object({'cancel': {'oneOf': [
        _object({'host': name, 'direction': {'enum': list(DIRECTIONS)}, 'servers': servers},
                ['host']),
        _object({'project_id': name, 'servers': servers}, ['project_id']),
    ]}}, ['cancel'])


def timeline_query() -> Schema:
    """Make the schema of the query of GET …/timeline: each field is a list of texts."""
    def text(pattern: str) -> Schema:
        return {'type': 'string', 'pattern': pattern}

    return _object({
        'limit': {'type': 'array', 'maxItems': 1, 'items': text('^([1-9][0-9]{0,2}|1000)$')},
        'marker': {'type': 'array', 'maxItems': 1, 'items': text('^[0-9]{1,15}$')},
        'kind': {'type': 'array', 'uniqueItems': True, 'items': text('^[a-z_]{1,32}$')},
    })


def host_query() -> Schema:
    """Make the schema of the query of a GET that asks all hosts, or one."""
    host = {'type': 'string', 'minLength': 1, 'maxLength': 255}
    return _object({'host': {'description': 'name one host, or none for all', 'type': 'array',
                             'maxItems': 1, 'items': host}})


def capacity() -> Schema:
    """Make the schema of the body of PUT /os-migration-capacity/{host}."""
    limit = {'description': 'Migrations at once; 0 is no limit.', 'type': 'integer',
             'minimum': 0, 'maximum': MOST_AT_ONCE}
    return _object({'capacity': _object(dict.fromkeys(LIMITS, limit), minProperties=1)},
                   ['capacity'])


SCHEMAS: dict[str, Callable[[], Schema]] = {
    'tuning': tuning, 'request_policy': request_policy, 'action': action, 'cancel': cancel,
    'timeline_query': timeline_query, 'host_query': host_query, 'capacity': capacity,
}


@functools.cache
def _validator(name: str) -> Any:
    return jsonschema.Draft202012Validator(SCHEMAS[name]())


def check(name: str, given: Any, where: str = '') -> None:
    """Check a body or query against a schema of this module.

    :param where: the name of the whole in the sentence.
    :raises errors.Refusal: 400, naming the field, its value and what is wrong with it.
    """
    # The outermost error first: an error inside a wrong object matters less.
    found = sorted(_validator(name).iter_errors(given), key=lambda error: len(error.path))
    if found:
        raise errors.Refusal(400, _sentence(found[0], where)[:_LONGEST])


def _sentence(error: Any, where: str) -> str:
    field = '.'.join([where] * bool(where) + [str(part) for part in error.absolute_path])
    if error.validator == 'oneOf':
        return (f'{field} = {exception.shown(error.instance)}: write either host, with direction '
                f'({", ".join(DIRECTIONS)}) if it is not to be both, or project_id; and servers, '
                f'1 to {MOST_SERVERS} IDs, if it is not to be all of them')
    if error.validator == 'additionalProperties':
        known = error.schema['properties']
        wrong = next(name for name in error.instance if name not in known)
        return f'{field or "the query or body"}: {_unknown(wrong, known)}'
    if error.validator in {'const', 'maxItems'} and 'description' in error.schema:
        return f'{field} = {exception.shown(error.instance)}: {error.schema["description"]}'
    if error.validator == 'anyOf':
        return f'{field} = {exception.shown(error.instance)}: {error.schema["title"]}'
    if error.validator == 'pattern':
        return (f'{field} = {exception.shown(error.instance)}: it has to match '
                f'{error.validator_value}')
    return f'{field or "the body"}: {error.message}'


def _unknown(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean {close[0]}?' if close else f'there are {", ".join(sorted(known))}'
    return f'there is no {exception.shown(name)} here; {hint}'
