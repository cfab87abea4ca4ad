# SPDX-License-Identifier: Apache-2.0
"""What has to be true of an answer, whoever sent whatever; nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import pathlib
import re
from urllib import parse

import nova_migpolicy
from tests.stack.support import hostile
from tests.stack.support import logs
from tests.stack.support import wire

#: addresses and names of hosts, which tenants are not to know
HOSTS = re.compile(r'(?<![\w.-])(n[12]|10\.7[67]\.0\.1[12])(?![\w-])')

#: where the package is that these tests are for: its folder may have any name above it
OURS = pathlib.Path(nova_migpolicy.__file__).resolve().parent
_RPC = 'oslo_messaging.rpc.server'
_MANAGER = '/nova/compute/manager.py'
_WSGI = '/nova/api/openstack/wsgi.py'
# Fewer than this never exhaust a parser's stack.
_DEEP = 200
_BYTES = re.compile(r'nova\.exception\.ValidationError: .*\b(memory|disk)_(total|processed|'
                    r'remaining)_bytes\b')


def was_not_in_time(trouble: logs.Trouble, ours: pathlib.Path = OURS) -> bool:
    """Whether Nova was to cancel what its own manager says is over or has not begun.

    Its API looks at the migration's state, answers and only then sends the message: the second of
    two that are sent at once fails at the host. Nothing of ours has a part in it.

    :param ours: the folder of the package
    """
    return (_is_order(trouble, 'nova.exception.InvalidMigrationState: ')
            and _is(trouble.frames[-1], _MANAGER, 'live_migration_abort')
            # Ours notes that Nova is at it, and passes it on.
            and set(_of(trouble, ours)) <= {'compute/hooks.py do'})


def is_refusal(trouble: logs.Trouble, ours: pathlib.Path = OURS) -> bool:
    """Whether the driver has told Nova that an order cannot be carried out.

    Nova writes that down, with a traceback. Who asked by our API was answered by the host itself.

    :param ours: the folder of the package
    """
    return (_is_order(trouble, 'nova_migpolicy.compute.driver.OrderRefused: ')
            and _of(trouble, ours)[-1:] == ['compute/driver.py _order']
            and _is(trouble.frames[-1], f'{ours}/compute/driver.py', '_order'))


def _is_order(trouble: logs.Trouble, error: str) -> bool:
    """Whether an order of Nova's API ended in an error at the host.

    Where the migration is not in Nova's queue any more, that is what the traceback begins with.
    """
    *before, last = trouble.errors or ['']
    return (trouble.logger == _RPC and last.startswith(error)
            and all(one.startswith('KeyError: ') for one in before))


@dataclasses.dataclass(frozen=True)
class _Fault:
    """A fault of Nova's API that it has without us.

    :ivar error: what it ends in
    :ivar where: file and functions that it passes
    :ivar cause: what of the request brings it about
    :ivar passed_on: whether that request may have been ours first, and then passed on
    """

    error: str
    where: tuple[str, ...]
    cause: Callable[[hostile.Request], bool]
    passed_on: Callable[[hostile.Request], bool] = lambda _request: False


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


_FAULTS = (
    # It decodes each body for its log, also where it has no use for one.
    _Fault('UnicodeDecodeError: ', (_WSGI, '_process_stack'),
           lambda request: not _is_utf8(request.body)),
    # It parses JSON of any depth.
    _Fault('RecursionError: maximum recursion depth exceeded while decoding a JSON',
           (_WSGI, '_from_json', 'action_peek'),
           lambda request: request.body.count(b'[') + request.body.count(b'{') > _DEEP),
    # It looks into forms for another method.
    _Fault('ValueError: Invalid boundary in multipart form', ('/routes/middleware.py', '__call__'),
           lambda request: any(value.startswith(b'multipart/') for name, value in request.headers
                               if name.lower() == b'content-type'), lambda _request: True),
    # It takes that other method from the query, too, and then does not know the body.
    _Fault("TypeError: ServerMigrationsController.show() got an unexpected keyword argument "
           "'body'", (_WSGI, 'wrapped'), lambda request: '_method=GET' in request.target),
    # It reads each body to the end that is said; ours is asked first where it has to read.
    *(_Fault(error, (_WSGI, 'get_body'), lambda request: request.has(b'content-length'),
             lambda request: request.kind == 'delete')
      for error in ('OSError: error during read', 'webob.request.DisconnectionError')),
)


def is_novas_own(request: hostile.Request, trouble: logs.Trouble,
                 ours: pathlib.Path = OURS) -> bool:
    """Whether Nova fails at a request by itself, as it does without us.

    :param ours: the folder of the package
    """
    errors = trouble.errors
    if not errors:
        return False
    if _BYTES.match(errors[-1]):
        # Its schema of answers knows no migration that has sent nothing yet, or has no disks; it
        # only says so.
        return (request.method in ('GET', 'HEAD') and not _of(trouble, ours)
                and trouble.passes('/nova/api/validation/__init__.py', 'wrapper'))
    if not _of(trouble, ours) and not _is_utf8(parse.unquote_to_bytes(request.target)):
        # It wants to show the address of its own fault; /v2.1/.. leads to where there is no ours.
        return all(error.startswith('UnicodeDecodeError: ') for error in errors)
    return any(len(errors) == 1 and errors[0].startswith(fault.error)
               and trouble.passes(*fault.where) and fault.cause(request)
               and _is_handed_over(trouble, ours, passed_on=fault.passed_on(request))
               for fault in _FAULTS)


def _is(frame: logs.Frame, path: str, *functions: str) -> bool:
    return frame.path.endswith(path) and frame.function in functions


def _of(trouble: logs.Trouble, folder: pathlib.Path) -> list[str]:
    """The frames of a package, as 'its/file.py function'."""
    return [f'{pathlib.PurePath(path).relative_to(folder)} {function}'
            for path, function in trouble.frames
            if pathlib.PurePath(path).is_relative_to(folder)]


def _is_handed_over(trouble: logs.Trouble, ours: pathlib.Path, *, passed_on: bool) -> bool:
    """Whether all that is ours of it is that Nova was given the request.

    :param passed_on: it may have been after a look of ours
    """
    found = _of(trouble, ours)
    last = ('api/filter.py __call__', 'api/routes.py __call__')
    return not found or found[-1] in (*last, *(['api/http.py pass_on'] if passed_on else []))


def is_too_busy(answer: wire.Answer) -> bool:
    """Whether ours says that the host did not answer in time, and to try again.

    A machine that is short of processors may cause that, and no request.
    """
    return answer.status == 503 and 'migration-policy' in answer.text and (
        ' did not answer within ' in answer.text)


def judge(request: hostile.Request, answer: wire.Answer, *, novas_own: bool = False
          ) -> str | None:
    """What is wrong with an answer; None if nothing is.

    :param novas_own: Nova failed at the request by itself, and may say so; ours may not
    """
    kind = {name.lower(): value for name, value in answer.headers}
    is_json = kind.get('content-type', '').startswith('application/json')
    is_ours = kind.get('openstack-api-version', '').startswith('migration-policy')
    if answer.status >= 500 and (is_ours or not novas_own):
        return 'an error of the server'
    if is_ours and not is_json:
        return 'an answer of ours that is no JSON'
    if not is_json or request.method == 'HEAD' or not answer.body:
        return None
    try:
        found = answer.json()
    except ValueError:
        return 'no JSON'
    if answer.status < 400:
        return None
    [fault] = found.values() if isinstance(found, dict) and len(found) == 1 else [None]
    if not isinstance(fault, dict) or fault.get('code') != answer.status or not isinstance(
            fault.get('message'), str):
        return "an error that has not Nova's form"
    return None
