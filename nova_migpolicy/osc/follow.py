# SPDX-License-Identifier: Apache-2.0
"""The loop that watches migrations until they are over: who is asked when, and what ends it.

One migration is looked at each second. Many share a bounded number of requests; those that wait
for their turn are looked at less often.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import time
from typing import Protocol

from nova_migpolicy.osc import errors
from nova_migpolicy.osc import source as source_mod
from nova_migpolicy.osc import watcher
from nova_migpolicy import vocabulary

#: Seconds between two looks at a migration, and at one that waits for its turn.
EVERY_S = 1.0
WAITING_EVERY_S = 4.0
#: All looks together make no more requests than this in a second.
REQUESTS_PER_S = 10.0
#: Seconds without a good answer until a migration is given up.
PATIENCE_S = 300.0
# These do not pass: no right to see it, or it is not there.
_HOPELESS = (400, 401, 403, 404, 406)
_WORST = (watcher.EXIT_STATUS[vocabulary.BROKEN], watcher.EXIT_STATUS[vocabulary.FAILED],
          watcher.EXIT_STATUS[vocabulary.CANCELLED], watcher.OTHER_ERROR)


class Screen(Protocol):
    """Where it is shown."""

    def say(self, watch: watcher.Watch, lines: Sequence[watcher.Line]) -> None:
        """Show what is new about a migration."""

    def draw(self, watches: Sequence[watcher.Watch]) -> None:
        """Show where all of them are."""


def follow(source: source_mod.Source, targets: Sequence[source_mod.Target], screen: Screen, *,
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


def _look(source: source_mod.Source, target: source_mod.Target,
          clock: Callable[[], float]) -> list[watcher.Line]:
    watch, was_stock, was_deaf = target.watch, target.stock, target.deaf
    try:
        records, view = source.look(target)
    except errors.Refused as error:
        if error.code in _HOPELESS:
            return watch.give_up(str(error))
        return watch.miss(clock(), str(error), PATIENCE_S)
    except errors.Unreachable as error:
        return watch.miss(clock(), str(error), PATIENCE_S)
    lines = []
    if target.stock and not was_stock:
        lines.append(watcher.Line('note', f"figures are Nova's own: {target.stock}"))
    if target.deaf and not was_deaf:
        lines.append(watcher.Line('trouble', f'decisions cannot be shown: {target.deaf}'))
    return [*watch.greet(view), *lines, *watch.hear(records), *watch.see(clock(), view)]


def worst(statuses: Sequence[int]) -> int:
    """Return the exit status for several migrations: the worst of theirs."""
    for status in _WORST:
        if status in statuses:
            return status
    return 0
