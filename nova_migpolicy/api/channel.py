# SPDX-License-Identifier: Apache-2.0
"""Asks the plugin in the nova-compute of a host, within 2 s as long as the message bus works.

What does not reach it is told apart: nova-compute is not there, it is there without the plugin,
or with one of another version.  What the plugin answers is passed on, errors too.
"""

from __future__ import annotations

from typing import Any

from nova import rpc
from oslo_log import log as logging
import oslo_messaging as messaging

from nova_migpolicy.api import errors

LOG = logging.getLogger(__name__)

TOPIC = NAMESPACE = 'migpolicy'
VERSION = '1.0'

# The other side answers within 1.2 s. Both together leave room for the database in 2 s.
ANSWER_S = 1.4
PING_S = 0.3

# A connection that the bus has closed meanwhile is made anew, once.
_RETRIES = 1
_OTHER_VERSION = frozenset({'UnsupportedVersion', 'NoSuchMethod', 'RPCVersionCapError'})
_PASSED_ON = frozenset({400, 403, 404, 409})

Answer = tuple[int, dict[str, Any] | None]


class Channel:
    """The way to the plugins on all hosts, of all cells."""

    def __init__(self) -> None:
        self._plugin = _client(TOPIC, NAMESPACE, VERSION)
        self._compute = _client('compute', 'baseapi', '1.0')

    def ask(self, context: Any, host: str, method: str, **arguments: Any) -> Answer:
        """Call a method of the plugin on a host; returns its status and its body.

        :param context: targeted at the host's cell.
        :raises errors.Unreachable: 409 or 503: it cannot be asked.
        :raises errors.Refusal: it was asked, and refused.
        """
        try:
            given = self._plugin.client(context).prepare(
                server=host, timeout=ANSWER_S, retry=_RETRIES,
                transport_options=messaging.TransportOptions(at_least_once=True),
            ).call(context, method, **arguments)
        except messaging.MessageUndeliverable:
            raise self._without_plugin(host) from None
        except messaging.MessagingTimeout:
            if self._answers(context, host):
                raise self._without_plugin(host) from None
            raise errors.Unreachable(
                503, f'nova-compute on {host} did not answer within {ANSWER_S} s; see whether it '
                'runs, and try again.') from None
        except messaging.MessageDeliveryFailure as error:
            LOG.warning('The message bus took no message for %s: %s', host, error)
            raise errors.Unreachable(
                503, f'The message bus took no message for {host}; try again.') from None
        except messaging.RemoteError as error:
            raise _failed(host, error.exc_type, str(error.value)) from None
        except Exception as error:
            # What was raised there comes as itself where this side knows it.
            raise _failed(host, type(error).__name__, str(error)) from None
        return _read(host, given)

    def _answers(self, context: Any, host: str) -> bool:
        """Whether nova-compute itself is there: what left us waiting was then the plugin."""
        try:
            self._compute.client(context).prepare(
                server=host, timeout=PING_S, retry=0).call(context, 'ping', arg=TOPIC)
        except Exception as error:
            LOG.debug('nova-compute on %s does not answer a ping: %s', host, error)
            return False
        return True

    @staticmethod
    def _without_plugin(host: str) -> errors.Unreachable:
        return errors.Unreachable(
            409, f'nova-compute on {host} runs, but nova_migpolicy does not answer there; it '
            'needs [DEFAULT] compute_driver = migpolicy.LibvirtDriver in its nova.conf.')


def _client(topic: str, namespace: str, version: str) -> Any:
    target = messaging.Target(topic=topic, namespace=namespace, version=version)
    return rpc.ClientRouter(rpc.get_client(target))


def _other_version(host: str, detail: str) -> errors.Unreachable:
    LOG.warning('nova_migpolicy on %s is of another version: %s', host, detail)
    return errors.Unreachable(
        409, f'nova_migpolicy on {host} is of another version than in nova-api, which speaks '
        f'{VERSION} to it; bring both to the same release.')


def _failed(host: str, kind: str | None, detail: str) -> errors.Unreachable:
    if kind in _OTHER_VERSION:
        return _other_version(host, detail)
    # The rest may be a traceback.
    LOG.error('nova_migpolicy on %s failed: %s: %.300s', host, kind, detail.partition('\n')[0])
    return errors.Unreachable(
        503, f'nova_migpolicy on {host} failed; the log of nova-compute there says why.')


def _read(host: str, given: Any) -> Answer:
    status = given.get('status') if isinstance(given, dict) else None
    if not isinstance(status, int) or isinstance(status, bool):
        raise _other_version(host, f'it answered {given!r:.80}')
    if 200 <= status < 300:
        body = given.get('body')
        return status, body if isinstance(body, dict) else None
    message = str(given.get('message') or 'no reason was given')
    raise errors.Refusal(status if status in _PASSED_ON else 503, message)
