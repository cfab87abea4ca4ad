# SPDX-License-Identifier: Apache-2.0
"""The end of the control channel on a compute host.

It is a server of its own beside Nova's, with a topic of its own, so Nova's RPC is not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import functools
from typing import Any

from nova import rpc
from oslo_log import log as logging
import oslo_messaging as messaging

from nova_migpolicy.channel import protocol
from nova_migpolicy import exception

LOG = logging.getLogger(__name__)

_NOTHING = protocol.Method({})


class Endpoint:
    """The methods of the protocol, each with Nova's request context first.

    :param service: does the work: it has all methods of protocol.METHODS, which take their
        arguments by name and return a protocol.Answer
    """

    target = messaging.Target(namespace=protocol.NAMESPACE, version=protocol.VERSION)

    def __init__(self, service: Any) -> None:
        for name, method in protocol.METHODS.items():
            setattr(self, name, functools.partial(_answer, method, getattr(service, name)))
        setattr(self, protocol.PING, functools.partial(
            _answer, _NOTHING, lambda: protocol.Answer(protocol.OK, {})))


def serve(host: str, service: Any) -> Any:
    """Start to listen; return the server, or None where the bus does not let us.

    Migrations are steered without it; they only cannot be watched or changed.
    """
    try:
        # Without Nova's serializer: requests are plain data, and never become Nova's objects.
        server = rpc.get_server(messaging.Target(topic=protocol.TOPIC, server=host),
                                [Endpoint(service)], None)
        server.start()
        return server
    except Exception:
        LOG.exception('Migrations of this host can be neither watched nor changed through the '
                      'API: its control channel does not work')
        return None


def _answer(method: protocol.Method, do: Callable[..., protocol.Answer], context: Any, /,
            **given: Any) -> protocol.Dict:
    try:
        arguments: Mapping[str, Any] = method.read(given)
    except (TypeError, RecursionError) as error:
        return protocol.refusal(str(error), protocol.BAD_REQUEST).to_dict()
    first = (context,) if method.takes_context else ()
    try:
        return do(*first, **arguments).to_dict()
    except exception.UnknownServer as error:
        return protocol.refusal(str(error), protocol.NOT_FOUND).to_dict()
    except Exception as error:
        LOG.exception('A request through the control channel was not answered')
        return protocol.refusal(
            f'the compute host failed: {type(error).__name__}; its log has more',
            protocol.UNAVAILABLE).to_dict()
