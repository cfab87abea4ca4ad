# SPDX-License-Identifier: Apache-2.0
"""Where views and records of migrations come from: the plugin, or Nova where there is none.

A migration whose source host does not have the plugin (or that Nova itself watches, profile nova)
is shown with Nova's own figures, and that is said once.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

from nova_migpolicy.osc import errors
from nova_migpolicy.osc import find
from nova_migpolicy.osc import http
from nova_migpolicy.osc import view as view_mod
from nova_migpolicy.osc import watcher
from nova_migpolicy import vocabulary

_RECORDS = 500


class Target:
    """A migration that is followed, and what is known about how to ask for it."""

    def __init__(self, migration: find.Migration) -> None:
        self.migration = migration
        self.watch = watcher.Watch(migration.server.name, migration.id)
        #: why the figures are Nova's own, empty while they are not
        self.stock = ''
        #: why its decisions cannot be heard, empty while they can
        self.deaf = ''
        #: when it is looked at next, on the follower's clock
        self.due_s = 0.0


class Source:
    """Asks the API for what is going on.

    :ivar asked: how many requests were made, for who has to bound them
    """

    def __init__(self, api: http.Api) -> None:
        self._api = api
        self.asked = 0

    def look(self, target: Target) -> tuple[list[Mapping[str, Any]], view_mod.View]:
        """Return the records since the last look, and how the migration is now.

        :raises Failed: as the API's errors do
        """
        if not target.stock:
            try:
                return self._plugin(target)
            except errors.Refused as error:
                if not isinstance(error, errors.NoPlugin) and error.code != 409:
                    raise
                target.stock = error.sentence
        return [], self._nova(target)

    def _plugin(self, target: Target) -> tuple[list[Mapping[str, Any]], view_mod.View]:
        path = target.migration.path
        body = self._ours(f'{path}/progress', {}).get('progress')
        if not isinstance(body, Mapping):
            raise errors.Unreachable("The API's answer has no progress in it.")
        now = view_mod.of_plugin(body)
        if not body.get('phase'):
            if now.status in vocabulary.AT_WORK_STATUSES:
                # The host answers but does not watch it: profile nova, or not begun.
                return [], dataclasses.replace(self._nova(target), waits_for=now.waits_for)
            return [], now
        return self._records(target), now

    def _records(self, target: Target) -> list[Mapping[str, Any]]:
        path, heard = target.migration.path, target.watch.heard
        params: dict[str, Any] = {'limit': _RECORDS, 'kind': list(vocabulary.NEWS)}
        if heard:
            params['marker'] = heard
        try:
            found = self._ours(f'{path}/timeline', params).get('timeline')
        except errors.Failed as error:
            # Where it is, is known; what was decided comes when this has passed.
            target.deaf = str(error)
            return []
        target.deaf = ''
        records = found if isinstance(found, list) else []
        return [one for one in records if isinstance(one, Mapping)]

    def _ours(self, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.asked += 1
        return self._api.ours('GET', path, params=params)[1]

    def _nova(self, target: Target) -> view_mod.View:
        wanted, before = target.migration, target.watch.view
        self.asked += 1
        rows = [one.facts for one in find.migrations(self._api, wanted.server)
                if one.id == wanted.id]
        if not rows:
            raise errors.Refused(404, f'Nova does not show migration {wanted.id} of server '
                                      f'{wanted.server.name} to you any more: it is over.')
        row = dict(rows[0])
        if row.get('status') in vocabulary.AT_WORK_STATUSES:
            try:
                self.asked += 1
                found = self._api.nova('GET', wanted.path).get('migration')
                row.update(found if isinstance(found, Mapping) else {})
            except errors.Refused:
                pass    # It has ended meanwhile, or figures are not for everybody.
        return view_mod.of_nova(row, before)
