# SPDX-License-Identifier: Apache-2.0
"""The methods of the control channel, and the form of their arguments and answers.

Both ends are made from METHODS. A request may come from a peer of any version, so the form of each
argument is checked; every answer is plain data with an HTTP-like status, errors too.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import NamedTuple
import uuid

from nova_migpolicy import exception

TOPIC = NAMESPACE = 'migpolicy'
VERSION = '1.0'
#: answered at once by every end that serves, whatever else it waits for
PING = 'ping'

OK = 200
ACCEPTED = 202
BAD_REQUEST = 400
FORBIDDEN = 403
NOT_FOUND = 404
CONFLICT = 409
UNAVAILABLE = 503

# Longer lists and texts have no use.
_MOST = 1000
# The highest number that every part of a peer can count to.
_HIGHEST = 2 ** 53

Dict = dict[str, Any]
#: Returns a value in the form that it has to have, or raises TypeError.
Form = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer: a body on success, a sentence on failure."""

    status: int
    body: Mapping[str, Any] | None = None
    message: str = ''

    def to_dict(self) -> Dict:
        """Return plain values for the message bus."""
        if self.status < BAD_REQUEST:
            return {'status': self.status, 'body': self.body}
        return {'status': self.status, 'message': self.message}


def refusal(message: str, status: int = CONFLICT) -> Answer:
    """Return an answer that refuses and says why."""
    return Answer(status, message=message)


class Patience(NamedTuple):
    """The longest waits for an answer, and then for each of two pings, in seconds."""

    answer_s: float
    ping_s: float


# The other end answers within 1.2 s. All three waits leave room for the database in 2 s.
PATIENCE = Patience(1.3, 0.25)


@dataclasses.dataclass(frozen=True)
class Method:
    """A method that nova-api, or another compute host, calls on a compute host.

    :ivar arguments: their forms by their names; all are required, and no other is accepted
    :ivar takes_context: whether it asks Nova's database, so it gets Nova's request context
    :ivar patience: of the caller
    """

    arguments: Mapping[str, Form]
    takes_context: bool = False
    patience: Patience = PATIENCE

    def check_names(self, given: Mapping[str, Any]) -> None:
        """Check that these are the names of its arguments.

        :raises TypeError: one is missing, or there is one more
        """
        wrong = sorted(set(self.arguments) ^ set(given))
        if wrong:
            raise TypeError(f'the arguments have to be {", ".join(self.arguments)}; missing or '
                            f'too many: {", ".join(wrong)!r:.80}')

    def read(self, given: Mapping[str, Any]) -> Dict:
        """Return the arguments by their names, each in the form that it has to have.

        :raises TypeError: one is not, or is missing, or there is one more
        """
        self.check_names(given)
        return {name: form(given[name]) for name, form in self.arguments.items()}


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f'{exception.shown(given)} is not a text')
    if len(given) > _MOST:
        raise TypeError(f'a text of {len(given)} characters is too long, {_MOST} is the most')
    return given


def _uuid(given: Any) -> str:
    """Return an id as Nova writes it, and in no other of a UUID's many forms."""
    text = _text(given)
    try:
        is_one = str(uuid.UUID(text)) == text
    except ValueError:
        is_one = False
    if not is_one:
        raise TypeError(f'{exception.shown(text)} is not a UUID')
    return text


def _limit(given: Any) -> int | None:
    return None if given is None else _number(given)


def _list(given: Any) -> list[Any]:
    if not isinstance(given, (list, tuple)):
        raise TypeError(f'{exception.shown(given)} is not a list')
    if len(given) > _MOST:
        raise TypeError(f'a list of {len(given)} is too long, {_MOST} is the most')
    return list(given)


def _texts(given: Any) -> list[str]:
    return [_text(one) for one in _list(given)]


def _number(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= _HIGHEST:
        raise TypeError(f'{exception.shown(given)} is not a number from 0 to {_HIGHEST}')
    return given


def _mapping(given: Any) -> Dict:
    """Return values by names; a value is plain, or a list of texts."""
    if not isinstance(given, dict):
        raise TypeError(f'{exception.shown(given)} is not an object')
    return {_text(name): _value(given[name]) for name in _list(tuple(given))}


def _mappings(given: Any) -> list[Dict]:
    return [_mapping(one) for one in _list(given)]


def _value(given: Any) -> Any:
    if isinstance(given, dict):
        raise TypeError(f'{exception.shown(given)} is an object where a value has to be')
    if isinstance(given, (list, tuple)):
        return _texts(given)
    return _text(given) if isinstance(given, str) else given


_MIGRATION: Mapping[str, Form] = {'server': _uuid, 'migration': _uuid}
_REQUEST: Mapping[str, Form] = {'server': _uuid, 'request_id': _text}

METHODS: Mapping[str, Method] = {
    'policy': Method(_MIGRATION, takes_context=True),
    'progress': Method(_MIGRATION),
    'timeline': Method({**_MIGRATION, 'after': _number, 'limit': _number, 'kinds': _texts}),
    'tune': Method({**_MIGRATION, 'changes': _mapping, 'release': _texts}),
    'act': Method({**_MIGRATION, 'action': _text}),
    # It waits there for Nova's conductor and its database, which may be busy.
    'hold_request': Method({**_REQUEST, 'values': _mapping}, takes_context=True,
                           patience=Patience(6.0, 1.0)),
    'drop_request': Method(_REQUEST),
    'note_named': Method(_REQUEST),
    'request': Method(_REQUEST),
    'undecided': Method({}),
    'recovery': Method(_MIGRATION),
    # Asked by another compute host. libvirt may answer later than this, as in a switchover.
    'whereabouts': Method({'server': _uuid}, patience=Patience(3.0, 0.5)),
    'use_release': Method(_MIGRATION, patience=Patience(3.0, 0.5)),
    # Nova ends what is left of the guest there, and disconnects its volumes.
    'discard': Method({'server': _uuid}, takes_context=True, patience=Patience(60.0, 1.0)),
    # The conductor, neutron and placement are asked there.
    'take_over': Method(_MIGRATION, takes_context=True, patience=Patience(60.0, 1.0)),
    # So many entries of each list.
    'capacity': Method({'most': _number}),
    # None leaves a limit as it is.
    'set_capacity': Method({'max_outgoing': _limit, 'max_incoming': _limit}),
    # What ends of migrations say to each other of slots; it has no answer but a message.
    'slots': Method({'messages': _mappings}),
}
