# SPDX-License-Identifier: Apache-2.0
"""The control channel on a compute host: what nova-api asks of it over the message bus.

It is a server of its own beside Nova's, with a topic of its own, so Nova's RPC is not touched.
What comes in is checked for its form here, since a peer of any version may have sent it; every
answer is plain data, errors too.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import functools
from typing import Any
import uuid

from nova import rpc
from oslo_log import log as logging
import oslo_messaging as messaging

from nova_migpolicy.compute import control as control_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import answer

LOG = logging.getLogger(__name__)

TOPIC = 'migpolicy'
NAMESPACE = 'migpolicy'
VERSION = '1.0'

Dict = dict[str, Any]

# What a migration is known by.
_ONE = ('server', 'migration')
# Nobody has a use for longer lists and texts.
_MOST = 1000
# What every part of a peer can count to.
_HIGHEST = 2 ** 53


class Endpoint:
    """The methods that can be called, each with Nova's request context first."""

    target = messaging.Target(namespace=NAMESPACE, version=VERSION)

    def __init__(self, control: control_mod.Control) -> None:
        self._control = control

    def ping(self, _ctxt: Any, /, **given: Any) -> Dict:
        """Answer at once, whatever else is waited for."""
        return _answered(lambda: answer.Answer(answer.OK, {}), given)

    def policy(self, ctxt: Any, /, **given: Any) -> Dict:
        """See Control.policy."""
        return _answered(functools.partial(self._control.policy, ctxt), given, *_ONE)

    def progress(self, ctxt: Any, /, **given: Any) -> Dict:
        """See Control.progress."""
        return _answered(self._control.progress, given, *_ONE)

    def timeline(self, ctxt: Any, /, **given: Any) -> Dict:
        """See Control.timeline."""
        return _answered(self._control.timeline, given, *_ONE, 'after', 'limit', 'kinds')

    def tune(self, ctxt: Any, /, **given: Any) -> Dict:
        """See Control.tune."""
        return _answered(self._control.tune, given, *_ONE, 'changes', 'release')

    def act(self, ctxt: Any, /, **given: Any) -> Dict:
        """See Control.act."""
        return _answered(self._control.act, given, *_ONE, 'action')

    def hold_request(self, ctxt: Any, /, **given: Any) -> Dict:
        """See Control.hold_request."""
        return _answered(functools.partial(self._control.hold_request, ctxt), given, 'server',
                         'request_id', 'values')

    def drop_request(self, ctxt: Any, /, **given: Any) -> Dict:
        """See Control.drop_request."""
        return _answered(self._control.drop_request, given, 'server', 'request_id')


def serve(host: str, control: control_mod.Control) -> Any:
    """Start to listen; the server, or None where the bus does not let us.

    Migrations are steered without it, they only cannot be looked at.
    """
    try:
        # Without Nova's serializer: what comes is plain, and never becomes one of its objects.
        server = rpc.get_server(messaging.Target(topic=TOPIC, server=host),
                                [Endpoint(control)], None)
        server.start()
        return server
    except Exception:
        LOG.exception('Migrations of this host can be neither watched nor changed through the '
                      'API: its control channel does not work')
        return None


def _answered(do: Callable[..., answer.Answer], given: Mapping[str, Any], *names: str) -> Dict:
    try:
        arguments = _read(given, *names)
    except (TypeError, RecursionError) as error:
        return answer.refusal(str(error), answer.BAD_REQUEST).to_dict()
    try:
        return do(*arguments).to_dict()
    except exception.UnknownServer as error:
        return answer.refusal(str(error), answer.NOT_FOUND).to_dict()
    except Exception as error:
        LOG.exception('A request through the control channel was not answered')
        return answer.refusal(f'the compute host failed: {type(error).__name__}; its log has '
                              'more', answer.UNAVAILABLE).to_dict()


def _read(given: Mapping[str, Any], *names: str) -> list[Any]:
    """The arguments of these names, each of the form that it has to have.

    :raises TypeError: one is not, or is missing, or there is one more
    """
    wrong = sorted(set(names) ^ set(given))
    if wrong:
        raise TypeError(f'the arguments have to be {", ".join(names)}; missing or too many: '
                        f'{", ".join(wrong)!r:.80}')
    return [_READ[name](given[name]) for name in names]


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f'{exception.shown(given)} is not a text')
    if len(given) > _MOST:
        raise TypeError(f'a text of {len(given)} characters is too long, {_MOST} is the most')
    return given


def _uuid(given: Any) -> str:
    """An id as Nova writes it, and in no other of a UUID's many forms."""
    text = _text(given)
    try:
        is_one = str(uuid.UUID(text)) == text
    except ValueError:
        is_one = False
    if not is_one:
        raise TypeError(f'{exception.shown(text)} is not a UUID')
    return text


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
    """Values by names; a value is plain, or a list of texts."""
    if not isinstance(given, dict):
        raise TypeError(f'{exception.shown(given)} is not an object')
    return {_text(name): _value(given[name]) for name in _list(tuple(given))}


def _value(given: Any) -> Any:
    if isinstance(given, dict):
        raise TypeError(f'{exception.shown(given)} is an object where a value has to be')
    if isinstance(given, (list, tuple)):
        return _texts(given)
    return _text(given) if isinstance(given, str) else given


_READ: Mapping[str, Callable[[Any], Any]] = {
    'server': _uuid, 'migration': _uuid, 'after': _number, 'limit': _number, 'kinds': _texts,
    'changes': _mapping, 'release': _texts, 'action': _text, 'request_id': _text,
    'values': _mapping,
}
