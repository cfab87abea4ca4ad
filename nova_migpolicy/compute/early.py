# SPDX-License-Identifier: Apache-2.0
"""Commands for migrations that have not begun, remembered until they do.

A migration may wait for hours in Nova's queue, and there are moments on its way out of it in
which Nova itself can neither cancel nor complete it. Nothing is done here but remembering.
"""

from __future__ import annotations

import collections
import time

# More than can wait at once; beyond it the oldest, which never began, are forgotten.
MOST = 10_000
KEEP_S = 7 * 86400


class Early:
    """Commands by the UUID of Nova's record of the migration."""

    def __init__(self) -> None:
        self._commands: collections.OrderedDict[str, tuple[float, str]] = (
            collections.OrderedDict())

    def remember(self, migration: str, command: str) -> None:
        """Remember a command in place of an earlier one."""
        self._commands.pop(migration, None)
        self._commands[migration] = (time.monotonic(), command)
        while len(self._commands) > MOST:
            self._commands.popitem(last=False)

    def command(self, migration: str) -> str | None:
        """Return the command for a migration, which stays remembered."""
        found = self._commands.get(migration)
        return found[1] if found is not None else None

    def take(self, migration: str) -> str | None:
        """The command for a migration that begins now, which is forgotten."""
        found = self._commands.pop(migration, None)
        if found is None or time.monotonic() - found[0] > KEEP_S:
            return None
        return found[1]
