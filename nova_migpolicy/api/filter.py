# SPDX-License-Identifier: Apache-2.0
"""The entry in Nova's api-paste.ini: ``egg:nova_migpolicy``, right after ``keystonecontext``.

A request that is not ours costs one look at its path and goes on unchanged. Should our part not
load, Nova's API does without it and the log says why: it never takes Nova's API down.
"""

from __future__ import annotations

from collections.abc import Callable
import re
from typing import Any

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

App = Callable[..., Any]

# The routes sort out a request that it lets through by mistake; it must only be quick.
_MAYBE_OURS = re.compile(
    r'/servers/[^/]+/(?:action|migrations/.)|/os-migrations/.|/os-migration-capacity')


class Filter:
    """Sends requests that may be ours through our application, and all others past it.

    :param ours: our application, which has the rest of the pipeline behind it.
    :param onward: the rest of the pipeline.
    """

    def __init__(self, ours: App, onward: App) -> None:
        self._ours = ours
        self._onward = onward

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Choose by the path."""
        if _MAYBE_OURS.search(environ.get('PATH_INFO', '')):
            return self._ours(environ, start_response)
        return self._onward(environ, start_response)


def factory(global_conf: dict[str, str], **local_conf: str) -> Callable[[App], App]:
    """Make the filter to put in front of an application, for PasteDeploy."""
    def put_before(onward: App) -> App:
        try:
            # Only here: an error in it must not be one of Nova's.
            from nova_migpolicy.api import routes
            ours = routes.make(onward)
        except Exception:
            LOG.exception("The API of nova_migpolicy is off; Nova's own works without it. Its "
                          'paths answer 404 until this is repaired and nova-api restarted')
            return onward
        LOG.info('The API of nova_migpolicy is on')
        return Filter(ours, onward)

    return put_before
