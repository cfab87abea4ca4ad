# SPDX-License-Identifier: Apache-2.0
"""The loop that follows migrations until they are over: its requests, their times, and its end.

One migration is asked about each second. Many share a bounded number of requests; those that wait
for a slot are asked about less often. A migration whose source host does not have the plugin
(or that Nova itself watches, profile nova) is shown with Nova's own figures, and a note says so
once.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import time
from typing import Any
from typing import Protocol

from nova_migpolicy.osc import errors
from nova_migpolicy.osc import find
from nova_migpolicy.osc import http
from nova_migpolicy.osc.watching import status as status_mod
from nova_migpolicy.osc.watching import watched
from nova_migpolicy import vocabulary

_RECORDS = 500
#: Seconds between two looks at a migration, and at one that waits for its turn.
EVERY_S = 1.0
WAITING_EVERY_S = 4.0
#: All looks together make no more requests than this in a second.
REQUESTS_PER_S = 10.0
#: Seconds without a good answer until a migration is given up.
PATIENCE_S = 300.0
# These do not pass: no right to see it, or it is not there.
_PERMANENT = (400, 401, 403, 404, 406)
_WORST = (watched.EXIT_STATUS[vocabulary.BROKEN], watched.EXIT_STATUS[vocabulary.FAILED],
          watched.EXIT_STATUS[vocabulary.CANCELLED], watched.OTHER_ERROR)


class Target:
    """A migration that is followed, and the state of the requests for it."""

    def __init__(self, migration: find.Migration) -> None:
        self.migration = migration
        self.watch = watched.Watch(migration.server.name, migration.id)
        #: the reason why the figures are Nova's own, empty while they are not
        self.stock = ''
        #: the reason why its decisions cannot be read, empty while they can
        self.deaf = ''
        #: the time of the next look at it, on the follower's clock
        self.due_s = 0.0


class Source:
    """Asks the API for records and the present status.

    :ivar asked: the number of requests made, for the caller that has to bound them
    """

    def __init__(self, api: http.Api) -> None:
        self._api = api
        self.asked = 0

    def look(self, target: Target) -> tuple[list[Mapping[str, Any]], status_mod.View]:
        """Return the records since the last look, and the migration's status now.

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

    def _plugin(self, target: Target) -> tuple[list[Mapping[str, Any]], status_mod.View]:
        path = target.migration.path
        body = self._ours(f'{path}/progress', {}).get('progress')
        if not isinstance(body, Mapping):
            raise errors.Unreachable("The API's answer has no progress in it.")
        now = status_mod.of_plugin(body)
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
            # Its status is known; the decisions follow when this has passed.
            target.deaf = str(error)
            return []
        target.deaf = ''
        records = found if isinstance(found, list) else []
        return [one for one in records if isinstance(one, Mapping)]

    def _ours(self, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.asked += 1
        return self._api.ours('GET', path, params=params)[1]

    def _nova(self, target: Target) -> status_mod.View:
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
                pass    # It has ended in the meantime, or this user may not see figures.
        return status_mod.of_nova(row, before)


class Screen(Protocol):
    """The place where it is shown."""

    def say(self, watch: watched.Watch, lines: Sequence[watched.Line]) -> None:
        """Show the new lines of a migration."""

    def draw(self, watches: Sequence[watched.Watch]) -> None:
        """Show the status of all of them."""


def follow(source: Source, targets: Sequence[Target], screen: Screen, *,
           clock: Callable[[], float] = time.monotonic,
           sleep: Callable[[float], None] = time.sleep) -> None:
    """Watch until all are over or given up.

    :raises KeyboardInterrupt: as it comes; the migrations go on
    """
    watches = [one.watch for one in targets]
    free_s = clock()
    while under_way := [one for one in targets if not one.watch.over]:
        target = min(under_way, key=lambda one: one.due_s)
        begin_s = max(target.due_s, free_s)
        if (rest_s := begin_s - clock()) > 0:
            sleep(rest_s)
        now_s, before = clock(), source.asked
        screen.say(target.watch, _look(source, target, clock))
        free_s = now_s + (source.asked - before) / REQUESTS_PER_S
        view = target.watch.view
        target.due_s = now_s + (WAITING_EVERY_S if view and view.waiting and len(targets) > 1
                                else EVERY_S)
        screen.draw(watches)


def _look(source: Source, target: Target,
          clock: Callable[[], float]) -> list[watched.Line]:
    watch, was_stock, was_deaf = target.watch, target.stock, target.deaf
    try:
        records, view = source.look(target)
    except errors.Refused as error:
        if error.code in _PERMANENT:
            return watch.give_up(str(error))
        return watch.miss(clock(), str(error), PATIENCE_S)
    except errors.Unreachable as error:
        return watch.miss(clock(), str(error), PATIENCE_S)
    lines = []
    if target.stock and not was_stock:
        lines.append(watched.Line('note', f"figures are Nova's own: {target.stock}"))
    if target.deaf and not was_deaf:
        lines.append(watched.Line('trouble', f'decisions cannot be shown: {target.deaf}'))
    return [*watch.greet(view), *lines, *watch.hear(records), *watch.see(clock(), view)]


def worst(statuses: Sequence[int]) -> int:
    """Return the exit status for several migrations: the worst of theirs."""
    for status in _WORST:
        if status in statuses:
            return status
    return 0
