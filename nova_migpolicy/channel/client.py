# SPDX-License-Identifier: Apache-2.0
"""The control channel's end that asks the plugin in the nova-compute of a host.

It is used in nova-api, and in nova-compute to ask other hosts. It takes 2 s at most as long as the
message bus works; a method that asks Nova's database or libvirt there may take longer. The error
says why the plugin was not reached: nova-compute is not there, it is there without the plugin, or
the plugin is busy or of another version. The plugin's answers are passed on, errors too.
"""

from __future__ import annotations

from typing import Any

from nova import rpc
from oslo_log import log as logging
import oslo_messaging as messaging

from nova_migpolicy.channel import protocol

LOG = logging.getLogger(__name__)

# A connection that the bus has closed in the meantime is opened again, once.
_RETRIES = 1
_OTHER_VERSION = frozenset({'UnsupportedVersion', 'NoSuchMethod', 'RPCVersionCapError'})
_PASSED_ON = frozenset({protocol.BAD_REQUEST, protocol.FORBIDDEN, protocol.NOT_FOUND,
                        protocol.CONFLICT})

Answer = tuple[int, dict[str, Any] | None]


class Refused(Exception):
    """The host was asked, and refused.

    :ivar status: HTTP-like, from 400 on.
    :ivar message: a sentence that says what was wrong, and what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class Unreachable(Refused):
    """The host cannot be asked: its answer is not known."""


class OtherVersion(Unreachable):
    """The plugin there is of a version that does not know this; it has said so itself."""


class Off(Unreachable):
    """Not even nova-compute on the host answers: it may be off."""


class Channel:
    """The way to the plugins on all hosts, of all cells; a nova-compute knows those of its cell.

    :param asker: the service that asks, for messages
    """

    def __init__(self, asker: str = 'nova-api') -> None:
        self._asker = asker
        self._plugin = _client(protocol.TOPIC, protocol.NAMESPACE, protocol.VERSION)
        self._compute = _client('compute', 'baseapi', '1.0')
        #: hosts of which it was said that they are of another version
        self._told_versions: set[str] = set()

    def ask(self, context: Any, host: str, method: str, **arguments: Any) -> Answer:
        """Call a method of the plugin on a host; return its status and its body.

        :param context: targeted at the host's cell.
        :raises Unreachable: 409 or 503: it cannot be asked.
        :raises Refused: it was asked, and refused.
        :raises KeyError, TypeError: the protocol has no such method, or other arguments for it.
        """
        declared = protocol.METHODS[method]
        declared.check_names(arguments)
        patience = declared.patience
        try:
            given = self._plugin.client(context).prepare(
                server=host, timeout=patience.answer_s, retry=_RETRIES,
                transport_options=messaging.TransportOptions(at_least_once=True),
            ).call(context, method, **arguments)
        except messaging.MessageUndeliverable:
            raise self._unknown(context, host, patience) from None
        except messaging.MessagingTimeout:
            raise self._silent(context, host, patience) from None
        except messaging.MessageDeliveryFailure as error:
            LOG.warning('The message bus took no message for %s: %s', host, error)
            raise Unreachable(
                protocol.UNAVAILABLE,
                f'The message bus took no message for {host}; try again.') from None
        except messaging.RemoteError as error:
            raise self._failed(host, error.exc_type, str(error.value)) from None
        except Exception as error:
            # An exception raised there arrives as itself where this side knows its class.
            raise self._failed(host, type(error).__name__, str(error)) from None
        return self._read(host, given)

    def _silent(self, context: Any, host: str, patience: protocol.Patience) -> Unreachable:
        """Find out what did not answer, and describe it."""
        if _answers(self._plugin, context, host, patience.ping_s):
            return Unreachable(
                protocol.UNAVAILABLE,
                f'nova_migpolicy on {host} did not answer within {patience.answer_s:g} s, '
                "though it runs: the host is busy, or waits for Nova's conductor; try again.")
        # A queue stays in the bus when the plugin that made it is removed.
        return self._unknown(context, host, patience)

    def _unknown(self, context: Any, host: str, patience: protocol.Patience) -> Unreachable:
        """Find out whether a host has nova-compute without the plugin, or not even that."""
        if _answers(self._compute, context, host, patience.ping_s, arg=protocol.TOPIC):
            return _without_plugin(host)
        return Off(
            protocol.UNAVAILABLE,
            f'nova-compute on {host} did not answer within {patience.answer_s:g} s; see '
            'whether it runs, and try again.')

    def answers(self, context: Any, host: str) -> bool:
        """Whether the plugin on a host answers a ping."""
        return _answers(self._plugin, context, host, protocol.PATIENCE.answer_s)

    def _other_version(self, host: str, detail: str) -> Unreachable:
        if host not in self._told_versions:
            self._told_versions.add(host)
            LOG.warning('nova_migpolicy on %s is of another version: %s', host, detail)
        return OtherVersion(
            protocol.CONFLICT,
            f'nova_migpolicy on {host} is of another version than in {self._asker}, which speaks '
            f'{protocol.VERSION} to it; bring both to the same release.')

    def _failed(self, host: str, kind: str | None, detail: str) -> Unreachable:
        if kind in _OTHER_VERSION:
            return self._other_version(host, detail)
        # The rest may be a traceback.
        LOG.error('nova_migpolicy on %s failed: %s: %.300s', host, kind,
                  detail.partition('\n')[0])
        return Unreachable(
            protocol.UNAVAILABLE,
            f'nova_migpolicy on {host} failed; the log of nova-compute there says why.')

    def _read(self, host: str, given: Any) -> Answer:
        status = given.get('status') if isinstance(given, dict) else None
        if not isinstance(status, int) or isinstance(status, bool):
            raise self._other_version(host, f'it answered {given!r:.80}')
        self._told_versions.discard(host)
        if 200 <= status < 300:
            body = given.get('body')
            return status, body if isinstance(body, dict) else None
        message = str(given.get('message') or 'no reason was given')
        raise Refused(status if status in _PASSED_ON else protocol.UNAVAILABLE, message)


def _answers(client: Any, context: Any, host: str, timeout_s: float, **arguments: Any) -> bool:
    """Whether a host answers a ping."""
    try:
        client.client(context).prepare(
            server=host, timeout=timeout_s, retry=0).call(context, protocol.PING, **arguments)
    except Exception as error:
        LOG.debug('A ping of %s is not answered: %s', host, error)
        return False
    return True


def _without_plugin(host: str) -> Unreachable:
    return Unreachable(
        protocol.CONFLICT,
        f'nova-compute on {host} runs, but nova_migpolicy does not answer there; it '
        'needs [DEFAULT] compute_driver = migpolicy.LibvirtDriver in its nova.conf.')


def _client(topic: str, namespace: str, version: str) -> Any:
    target = messaging.Target(topic=topic, namespace=namespace, version=version)
    return rpc.ClientRouter(rpc.get_client(target))
