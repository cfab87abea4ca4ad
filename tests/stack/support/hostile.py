# SPDX-License-Identifier: Apache-2.0
"""What a hostile client sends to the API, as hypothesis makes it up; nothing is sent here.

A request names servers, migrations and projects by words such as `<victim>`, which are put in when
it is sent, so that the same seed makes the same requests whatever the ids of this run are.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import gzip
import json
from typing import Any
from urllib import parse

from hypothesis import strategies

from nova_migpolicy.policy import keys
from tests.stack.support import wire

Header = tuple[bytes, bytes]
#: of the path: what it ends in, and the method that it is meant for
KINDS: Mapping[str, tuple[str, str]] = {
    'policy': ('GET', '{one}/policy'), 'progress': ('GET', '{one}/progress'),
    'timeline': ('GET', '{one}/timeline'), 'tuning': ('PUT', '{one}/tuning'),
    'action': ('POST', '{one}/action'), 'delete': ('DELETE', '{one}'),
    'start': ('POST', '{server}/action'), 'cancel': ('POST', '/os-migrations/cancel'),
    'recovery': ('GET', '{one}/recovery'), 'recoveries': ('GET', '/os-migrations/recovery'),
    'slots': ('GET', '/os-migration-capacity'),
    'of host': ('GET', '/os-migration-capacity/{host}'),
    'limits': ('PUT', '/os-migration-capacity/{host}'),
}
LOOKING = ('policy', 'progress', 'timeline', 'recovery', 'recoveries', 'slots', 'of host')
CHANGING = ('tuning', 'action', 'delete', 'start', 'cancel', 'limits')
_ODDITIES = ('method', 'project', 'server', 'number', 'path', 'query', 'headers', 'body')
_PROJECTS = ('/<demo>', '/<other>', '/<admin>', '/0', '/<DEMO>', '/-', '/..', '/x')
_PATHS = ('{}/', '{}.json', '//{}', '/.{}', '{}%20', '{}%00', '{}%0a', '{}#x', '/%2e{}', '/v2.1{}')
_METHODS = ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'OPTIONS', 'FOO', 'put', 'TRACE')
_GARBAGE = (
    '..', '.', '%2e%2e', '..%2f..', '%2F', '%00', '%0a', '%0d%0aX:y', '%ff', '%F0%9F%98%80', '*',
    "'%20OR%201=1--", 'null', '0', '-1', '9' * 400, 'a' * 3000, '%', '%zz', ';x=y', '%C0%AE',
    '{}', '<victim>%00', '<victim>.json', '%20<victim>', '%7B<victim>%7D', '<victim>%0a',
    'urn:uuid:<victim>', '<victim>,<mine>', '00000000-0000-0000-0000-000000000000',
)
_NUMBERS = ('<victim#>', '<mine#>', '<own#>', '+<victim#>', '0<victim#>', '<victim#>%20',
            '<victim#>abc', '%EF%BC%91', '0x1', '1e0', '1.0', '-<victim#>', str(2 ** 31),
            str(2 ** 63), '9' * 5000, "<victim#>'--", '<victim#>.json', '', '<victim>')
_SPOOFED = tuple(
    (name, value) for name, value in {
        b'X-Project-Id': b'<demo>', b'X-Tenant-Id': b'<demo>', b'X-Roles': b'admin,manager',
        b'X-Role': b'admin', b'X-User-Id': b'0', b'X-Is-Admin-Project': b'True',
        b'X-Identity-Status': b'Confirmed', b'X-Service-Roles': b'admin,service',
        b'X-Service-Identity-Status': b'Confirmed', b'OpenStack-System-Scope': b'all',
        b'X-Service-Token': b'gAAAAABn', b'X-Domain-Id': b'default',
        b'X-Forwarded-For': b'127.0.0.1', b'X-Forwarded-Host': b'evil', b'Forwarded': b'host=[',
        b'X-Forwarded-Proto': b'gopher', b'X-HTTP-Method-Override': b'DELETE',
        b'X-Openstack-Request-Id': b'req-00000000-0000-0000-0000-000000000000',
        b'X_Roles': b'admin', b'x-project-id': b'<other>', b'X-Auth-Key': b'x',
    }.items())
_VERSIONS = (
    b'compute 2.90, migration-policy 1.0', b'migration-policy latest', b'migration-policy 9.9',
    b'migration-policy 1', b'migration-policy', b'migration-policy -1.0', b'compute 2.1',
    b'compute latest', b'compute 99.99', b'compute', b',,,', b'\xff\xfe', b'2.90', b'x' * 3000,
    b'migration-policy 1.0, migration-policy 2.0', b'MIGRATION-POLICY 1.0', b'compute 2.23',
    b'migration-policy 1.' + b'9' * 5000, b'compute 2.24,compute 2.90', b'compute 2.65',
)
_ODD: tuple[Header, ...] = (
    (b'Content-Type', b'application/xml'), (b'Content-Type', b'application/json; charset=utf-16'),
    (b'Content-Type', b''), (b'Content-Type', b'\xff'), (b'Content-Type', b'text/plain'),
    (b'Content-Type', b'multipart/form-data; boundary='), (b'Content-Encoding', b'gzip'),
    (b'Content-Type', b'application/x-www-form-urlencoded'),
    (b'Accept', b'*/*;q=x'), (b'Accept', b'application/xml'), (b'Accept', b'\xff'),
    (b'Accept-Language', b'xx;;q='), (b'Host', b'['), (b'Host', b''), (b'Host', b'a b\xff:x'),
    (b'Expect', b'100-continue'), (b'Expect', b'x'), (b'Cookie', b'a' * 4000),
    (b'Origin', b'null'), (b'Range', b'bytes=9-1'), (b'If-Match', b'*'), (b'Connection', b'x'),
    (b'X-OpenStack-Nova-API-Version', b'2.1'), (b'X-OpenStack-Nova-API-Version', b'x'),
)
# Less than is sent, or nothing; what says more than is sent has a test of its own.
_LENGTHS = (b'0', b'-1', b'abc', b'', b'5', b'1e1', b'99999999999999999999', b'+3')
_QUERIES = (
    'limit=0', 'limit=-1', 'limit=1001', 'limit=1&limit=2', 'limit=%EF%BC%91', 'limit=1%0a',
    'marker=99999999999999999999', 'marker=-1', 'marker=x', 'kind=', 'kind=%00', 'kind=%ff',
    'kind=decision&kind=decision', 'kind[]=x', 'limit=5&marker=1&kind=sample', 'all_tenants=1',
    'project_id=<demo>', '&&&&', '%', '=', 'a=b;c=d', '&'.join(['kind=sample'] * 50),
    'limit=' + '9' * 5000, 'force_complete', '%F0%9F%98%80=1', 'marker=1_0',
    '_method=DELETE', '_method=GET', '_method=POST',
    'host=n1', 'host=', 'host=n1&host=n2', 'host=%00', 'host=' + 'n' * 300,
)
_HOSTS = ('n1', 'n2', 'n1', 'n2', 'N1', 'n9', 'n1.json', 'ctl', '%20n1', 'n1%00')


@dataclasses.dataclass(frozen=True)
class Request:
    """A request as it is sent, but for the ids.

    :ivar kind: one of KINDS: where it was meant to go
    :ivar user: whose token it carries
    """

    kind: str
    user: str
    method: str
    target: str
    headers: tuple[Header, ...]
    body: bytes

    def raw(self, names: Mapping[str, str], token: bytes | None) -> bytes:
        """The bytes to be sent.

        :param names: what the words stand for
        """
        headers = [(b'Host', b'nova')] if not self.has(b'host') else []
        if token is not None:
            headers.append((b'X-Auth-Token', token))
        headers += self.headers
        chunked = self.has(b'transfer-encoding')
        body = filled(self.body, names)
        if not chunked and not self.has(b'content-length') and (body or self.method != 'GET'):
            headers.append((b'Content-Length', b'%d' % len(body)))
        return wire.request(
            self.method.encode(), filled(self.target.encode(), names),
            [(name, filled(value, names)) for name, value in headers],
            wire.chunked(body) if chunked else body)

    def has(self, name: bytes) -> bool:
        """Whether it has such a header of its own."""
        return any(found.lower() == name for found, _ in self.headers)


def filled(text: bytes, names: Mapping[str, str]) -> bytes:
    for word, value in names.items():
        text = text.replace(f'<{word}>'.encode(), value.encode())
    return text


@strategies.composite
def requests(draw: Any, user: str, servers: tuple[str, ...],
             kinds: tuple[str, ...] = tuple(KINDS)) -> Request:
    """Requests of a user; up to three things are odd about each, so that the rest gets it far.

    :param servers: the words for the servers that it may aim at
    """
    kind = draw(strategies.sampled_from(kinds))
    odd = draw(strategies.sets(strategies.sampled_from(_ODDITIES), max_size=3))
    method = draw(strategies.sampled_from(_METHODS)) if 'method' in odd else KINDS[kind][0]
    target = _target(draw, kind, draw(strategies.sampled_from(servers)), odd,
                     'victim' in servers)
    body = draw(_odd_body(kind) if 'body' in odd else _body(kind))
    return Request(kind, user, method, target, draw(_headers('headers' in odd)), body)


def _target(draw: Any, kind: str, word: str, odd: set[str], may_be_victim: bool) -> str:
    server, number = f'<{word}>', f'<{word}#>'
    garbage = strategies.sampled_from(_GARBAGE) | strategies.text(max_size=40).map(
        lambda text: parse.quote(text, safe='', errors='replace'))
    if 'server' in odd:
        server = draw(garbage if may_be_victim
                      else garbage.filter(lambda text: 'victim' not in text))
    if 'number' in odd:
        numbers = (strategies.sampled_from(_NUMBERS) | strategies.integers(0, 12).map(str)
                   | strategies.integers().map(str))
        # A server's own path is no longer than these, and it is not to be deleted.
        number = draw(numbers if kind == 'delete' else numbers | garbage)
    project = draw(strategies.sampled_from(_PROJECTS)) if 'project' in odd else ''
    server = f'{project}/servers/{server}'
    one = f'{server}/migrations/{number}'
    path = KINDS[kind][1].replace('{one}', one).replace('{server}', server)
    if '{host}' in path:
        path = path.replace('{host}', draw(
            garbage if 'server' in odd else strategies.sampled_from(_HOSTS)))
    if path.startswith('/os-'):
        path = project + path
    if 'path' in odd:
        path = draw(strategies.sampled_from(_PATHS)).replace('{}', path, 1)
    if 'query' in odd:
        path += '?' + draw(strategies.sampled_from(_QUERIES) | strategies.text(max_size=20).map(
            lambda text: parse.quote(text, errors='replace')))
    return '/v2.1' + path


@strategies.composite
def _headers(draw: Any, is_odd: bool) -> tuple[Header, ...]:
    found = [(b'OpenStack-API-Version', b'compute 2.90')]
    if is_odd:
        found = draw(strategies.lists(strategies.one_of(
            strategies.sampled_from(_SPOOFED), strategies.sampled_from(_ODD),
            strategies.sampled_from(_VERSIONS).map(
                lambda value: (b'OpenStack-API-Version', value)),
            strategies.sampled_from(_LENGTHS).map(lambda value: (b'Content-Length', value)),
            strategies.just((b'Transfer-Encoding', b'chunked')),
        ), max_size=4))
    if not any(name == b'Content-Type' for name, _ in found):
        found.append((b'Content-Type', b'application/json'))
    return tuple(found)


odd_values = strategies.one_of(
    strategies.none(), strategies.booleans(), strategies.integers(), strategies.floats(),
    strategies.text(max_size=20), strategies.sampled_from([
        10 ** 30, -1, 0, 1e999, float('nan'), '9' * 50, '\x00', '\ud800', '😀', 'a' * 5000, '<b>',
        '${x}', '%s%n', '../../etc/passwd', "';--", 10 ** 4000, 1e-400, '\u202e', 'nova', True]))
any_json = strategies.recursive(
    odd_values, lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(
        strategies.text(max_size=10) | strategies.sampled_from(sorted(keys.KEYS)), inner,
        max_size=4), max_leaves=8)


def _near(key: keys.Key) -> strategies.SearchStrategy[Any]:
    """Values for a policy key that are right, or almost."""
    if key.kind == 'int':
        edges = [key.minimum or 0, (key.minimum or 0) - 1, key.maximum, (key.maximum or 0) + 1]
        return strategies.sampled_from([*edges, 5, 600, '5', 5.0])
    words = [*key.choices, 'none', 'BANDWIDTH'] if key.choices else [
        'balanced', 'evacuate', 'post_copy', 'nova', '', 'x' * 64]
    found = strategies.sampled_from(words)
    return strategies.lists(found, max_size=3) if key.kind == 'list' else found


@strategies.composite
def policies(draw: Any) -> Any:
    """An object of policy keys; it may even be right."""
    odd = draw(strategies.sampled_from(('', '', '', 'value', 'release', 'unknown', 'all')))
    if odd == 'all':
        return draw(any_json)
    names = [*(key.name for key in keys.retunable()), *keys.KEYS]
    found = {name: draw(_near(keys.KEYS[name])) for name in draw(strategies.lists(
        strategies.sampled_from(names), min_size=1, max_size=3, unique=True))}
    if odd == 'value':
        found[min(found)] = draw(odd_values)
    elif odd == 'release':
        found['release'] = draw(strategies.lists(
            strategies.sampled_from([*names, *names, *names, 'x', 5]), max_size=3))
    elif odd == 'unknown':
        found[draw(strategies.text(max_size=20))] = draw(odd_values)
    return found


@strategies.composite
def _mostly(draw: Any, usual: strategies.SearchStrategy[Any]) -> Any:
    """What is usual, and now and then anything."""
    return draw(any_json if draw(strategies.integers(0, 7)) == 7 else usual)


def _values(kind: str) -> strategies.SearchStrategy[Any]:
    """What the body of a kind may look like before it is written down."""
    if kind == 'tuning':
        return _mostly(strategies.fixed_dictionaries({'tuning': policies()}))
    if kind == 'start':
        live = strategies.fixed_dictionaries(
            {'host': strategies.none(), 'block_migration': strategies.just('auto')},
            optional={'migpolicy': policies(), 'force': strategies.booleans()})
        return strategies.fixed_dictionaries({'os-migrateLive': _mostly(live)})
    if kind == 'cancel':
        names = strategies.sampled_from(['N1', 'n1 ', 'n3', '', '%', 'n1\x00', '<other>', '5'])
        return strategies.fixed_dictionaries({'cancel': _mostly(strategies.dictionaries(
            strategies.sampled_from(['host', 'project_id', 'direction', 'servers', 'x']),
            _mostly(names | strategies.lists(names, max_size=3)), max_size=3))})
    if kind == 'limits':
        # What is right of it is more than anybody needs here.
        limits = strategies.sampled_from([0, 0, 0, 1000, -1, 1001, 10.5, 1e3, '2', True, None])
        return strategies.fixed_dictionaries({'capacity': _mostly(strategies.dictionaries(
            strategies.sampled_from(['max_incoming', 'max_outgoing', 'max_Incoming']), limits,
            max_size=2))})
    if kind == 'action':
        return _mostly(strategies.dictionaries(strategies.sampled_from(
            ['post_copy', 'pause', 'force_complete', 'Pause', 'cancel']),
            _mostly(strategies.none()), min_size=1, max_size=2))
    return any_json


def _body(kind: str) -> strategies.SearchStrategy[bytes]:
    """JSON, and what is in it may even be right."""
    if kind not in CHANGING or kind == 'delete':
        return strategies.just(b'')
    return _values(kind).map(lambda value: json.dumps(value).encode())


def _odd_body(kind: str) -> strategies.SearchStrategy[bytes]:
    """The bytes of a body in various bad shapes."""
    if kind == 'delete':
        # Nova decodes even this body without need and fails where it is no UTF-8: its own fault.
        return strategies.sampled_from([b'{}', b'[' * 5000, b'null', b'x' * 200_000])
    return strategies.binary(max_size=60) | strategies.builds(
        lambda text, shape: shape(text), _values(kind).map(
            lambda value: json.dumps(value).encode()), strategies.sampled_from(_SHAPES))


_SHAPES = (
    lambda text: text[:-1], lambda text: text + b'}', lambda text: b'\xef\xbb\xbf' + text,
    lambda text: text.decode().encode('utf-16'), lambda text: gzip.compress(text, mtime=0),
    lambda text: text.replace(b'"', b"'"), lambda text: text + b'\x00', lambda text: b'',
    lambda text: b' ' * 2000 + text, lambda text: text.replace(b':', b':\xff', 1),
    lambda text: b'{"migpolicy":' * 9000 + text, lambda text: text[:-1] + b', "a": 1, "a": 2}',
    lambda text: text[:-1] + b',' + text[1:], lambda text: b'[' * 300 + text,
    lambda text: text + b' ' * 120_000, lambda text: text.replace(b'm', b'\\u006d'),
)
