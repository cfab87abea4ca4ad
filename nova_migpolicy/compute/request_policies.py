# SPDX-License-Identifier: Apache-2.0
"""Policies that came with a request to migrate, stored until that migration begins.

A request is known by its id, which Nova carries from its API through the conductor to the source
host. Each is a small file, so that a restart in between loses none. Their contents are not checked
here.
"""

from __future__ import annotations

from collections.abc import Mapping
import os
import pathlib
import re
import tempfile
import time
from typing import Any
import uuid

from nova.compute import instance_actions
from nova import objects
from oslo_log import log as logging
from oslo_serialization import jsonutils

LOG = logging.getLogger(__name__)

# A request waits longest in Nova's own queue.
KEEP_S = 7 * 86400
# More than can wait in it; beyond these the oldest, which came to nothing, are forgotten.
MOST = 10_000
# While a server waits for its migration, few other things are done to it.
_ACTIONS = 100
SUFFIX = '.json'
#: of an empty file beside it
NAMED = '.named'
_REQUEST_ID = re.compile(r'req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')


class RequestPolicies:
    """The requests that are on their way to this host.

    :param folder: their place; it is made when it is needed
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    def keep(self, server: str, request_id: str, values: Mapping[str, Any]) -> None:
        """Store the policy keys of a request.

        :raises ValueError: an id is malformed (the ids become a file's name)
        :raises OSError: it cannot be written
        """
        path = self._path(server, request_id)
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._remove_old()
        handle, name = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(handle, 'w', encoding='utf-8') as out:
                out.write(jsonutils.dumps(dict(values)))
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise

    def note_named(self, server: str, request_id: str) -> None:
        """Store that a request names its destination.

        :raises ValueError: an id is malformed
        :raises OSError: it cannot be written
        """
        path = self._path(server, request_id, NAMED)
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._remove_old()
        path.touch(mode=0o600)

    def is_named(self, server: str, request_id: str) -> bool:
        """Whether a request names its destination."""
        try:
            return self._path(server, request_id, NAMED).exists()
        except (ValueError, OSError):
            return False

    def take(self, server: str, request_id: str | None) -> dict[str, Any]:
        """Return the policy keys of a request whose migration begins; empty where it had none.

        All of the server's are forgotten: Nova moves it once at a time, so the others came to
        nothing.
        """
        values = self.read(server, request_id)
        for path in self._all_of(server):
            _remove(path)
        return values

    def read(self, server: str, request_id: str | None) -> dict[str, Any]:
        """Return the policy keys of a request; empty where it had none."""
        try:
            return _read(self._path(server, request_id or ''))
        except (OSError, ValueError):
            return {}

    def drop(self, server: str, request_id: str) -> None:
        """Forget a request that came to nothing."""
        try:
            for suffix in (SUFFIX, NAMED):
                _remove(self._path(server, request_id, suffix))
        except ValueError as error:
            LOG.debug('Nothing to forget: %s', error)

    def _all_of(self, server: str) -> list[pathlib.Path]:
        try:
            return list(self._folder.glob(f'{uuid.UUID(server)}.*'))
        except (OSError, ValueError):
            return []

    def _path(self, server: str, request_id: str, suffix: str = SUFFIX) -> pathlib.Path:
        if not _REQUEST_ID.fullmatch(request_id):
            raise ValueError(f'{request_id!r} is no request id')
        return self._folder / f'{uuid.UUID(server)}.{request_id}{suffix}'

    def _remove_old(self) -> None:
        limit_s = time.time() - KEEP_S
        paths = sorted(self._folder.iterdir(), key=_written_s)
        for number, path in enumerate(paths, 1):
            if number <= len(paths) - MOST or _written_s(path) < limit_s:
                _remove(path)


def newest(context: Any, server: str) -> str | None:
    """Return the id of the newest request to live-migrate a server; None where there was none.

    :param context: of Nova
    :param server: its UUID
    """
    actions = objects.InstanceActionList.get_by_instance_uuid(
        context.elevated(), server, limit=_ACTIONS)
    return next((str(action.request_id) for action in actions
                 if action.action == instance_actions.LIVE_MIGRATION), None)


def _written_s(path: pathlib.Path) -> float:
    """Return the time of a file's last change; 0 where another thread has just removed it."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(path: pathlib.Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        LOG.warning('The request in %s was not forgotten: %s', path, error)


def _read(path: pathlib.Path) -> dict[str, Any]:
    """Return the keys in a file; empty where it is missing or not whole.

    :raises OSError: it cannot be read
    """
    try:
        values = jsonutils.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        LOG.warning('The request in %s is not whole and does not count: %s', path, error)
        return {}
    return values if isinstance(values, dict) else {}
