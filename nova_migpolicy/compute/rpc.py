# SPDX-License-Identifier: Apache-2.0
"""The control channel on a compute host: what nova-api asks of it over the message bus.

It is a server of its own beside Nova's, with a topic of its own, so Nova's RPC is not touched.
What comes in is checked for its form here, since a peer of any version may have sent it; every
answer is plain data, errors too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova.objects import base as objects_base
from nova import rpc
from oslo_log import log as logging
import oslo_messaging as messaging

from nova_migpolicy.compute import control as control_mod
from nova_migpolicy.monitor import answer

LOG = logging.getLogger(__name__)

TOPIC = 'migpolicy'
NAMESPACE = 'migpolicy'
VERSION = '1.0'

Dict = dict[str, Any]


class Endpoint:
    """The methods that can be called, each with Nova's request context first."""

    target = messaging.Target(namespace=NAMESPACE, version=VERSION)

    def __init__(self, control: control_mod.Control) -> None:
        self._control = control

    def policy(self, ctxt: Any, server: Any, migration: Any) -> Dict:
        """See Control.policy."""
        return _answered(lambda: self._control.policy(ctxt, _text(server), _text(migration)))

    def progress(self, ctxt: Any, server: Any, migration: Any) -> Dict:
        """See Control.progress."""
        return _answered(lambda: self._control.progress(_text(server), _text(migration)))

    def timeline(self, ctxt: Any, server: Any, migration: Any, after: Any, limit: Any,
                 kinds: Any) -> Dict:
        """See Control.timeline."""
        return _answered(lambda: self._control.timeline(
            _text(server), _text(migration), _number(after), _number(limit), _texts(kinds)))

    def tune(self, ctxt: Any, server: Any, migration: Any, changes: Any, release: Any) -> Dict:
        """See Control.tune."""
        return _answered(lambda: self._control.tune(
            _text(server), _text(migration), _mapping(changes), _texts(release)))

    def act(self, ctxt: Any, server: Any, migration: Any, action: Any) -> Dict:
        """See Control.act."""
        return _answered(lambda: self._control.act(
            _text(server), _text(migration), _text(action)))

    def hold_request(self, ctxt: Any, server: Any, request_id: Any, values: Any) -> Dict:
        """See Control.hold_request."""
        return _answered(lambda: self._control.hold_request(
            ctxt, _text(server), _text(request_id), _mapping(values)))

    def drop_request(self, ctxt: Any, server: Any, request_id: Any) -> Dict:
        """See Control.drop_request."""
        return _answered(lambda: self._control.drop_request(_text(server), _text(request_id)))


def serve(host: str, control: control_mod.Control) -> Any:
    """Start to listen; the server, or None where the bus does not let us.

    Migrations are steered without it, they only cannot be looked at.
    """
    try:
        server = rpc.get_server(messaging.Target(topic=TOPIC, server=host),
                                [Endpoint(control)], objects_base.NovaObjectSerializer())
        server.start()
        return server
    except Exception:
        LOG.exception('Migrations of this host can be neither watched nor changed through the '
                      'API: its control channel does not work')
        return None


def _answered(do: Callable[[], answer.Answer]) -> Dict:
    try:
        return do().to_dict()
    except (TypeError, ValueError) as error:
        return answer.refusal(str(error), answer.BAD_REQUEST).to_dict()
    except Exception as error:
        LOG.exception('A request through the control channel was not answered')
        return answer.refusal(f'the compute host failed: {type(error).__name__}; its log has '
                              'more', answer.UNAVAILABLE).to_dict()


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f'{given!r:.80} is not a text')
    return given


def _texts(given: Any) -> list[str]:
    if not isinstance(given, (list, tuple)):
        raise TypeError(f'{given!r:.80} is not a list')
    return [_text(one) for one in given]


def _number(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise TypeError(f'{given!r:.80} is not a number from 0 on')
    return given


def _mapping(given: Any) -> Dict:
    if not isinstance(given, dict):
        raise TypeError(f'{given!r:.80} is not an object')
    return {_text(name): value for name, value in given.items()}
