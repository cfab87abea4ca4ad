# SPDX-License-Identifier: Apache-2.0
"""Requests and answers: bodies and queries read with care, answers in JSON.

Nothing that a client sends is trusted: neither its encoding nor its depth, nor that it is JSON at
all.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import json
from typing import Any
from urllib import parse

import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api import versions

App = Callable[..., Any]

# As Nova: a body without a Content-Type is taken for JSON.
_JSON_TYPES = frozenset({'', 'text/plain', 'application/json',
                         'application/vnd.openstack.compute+json'})
# No valid body needs more than a few.
_DEEPEST = 16
_MOST_VALUES = 1000
_MOST_FIELDS = 20
# Fewer than this never exhaust a parser's stack.
_MOST_BRACKETS = 200


@dataclasses.dataclass(frozen=True)
class ApiCall:
    """One request to a path that the filter knows.

    :ivar request: the request itself.
    :ivar context: Nova's context of the caller.
    :ivar ids: the ids in the path: server, migration, host, and the project that it begins with.
    :ivar onward: the rest of Nova's pipeline.
    """

    request: webob.Request
    context: Any
    ids: Mapping[str, str | None]
    onward: App

    @property
    def server_id(self) -> str:
        """The server that the path names."""
        return str(self.ids['server'])

    @property
    def migration_id(self) -> str:
        """The migration that the path names, as the client wrote it."""
        return str(self.ids['migration'])

    @property
    def host(self) -> str:
        """The compute host that the path names."""
        return str(self.ids['host'])

    def pass_on(self) -> webob.Response:
        """Let Nova answer."""
        return self.request.get_response(self.onward)

    def is_for_own_project(self) -> bool:
        """Whether the project in the path, where there is one, is the caller's."""
        project = self.ids.get('project')
        return project is None or project == self.context.project_id

    def check_project(self) -> None:
        """Refuse a path that begins with another project, as Nova does.

        :raises errors.Refusal: 400
        """
        if not self.is_for_own_project():
            raise errors.Refusal(
                400, f'The path names project {self.ids["project"]!r:.80}, the token is for '
                f'{self.context.project_id!r:.80}; leave the project out of the path.')


def read_body(request: webob.Request) -> bytes:
    """Read the bytes of the body; the next reader finds them all.

    :raises errors.Refusal: 400: there are fewer of them than Content-Length says.
    """
    try:
        return bytes(request.body)
    except OSError as error:
        raise errors.Refusal(
            400, f'The body ends before its Content-Length: {error!s:.200}') from None


def read_json(request: webob.Request) -> Any:
    """Read the body; the next reader finds it whole.

    :raises errors.Refusal: 415 or 400
    """
    kind = (request.environ.get('CONTENT_TYPE') or '').partition(';')[0].strip().lower()
    if kind not in _JSON_TYPES:
        raise errors.Refusal(415, f'Content-Type {kind!r:.80}: write application/json')
    raw = read_body(request)
    if not raw.strip():
        raise errors.Refusal(400, 'The body is empty; write JSON')
    return parse_json(raw)


def is_readable_by_nova(request: webob.Request) -> bool:
    """Whether a body that we cannot read may go to Nova, which will refuse it in its own words.

    Nova cannot cope with deep nesting.
    """
    raw = read_body(request)
    return bool(raw.count(b'[') + raw.count(b'{') <= _MOST_BRACKETS)


def parse_json(raw: bytes) -> Any:
    """Parse JSON into values that can be shown, logged and sent on without further care.

    :raises errors.Refusal: 400
    """
    try:
        # Only in UTF-8, as Nova: left to itself the parser would take other encodings, too.
        found = json.loads(raw.decode())
        # Half of a surrogate pair can be written in JSON, but cannot be sent or logged.
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise errors.Refusal(400, f'The body is not JSON: {error!s:.200}') from None
    layer = [found]
    for _depth in range(_DEEPEST):
        layer = [inner for outer in layer for inner in _inside(outer)]
        if not layer:
            return found
        if len(layer) > _MOST_VALUES:
            raise errors.Refusal(400, f'The body has more than {_MOST_VALUES} values in a layer')
    raise _too_deep()


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _too_deep() -> errors.Refusal:
    return errors.Refusal(400, f'The body is nested more than {_DEEPEST} deep')


def read_query(request: webob.Request) -> dict[str, list[str]]:
    """Read the query: each field with all of its values.

    :raises errors.Refusal: 400
    """
    try:
        pairs = parse.parse_qsl(request.environ.get('QUERY_STRING', ''), errors='strict',
                                keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise errors.Refusal(400, f'The query cannot be read: {error!s:.200}') from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def answer(code: int, body: Mapping[str, Any]) -> webob.Response:
    """Make an answer of ours."""
    response = webob.Response(status=code, content_type='application/json', charset='UTF-8',
                              body=json.dumps(body).encode())
    response.headers.update(versions.headers())
    return response


def fault(error: errors.Refusal) -> webob.Response:
    """Make the answer of a refusal, as Nova would send it."""
    response = answer(error.code, errors.body(error.code, error.message))
    response.headers.update(error.headers)
    return response
