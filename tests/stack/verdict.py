# SPDX-License-Identifier: Apache-2.0
"""What has to be true of an answer, whoever sent whatever; nothing is sent here."""

from __future__ import annotations

import re
from urllib import parse

from tests.stack import hostile
from tests.stack import wire

#: addresses and names of hosts, which tenants are not to know
HOSTS = re.compile(r'(?<![\w.-])(n[12]|10\.7[67]\.0\.1[12])(?![\w-])')

_NOT_IN_TIME = ('nova.exception.InvalidMigrationState: ',
                'nova.exception.NoActiveMigrationForInstance: ', 'no job is active on the domain')
_PASSED_ON = re.compile(
    r'/nova_migpolicy/compute/driver.py", line \d+, in live_migration_(abort|force_complete)')


def was_not_in_time(trace: str) -> bool:
    """Whether Nova was to cancel or complete what is over or has not begun, and no more is wrong.

    Its API looks at the migration's state, answers and only then sends the message: the second of
    two that are sent at once fails at the host, and so does one between the state 'running' and
    the job. What is ours asks the host itself, and then remembers it or says that it is over.

    :param trace: from Nova's log
    """
    failed = re.findall(r'Exception during message handling: (.*)', trace)
    ours = re.findall(r'/nova_migpolicy/.*', trace)
    return (bool(failed) and all(any(known in one for known in _NOT_IN_TIME) for one in failed)
            and trace.count('Traceback (most recent call last)') == trace.count(
                'oslo_messaging.rpc.server Traceback (most recent call last)')
            and all(_PASSED_ON.fullmatch(one) for one in ours))


def is_novas_own(request: hostile.Request, trace: str) -> bool:
    """Whether Nova fails by itself, as it does without us.

    :param trace: from Nova's log
    """
    passed_on = 'nova_migpolicy/api/web.py' in trace
    if 'nova_migpolicy' not in trace and not _is_utf8(request.target):
        # It wants to show the address of its own fault; /v2.1/.. leads to where there is no ours.
        return 'UnicodeDecodeError' in trace
    if 'Schema failed to validate' in trace:
        # Its schema of answers knows no migration that has sent nothing yet, or has no disks.
        return request.method in ('GET', 'HEAD') and re.search(
            r'(memory|disk)_(total|processed|remaining)_bytes', trace) is not None
    if 'Invalid boundary in multipart form' in trace:
        # It looks into forms for another method.
        return '/routes/middleware.py' in trace
    if '/nova/api/openstack/wsgi.py' not in trace:
        return False
    if "MigrationsController.show() got an unexpected keyword argument 'body'" in trace:
        # It takes that other method from the query, too, and then does not know the body.
        return '_method=GET' in request.target
    if 'OSError: error during read' in trace or 'webob.request.DisconnectionError' in trace:
        # It reads each body to the end that is said; ours is asked first where it has to read.
        return request.kind == 'delete' or not passed_on
    # It decodes each body, also where it has no use for one, and parses JSON of any depth. What
    # goes through our hands does not get there: these are other paths and methods.
    fails = ('UnicodeDecodeError', 'RecursionError: maximum recursion depth exceeded while decod')
    return bool(request.body) and any(name in trace for name in fails) and not passed_on


def _is_utf8(target: str) -> bool:
    try:
        parse.unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        return False
    return True


def judge(request: hostile.Request, answer: wire.Answer) -> str | None:
    """What is wrong with an answer; None if nothing is."""
    if answer.status >= 500:
        return 'an error of the server'
    kind = {name.lower(): value for name, value in answer.headers}
    is_json = kind.get('content-type', '').startswith('application/json')
    if kind.get('openstack-api-version', '').startswith('migration-policy') and not is_json:
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
