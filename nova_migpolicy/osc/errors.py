# SPDX-License-Identifier: Apache-2.0
"""The errors between a command and Nova's API, each as one sentence for the user.

All of them are osc-lib's CommandError: `openstack` prints them and exits with 1, no traceback.
"""

from __future__ import annotations

from collections.abc import Mapping

from osc_lib import exceptions

from nova_migpolicy.osc import words

INSTALL = ("this Nova's API does not have nova_migpolicy: put its filter into api-paste.ini and "
           'restart nova-api')
# The next step for a status, where the API's own sentence does not always name it.
_NEXT: Mapping[int, str] = {
    403: "Ask an administrator to do it, or to change that rule in Nova's policy file.",
    406: 'The plugin on the API hosts is of another version than these commands: install the '
         'same one.',
    413: 'Ask for less at once.',
    429: 'Wait a moment and try again.',
    500: "See nova-api's log for the reason.",
    502: 'A proxy got no answer from nova-api: try again in a moment.',
    503: 'No migration is touched by this: try again in a moment.',
    504: 'No migration is touched by this: try again in a moment.',
}
_LONGEST = 600


class Failed(exceptions.CommandError):
    """Base of the errors with which a command says that it cannot do its work."""


class Refused(Failed):
    """The API answered with an error.

    :ivar code: the HTTP status
    :ivar sentence: the API's message, in one line
    """

    def __init__(self, code: int, sentence: str) -> None:
        self.code = code
        self.sentence = sentence
        hint = _NEXT.get(code, '')
        said = sentence.rstrip('.') + '.' if hint else sentence
        super().__init__(f'{said} {hint}'.strip())


class NoPlugin(Refused):
    """The request reached a Nova without this plugin, on the API host or on the source host."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(code, sentence)


class Unreachable(Failed):
    """There was no answer, or no readable one; it may pass."""


def sentence(status: int, body: object, raw: str) -> str:
    """Find the sentence in an error's body.

    :param body: the JSON, None if it was none
    :param raw: the text of the body, for the case that it was no JSON
    """
    if isinstance(body, Mapping):
        for inner in body.values():
            if isinstance(inner, Mapping) and inner.get('message'):
                return words.text(inner['message'])[:_LONGEST]
        if body.get('message'):
            return words.text(body['message'])[:_LONGEST]
    if raw.lstrip().startswith('<'):
        return f'the API answered {status} with a page that is not its own (HTML)'
    first = words.text(raw)[:200]
    return f'the API answered {status}' + (f': {first}' if first else '')
