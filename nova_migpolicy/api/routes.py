# SPDX-License-Identifier: Apache-2.0
"""The table of paths and their handlers, and the way in which errors leave.

The paths under a migration that Nova does not have are ours; three of Nova's own are inspected
(``handlers.cancel``, ``change``, ``start``) and otherwise go on untouched, as all others do.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

import nova.conf
from oslo_log import log as logging
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api.handlers import cancel
from nova_migpolicy.api.handlers import cancel_all
from nova_migpolicy.api.handlers import capacity
from nova_migpolicy.api.handlers import change
from nova_migpolicy.api.handlers import recovery
from nova_migpolicy.api.handlers import show
from nova_migpolicy.api.handlers import start
from nova_migpolicy.api import http
from nova_migpolicy.api import lookup as lookup_mod
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.api import target as target_mod
from nova_migpolicy.channel import client
from nova_migpolicy import exception
from nova_migpolicy import nova_contract

LOG = logging.getLogger(__name__)

Handler = Callable[[http.ApiCall, target_mod.Services], webob.Response]

_PROJECT = r'(?:/(?P<project>[0-9a-f-]+))?'
_SERVER = _PROJECT + r'/servers/(?P<server>[^/]+)'
_MIGRATION = _SERVER + r'/migrations/(?P<migration>[^/]+)'
# As Nova's own router accepts it.
_END = r'(?:\.json)?/?'


@dataclasses.dataclass(frozen=True)
class Route:
    """A path that is inspected.

    :ivar handlers: by method.
    :ivar ours: Nova has no such path: another method on it is refused here.
    """

    path: re.Pattern[str]
    handlers: Mapping[str, Handler]
    ours: bool = True


def _route(path: str, ours: bool = True, **handlers: Handler) -> Route:
    return Route(re.compile(path + _END), handlers, ours)


ROUTES = (
    _route(_MIGRATION + '/policy', GET=show.policy, HEAD=show.policy),
    _route(_MIGRATION + '/progress', GET=show.progress, HEAD=show.progress),
    _route(_MIGRATION + '/timeline', GET=show.timeline, HEAD=show.timeline),
    _route(_MIGRATION + '/tuning', PUT=change.tuning),
    _route(_MIGRATION + '/action', ours=False, POST=change.action),
    _route(_SERVER + r'/migrations/(?P<migration>[0-9]+)', ours=False, DELETE=cancel.cancel),
    _route(_SERVER + '/action', ours=False, POST=start.migrate),
    _route(_PROJECT + '/os-migrations/cancel', POST=cancel_all.cancel_all),
    _route(_MIGRATION + '/recovery', GET=recovery.show, HEAD=recovery.show),
    _route(_PROJECT + '/os-migrations/recovery', GET=recovery.list_all, HEAD=recovery.list_all),
    _route(_PROJECT + '/os-migration-capacity', GET=capacity.list_all, HEAD=capacity.list_all),
    # The host's name may end as a path may.
    _route(_PROJECT + '/os-migration-capacity/(?P<host>[^/]+)', GET=capacity.show,
           HEAD=capacity.show, PUT=capacity.set_limits),
)


def make(onward: http.App) -> Application:
    """Make the application for this nova-api.

    :raises exception.UnsupportedNova: a needed part of Nova is no longer there.
    """
    wrong = nova_contract.mismatches(nova_contract.API_NAMES)
    if wrong:
        raise exception.UnsupportedNova(f'this Nova does not match: {"; ".join(wrong)}')
    services = target_mod.Services(lookup_mod.Lookup(), rbac_mod.Rbac(nova.conf.CONF),
                                   client.Channel())
    return Application(onward, services)


class Application:
    """The application in front of the rest of Nova's pipeline.

    :param onward: that rest.
    """

    def __init__(self, onward: http.App, services: target_mod.Services) -> None:
        self._onward = onward
        self._services = services

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer, or let Nova answer."""
        path = environ.get('PATH_INFO', '')
        for route in ROUTES:
            found = route.path.fullmatch(path)
            if found is None:
                continue
            handler = route.handlers.get(environ['REQUEST_METHOD'])
            if handler is None and not route.ours:
                break
            context = environ.get('nova.context')
            if context is None:
                LOG.error('The filter of nova_migpolicy has to come after keystonecontext in '
                          'api-paste.ini; without it nothing of it works')
                break
            call = http.ApiCall(webob.Request(environ), context, found.groupdict(), self._onward)
            return self._answer(call, route, handler)(environ, start_response)
        return self._onward(environ, start_response)

    def _answer(self, call: http.ApiCall, route: Route, handler: Handler | None) -> webob.Response:
        try:
            if handler is None:
                allowed = ', '.join(route.handlers)
                raise errors.Refusal(
                    405, f'{call.request.environ["REQUEST_METHOD"]!r:.20}: this path takes '
                    f'{allowed}', {'Allow': allowed})
            return handler(call, self._services)
        except errors.Refusal as error:
            LOG.info('%s %s: %s: %s', call.request.environ['REQUEST_METHOD'],
                     ascii(call.request.environ['PATH_INFO']), error.code, error.message)
            return http.fault(error)
        except webob.exc.HTTPException as error:
            # The body could not be read: it is too large, or was cut off.
            return http.fault(errors.Refusal(error.code, str(error.detail or error.title)))
