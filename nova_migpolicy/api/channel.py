# SPDX-License-Identifier: Apache-2.0
"""Asks the plugin in the nova-compute of a host, within 2 s as long as the message bus works.

What it has to ask Nova's database for may take longer. What does not reach it is told apart:
nova-compute is not there, it is there without the plugin, with one that is busy, or with one of
another version. What the plugin answers is passed on, errors too.
"""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

from nova import rpc
from oslo_log import log as logging
import oslo_messaging as messaging

from nova_migpolicy.api import errors

LOG = logging.getLogger(__name__)

TOPIC = NAMESPACE = 'migpolicy'
VERSION = '1.0'


class Patience(NamedTuple):
    """How long an answer is waited for, and then for each of two pings, in seconds."""

    answer_s: float
    ping_s: float


# The other side answers within 1.2 s. All three waits leave room for the database in 2 s.
PATIENCE = Patience(1.3, 0.25)
# What waits there for Nova's conductor and its database, which may be busy.
_LONGER = {'hold_request': Patience(6.0, 1.0)}

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
        patience = _LONGER.get(method, PATIENCE)
        try:
            given = self._plugin.client(context).prepare(
                server=host, timeout=patience.answer_s, retry=_RETRIES,
                transport_options=messaging.TransportOptions(at_least_once=True),
            ).call(context, method, **arguments)
        except messaging.MessageUndeliverable:
            raise _without_plugin(host) from None
        except messaging.MessagingTimeout:
            raise self._silent(context, host, patience) from None
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

    def _silent(self, context: Any, host: str, patience: Patience) -> errors.Unreachable:
        """Say what it is that did not answer."""
        if _answers(self._plugin, context, host, patience.ping_s):
            return errors.Unreachable(
                503, f'nova_migpolicy on {host} did not answer within {patience.answer_s:g} s, '
                "though it runs: the host is busy, or waits for Nova's conductor; try again.")
        if _answers(self._compute, context, host, patience.ping_s, arg=TOPIC):
            # A queue stays in the bus when the plugin that has made it is taken away.
            return _without_plugin(host)
        return errors.Unreachable(
            503, f'nova-compute on {host} did not answer within {patience.answer_s:g} s; see '
            'whether it runs, and try again.')


def _answers(client: Any, context: Any, host: str, timeout_s: float, **arguments: Any) -> bool:
    """Whether somebody on a host answers a ping."""
    try:
        client.client(context).prepare(
            server=host, timeout=timeout_s, retry=0).call(context, 'ping', **arguments)
    except Exception as error:
        LOG.debug('A ping of %s is not answered: %s', host, error)
        return False
    return True


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
